// What a user may say about a material, by key: the settings of the maps and of the export.
#pragma once

#include "core/result.hpp"
#include "maps/material_maps.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace tessera {

struct MaterialOptions {
    MaterialSettings maps;
    std::optional<float> metallic; // of the whole material; nothing: as metallic_of its class
    bool operator==(const MaterialOptions &) const = default;
};

// Sets what `key` names; the error says which keys or values there are.
[[nodiscard]] Result<void> set_material_option(MaterialOptions &options, std::string_view key,
                                               std::string_view text);
// "seamless, height_strength, ..."
[[nodiscard]] std::string material_option_keys();

} // namespace tessera
