// A material as files that other programs read: one PNG per map and a glTF 2.0 scene with them.
#pragma once

#include "core/result.hpp"
#include "maps/material_maps.hpp"
#include "sandbox/material/options.hpp"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

// Writes into `folder`, which is made when it is not there; each file is replaced as a whole. For
// the name "brick" (of others see file_part in core/text.hpp):
//   brick_albedo.png                                 colour: sRGB
//   brick_normal.png (y up)  brick_roughness.png  brick_ao.png   data, 8 bits
//   brick_height.png                                 data, 16 bits
//   brick_orm.png   red occlusion, green roughness, blue metallic, as glTF packs them
//   brick_normal_directx.png  y down; when the settings ask for it
//   brick.gltf  brick.bin     a square, tiled twice each way
// Materials of several names can share a folder. Data have no colour chunk. `material` is the name
// of its class, for metallic_of. Returns the files' names.
[[nodiscard]] Result<std::vector<std::string>> export_material(const std::filesystem::path &folder,
                                                               const std::string &name,
                                                               std::string_view material,
                                                               const MaterialMaps &maps,
                                                               const MaterialOptions &options);

} // namespace tessera
