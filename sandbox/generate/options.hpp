// What the user of tessera-generate asked for.
#pragma once

#include "sandbox/options/common_options.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace tessera {

struct GenerateOptions : CommonOptions {
    std::uint32_t count = 1;
    std::uint32_t batch = 1; // images per job
    bool all_classes = false;
    std::filesystem::path save_preset;

    std::filesystem::path init_image;
    std::filesystem::path mask_image;
    std::filesystem::path style_image;
    std::vector<std::filesystem::path> encoded; // pictures to represent instead of making some
    std::filesystem::path features;             // where their representations go

    // /dev/stdout where the user wrote "-".
    std::filesystem::path output; // picture or folder
    std::filesystem::path contact_sheet;
    std::filesystem::path frames;   // folder for every intermediate image
    std::filesystem::path material; // folder for the maps of each image
    Settings material_values;
    std::filesystem::path json; // report; empty: none

    bool list = false;
    bool quiet = false;
    bool verbose = false;

    // Something goes to standard output, so nothing else may.
    [[nodiscard]] bool writes_to_standard_output() const;
};

// Either options, or an exit code after help or a complaint was printed.
struct ParsedOptions {
    std::optional<GenerateOptions> options;
    int exit_code = 0;
};

[[nodiscard]] ParsedOptions parse_options(int argc, const char *const *argv);

} // namespace tessera
