// The small SAIM model of the recorded cases that predicts plain pixels.
#include "tests/invariants/subject.hpp"

#include <filesystem>

namespace tessera::invariants {
namespace {

const Subject kSaim({.plugin = "saim",
                     .name = "saim",
                     .write_model =
                         [](const std::string &folder) {
                             const std::string path = folder + "model.safetensors";
                             std::filesystem::copy_file(
                                 TESSERA_FIXTURES_DIR "/saim_tiny/weights_b.safetensors", path);
                             return path;
                         },
                     .values = {{"steps", 4}}});

} // namespace
} // namespace tessera::invariants
