// A folder of presets, by name.
#pragma once

#include "host/generator/preset.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace tessera {

class PresetShelf {
  public:
    // The folder is made by the first save.
    explicit PresetShelf(std::filesystem::path folder);
    // In user_config_folder(); empty when there is none, and then nothing can be saved.
    [[nodiscard]] static std::filesystem::path default_folder();

    [[nodiscard]] const std::filesystem::path &folder() const { return folder_; }
    // As of the last save or refresh, sorted.
    [[nodiscard]] const std::vector<std::string> &names() const { return names_; }
    void refresh();
    [[nodiscard]] Result<void> save(const std::string &name, const Preset &preset);
    [[nodiscard]] std::filesystem::path path_of(const std::string &name) const;

  private:
    std::filesystem::path folder_;
    std::vector<std::string> names_;
};

} // namespace tessera
