// Where plugins and models are looked for: given folders, the environment, and the places next to
// the running program and next to libtessera.so, which are the same in the build tree and
// installed.
#pragma once

#include "core/result.hpp"

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

using PathList = std::vector<std::filesystem::path>;

// `given`, then TESSERA_PLUGIN_PATH (separated by ':'), then ../lib/tessera/plugins next to the
// program, then tessera/plugins next to the library. Only folders that exist, each once.
[[nodiscard]] PathList plugin_dirs(const PathList &given);
// The same with TESSERA_MODEL_PATH, and share/tessera/models of the same prefix.
[[nodiscard]] PathList model_dirs(const PathList &given);

// A weight file: NAME, NAME.safetensors or NAME/generator.safetensors (or the index of its shards)
// in one of `dirs`, or a path from `base` (empty: the working folder), to a file or such a folder.
// What has no '/' is a name first: a file that happens to be called so hides no model; "./NAME" is
// the file. With a '/' the path comes first. The error lists where it looked.
[[nodiscard]] Result<std::filesystem::path> find_model(std::string_view name, const PathList &dirs,
                                                       const std::filesystem::path &base = {});

// What lies in a folder, in no order; nothing when it cannot be read.
[[nodiscard]] PathList list_folder(const std::filesystem::path &folder);

struct ModelFile {
    std::string name; // what find_model takes
    std::filesystem::path path;
};
// Every model in `dirs`, by name; of equal names the one that find_model gives.
[[nodiscard]] std::vector<ModelFile> list_models(const PathList &dirs);

// How a preset in the file `preset` names the model `found` so that find_model finds it again: as
// one of those in `dirs`, else by a path from the preset's folder when the model lies in it, else
// by an absolute path.
[[nodiscard]] std::string model_for_preset(const std::filesystem::path &found,
                                           const std::filesystem::path &preset,
                                           const PathList &dirs);

} // namespace tessera
