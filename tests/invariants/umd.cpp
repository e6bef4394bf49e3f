// The small UMD models of the recorded cases: with classes on pixels.
#include "tests/invariants/subject.hpp"

#include <filesystem>

namespace tessera::invariants {
namespace {

const Subject kUmd({.plugin = "umd",
                    .name = "umd",
                    .write_model =
                        [](const std::string &folder) {
                            const std::string path = folder + "model.safetensors";
                            std::filesystem::copy_file(
                                TESSERA_FIXTURES_DIR "/umd_tiny/weights_cls.safetensors", path);
                            return path;
                        },
                    .values = {{"class", 1}, {"steps", 3}, {"guidance", 2}}});

const Subject kBundled =
    bundled("umd", "materials_umd", {{"class", 1}, {"steps", 3}}, "materials_mar_latents");

} // namespace
} // namespace tessera::invariants
