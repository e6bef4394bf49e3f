// Presets: which generator, which model, its values and a seed, as JSON in a file.
#pragma once

#include "core/result.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace tessera {

struct Preset {
    std::string plugin; // id of the generator
    // A bundled name, or a path, which begins at the preset's folder when it is relative; empty:
    // none. See find_model.
    std::string model;
    std::uint64_t seed = 0;
    std::string values = "{}"; // a JSON object, as Params::to_json gives and load_json takes
};

[[nodiscard]] std::string preset_to_json(const Preset &preset);
// Any text is safe to pass. Members that it does not know are ignored.
[[nodiscard]] Result<Preset> preset_from_json(std::string_view text);

[[nodiscard]] Result<void> save_preset(const std::filesystem::path &path, const Preset &preset);
[[nodiscard]] Result<Preset> load_preset(const std::filesystem::path &path);

} // namespace tessera
