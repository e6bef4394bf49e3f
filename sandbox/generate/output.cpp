#include "sandbox/generate/output.hpp"

#include "assets/contact_sheet.hpp"
#include "assets/image/picture_format.hpp"
#include "assets/output_file.hpp"

#include <cmath>
#include <map>
#include <string_view>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace tessera {
namespace {

namespace fs = std::filesystem;

Result<void> make_folder(const fs::path &path) {
    std::error_code code;
    fs::create_directories(path, code);
    if (code) {
        return make_error(Status::kIo, "{}: cannot make this folder: {}", path.string(),
                          code.message());
    }
    if (!fs::is_directory(path, code)) {
        return make_error(Status::kIo, "{}: not a folder", path.string());
    }
    return {};
}

// For a folder that is made later, if at all: it is one, or could be made.
Result<void> check_folder(const fs::path &path) {
    std::error_code code;
    fs::path existing = fs::absolute(path, code);
    while (!fs::exists(existing, code) && existing.has_relative_path()) {
        existing = existing.parent_path();
    }
    if (!fs::is_directory(existing, code)) {
        return make_error(Status::kIo, "{}: cannot make this folder: {} is a file", path.string(),
                          existing.string());
    }
    if (::access(existing.c_str(), W_OK | X_OK) != 0) {
        return make_error(Status::kIo, "{}: nothing can be written in {}", path.string(),
                          existing.string());
    }
    return {};
}

// Whether the name is a picture's and not a folder's.
bool names_file(const fs::path &path) {
    std::error_code code;
    if (fs::is_directory(path, code) || path.filename().empty()) return false;
    return names_picture(path) || is_standard_output(path) || fs::exists(path, code);
}

// What is written at the end of a run must not replace what the run wrote, nor each other.
Result<void> check_distinct(const std::vector<std::pair<std::string_view, fs::path>> &targets) {
    std::map<fs::path, std::string_view> seen;
    for (const auto &[option, path] : targets) {
        if (path.empty()) continue;
        std::error_code code;
        fs::path file = fs::weakly_canonical(fs::absolute(path, code), code);
        if (code) file = path;
        if (is_standard_output(path)) file = "/dev/stdout";
        if (fs::is_character_file(file, code) && !is_standard_output(path)) continue; // /dev/null
        const auto [at, is_new] = seen.try_emplace(file, option);
        if (is_new) continue;
        return make_error(Status::kInvalidArgument, "{} and {} are both written to {}", at->second,
                          option, path.string());
    }
    return {};
}

Result<void> check_standard_output(const fs::path &path, std::uint64_t image_count) {
    if (!is_standard_output(path)) return {};
    if (image_count > 1) {
        return make_error(Status::kInvalidArgument,
                          "-o -: {} images; expected one, or a folder for them", image_count);
    }
    if (::isatty(STDOUT_FILENO) == 1) {
        return make_error(Status::kInvalidArgument,
                          "-o -: standard output is a terminal; expected a pipe or a file");
    }
    return {};
}

} // namespace

std::string PictureName::stem() const { return fmt::format("{}_{}_{:03}", part, seed, index); }

Result<GenerateOutput> GenerateOutput::open(const GenerateOptions &options,
                                            std::span<const PictureName> names,
                                            std::uint32_t count) {
    GenerateOutput output;
    output.output_ = options.output;
    output.is_folder_ = !names_file(options.output);
    output.image_count_ = std::uint64_t{count} * names.size();
    output.is_numbered_ = !output.is_folder_ && output.image_count_ > 1;
    output.frames_ = options.frames;
    output.material_ = options.material;
    output.sheet_ = options.contact_sheet;
    if (auto checked = output.check(options, names); !checked) return checked.error();
    return output;
}

Result<void> GenerateOutput::check(const GenerateOptions &options,
                                   std::span<const PictureName> names) const {
    auto done = check_standard_output(output_, image_count_);
    if (done && !is_folder_) {
        done = check_distinct({{"--output", output_},
                               {"--contact-sheet", sheet_},
                               {"--save-preset", options.save_preset},
                               {"--json", options.json}});
    }
    if (done && is_folder_) done = make_folder(output_);
    if (done && has_frames()) done = make_folder(frames_);
    if (done && !material_.empty()) done = check_folder(material_);
    for (const PictureName &name : names) {
        if (done) done = check_image_target(path_of(name));
        if (done && has_frames()) done = check_image_target(frame_path_of(name, 1));
        if (!done) return done;
    }
    if (done && !sheet_.empty()) done = check_image_target(sheet_);
    if (done && !options.save_preset.empty()) done = check_target(options.save_preset);
    if (done && !options.json.empty()) done = check_target(options.json);
    return done;
}

std::uint32_t GenerateOutput::sheet_columns() const {
    return static_cast<std::uint32_t>(std::ceil(std::sqrt(static_cast<double>(image_count_))));
}

Result<void> GenerateOutput::check_sheet(std::uint32_t width, std::uint32_t height) const {
    if (sheet_.empty() || width == 0 || height == 0) return {};
    const auto size = contact_sheet_size(image_count_, sheet_columns(), width, height, kSheetGap);
    auto checked = check_image_target(sheet_, size.width, size.height);
    if (checked) return {};
    return make_error(checked.error().status, "contact sheet of {} images: {}", image_count_,
                      checked.error().message);
}

fs::path GenerateOutput::path_of(const PictureName &name) const {
    if (is_folder_) return output_ / (name.stem() + ".png");
    if (!is_numbered_) return output_;
    const std::string file =
        fmt::format("{}_{}{}", output_.stem().string(), name.stem(), output_.extension().string());
    return output_.parent_path() / file;
}

fs::path GenerateOutput::frame_path_of(const PictureName &name, std::uint32_t step) const {
    return frames_ / fmt::format("{}_step{:04}.png", name.stem(), step);
}

fs::path GenerateOutput::material_path_of(const PictureName &name) const {
    return image_count_ > 1 ? material_ / name.stem() : material_;
}

Image rgb_of(const tessera_tensor &frame) {
    Image image{static_cast<std::uint32_t>(frame.shape[1]),
                static_cast<std::uint32_t>(frame.shape[0]),
                3,
                {}};
    image.pixels.reserve(std::size_t{image.width} * image.height * 3);
    for (std::int64_t y = 0; y < frame.shape[0]; ++y) {
        const auto *pixel = static_cast<const std::uint8_t *>(frame.data) + y * frame.stride[0];
        for (std::int64_t x = 0; x < frame.shape[1]; ++x, pixel += frame.stride[1]) {
            image.pixels.insert(image.pixels.end(), pixel, pixel + 3);
        }
    }
    return image;
}

} // namespace tessera
