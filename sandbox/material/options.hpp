// What a user may say about a material, by key: the settings of the maps and of the export.
#pragma once

#include "core/result.hpp"
#include "interop/maps/texture_maps.hpp"

#include <string>
#include <string_view>

namespace tessera {

struct MaterialOptions {
    MaterialSettings maps;
    float metallic = 0; // of the whole material, in the ORM map
    bool operator==(const MaterialOptions &) const = default;
};

// Sets what `key` names; the error says which keys or values there are.
[[nodiscard]] Result<void> set_material_option(MaterialOptions &options, std::string_view key,
                                               std::string_view text);
// "seamless, height_strength, ..."
[[nodiscard]] std::string material_option_keys();

} // namespace tessera
