// Where plugins and models are looked for: given folders, the environment, and the places beside
// the running program, which are the same in the build tree and installed.
#pragma once

#include "core/result.hpp"

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

using PathList = std::vector<std::filesystem::path>;

// `given`, then TESSERA_PLUGIN_PATH (separated by ':'), then ../lib/tessera/plugins beside the
// program. Only folders that exist, each once.
[[nodiscard]] PathList plugin_dirs(const PathList &given);
// The same with TESSERA_MODEL_PATH and ../share/tessera/models.
[[nodiscard]] PathList model_dirs(const PathList &given);

// A weight file by name: a path that exists, or NAME, NAME.safetensors or
// NAME/generator.safetensors (or the index of its shards) in one of `dirs`. The error lists where
// it looked.
[[nodiscard]] Result<std::filesystem::path> find_model(std::string_view name, const PathList &dirs);

// What lies in a folder, in no order; nothing when it cannot be read.
[[nodiscard]] PathList list_folder(const std::filesystem::path &folder);

struct ModelFile {
    std::string name; // what find_model takes
    std::filesystem::path path;
};
// Every model in `dirs`, by name; of equal names the one that find_model gives.
[[nodiscard]] std::vector<ModelFile> list_models(const PathList &dirs);

} // namespace tessera
