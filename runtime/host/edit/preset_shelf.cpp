#include "host/edit/preset_shelf.hpp"

#include "core/user_folders.hpp"
#include "host/plugin/search.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

namespace tessera {
namespace {

constexpr std::size_t kMaxNameBytes = 100;
constexpr std::size_t kMaxNames = 1000;

// The name becomes the file's.
Result<void> check_name(const std::string &name) {
    const bool fits = !name.empty() && name.size() <= kMaxNameBytes && name.front() != '.' &&
                      std::none_of(name.begin(), name.end(), [](char c) {
                          return c == '/' || static_cast<unsigned char>(c) < 0x20;
                      });
    if (fits) return {};
    return make_error(Status::kInvalidArgument,
                      "'{}' is no name for a preset; expected 1 to {} characters without '/', and "
                      "no '.' in front",
                      name, kMaxNameBytes);
}

} // namespace

PresetShelf::PresetShelf(std::filesystem::path folder) : folder_(std::move(folder)) { refresh(); }

std::filesystem::path PresetShelf::default_folder() {
    const std::filesystem::path config = user_config_folder();
    return config.empty() ? config : config / "presets";
}

void PresetShelf::refresh() {
    names_.clear();
    for (const std::filesystem::path &path : list_folder(folder_)) {
        if (path.extension() == ".json" && names_.size() < kMaxNames) {
            names_.push_back(path.stem().string());
        }
    }
    std::sort(names_.begin(), names_.end());
}

Result<void> PresetShelf::save(const std::string &name, const Preset &preset) {
    if (auto checked = check_name(name); !checked) return checked;
    if (folder_.empty()) {
        return make_error(Status::kIo, "there is no folder for presets: the user has no home "
                                       "folder; --preset-dir or XDG_CONFIG_HOME names one");
    }
    std::error_code problem;
    std::filesystem::create_directories(folder_, problem);
    if (problem) {
        return make_error(Status::kIo, "{}: cannot be made: {}", folder_.string(),
                          problem.message());
    }
    auto saved = save_preset(path_of(name), preset);
    refresh();
    return saved;
}

std::filesystem::path PresetShelf::path_of(const std::string &name) const {
    return folder_ / (name + ".json");
}

} // namespace tessera
