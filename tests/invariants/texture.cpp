// The small texture model of tests/golden/data/texture.
#include "tests/invariants/subject.hpp"

#include <filesystem>

namespace tessera::invariants {
namespace {

const Subject kTexture({.plugin = "texture",
                        .name = "texture",
                        .write_model =
                            [](const std::string &folder) {
                                const std::string path = folder + "model.safetensors";
                                std::filesystem::copy_file(
                                    TESSERA_SOURCE_DIR
                                    "/tests/golden/data/texture/weights.safetensors",
                                    path);
                                return path;
                            },
                        .values = {{"class", 1}, {"width", 64}, {"height", 72}, {"steps", 2}}});

} // namespace
} // namespace tessera::invariants
