// A material as files that other programs read: one PNG per map and a glTF 2.0 scene with them.
#pragma once

#include "core/result.hpp"
#include "interop/maps/texture_maps.hpp"
#include "sandbox/material/options.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace tessera {

// Writes into `folder`, which is made when it is not there; each file is replaced as a whole:
//   albedo.png  normal.png (y up)  roughness.png  ao.png   8 bits
//   height.png                                            16 bits
//   orm.png     red occlusion, green roughness, blue metallic, as glTF packs them
//   normal_directx.png  y down; when the settings ask for it
//   material.gltf  material.bin  a square, tiled twice each way
// Returns the files' names.
[[nodiscard]] Result<std::vector<std::string>> export_material(const std::filesystem::path &folder,
                                                               const std::string &name,
                                                               const MaterialMaps &maps,
                                                               const MaterialOptions &options);

} // namespace tessera
