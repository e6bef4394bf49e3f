#include "sandbox/generate/output.hpp"

#include <algorithm>
#include <cctype>
#include <system_error>

namespace tessera {
namespace {

namespace fs = std::filesystem;

// A label as a part of a file name.
std::string file_part(const std::string &label) {
    std::string part = label;
    for (char &c : part) {
        const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
        if (!plain) c = '_';
    }
    return part.empty() ? "image" : part;
}

std::string stem_of(const PictureName &name) {
    return fmt::format("{}_{}_{:03}", file_part(name.label), name.seed, name.index);
}

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

Result<void> check_parent(const fs::path &file) {
    std::error_code code;
    const fs::path parent = file.has_parent_path() ? file.parent_path() : fs::path(".");
    if (!fs::is_directory(parent, code)) {
        return make_error(Status::kIo, "{}: cannot write: there is no folder {}", file.string(),
                          parent.string());
    }
    return {};
}

bool names_file(const fs::path &path) {
    std::error_code code;
    if (fs::is_directory(path, code)) return false;
    return path.extension() == ".png" || (fs::exists(path, code) && !fs::is_directory(path, code));
}

} // namespace

Result<GenerateOutput> GenerateOutput::open(const GenerateOptions &options,
                                            std::uint64_t image_count) {
    GenerateOutput output;
    output.output_ = options.output;
    output.is_folder_ = !names_file(options.output);
    output.is_numbered_ = !output.is_folder_ && image_count > 1;
    output.frames_ = options.frames;
    output.material_ = options.material;
    output.has_many_ = image_count > 1;
    auto done = output.is_folder_ ? make_folder(output.output_) : check_parent(output.output_);
    if (done && output.has_frames()) done = make_folder(output.frames_);
    if (done && !options.contact_sheet.empty()) done = check_parent(options.contact_sheet);
    if (done && !options.save_preset.empty()) done = check_parent(options.save_preset);
    if (done && !options.json.empty() && options.json != "-") done = check_parent(options.json);
    if (!done) return done.error();
    return output;
}

fs::path GenerateOutput::path_of(const PictureName &name) const {
    if (is_folder_) return output_ / (stem_of(name) + ".png");
    if (!is_numbered_) return output_;
    const std::string file = fmt::format("{}_{}{}", output_.stem().string(), stem_of(name),
                                         output_.extension().string());
    return output_.parent_path() / file;
}

fs::path GenerateOutput::frame_path_of(const PictureName &name, std::uint32_t step) const {
    return frames_ / fmt::format("{}_step{:04}.png", stem_of(name), step);
}

fs::path GenerateOutput::material_path_of(const PictureName &name) const {
    return has_many_ ? material_ / stem_of(name) : material_;
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
