// What the user of tessera-generate asked for.
#pragma once

#include "core/result.hpp"

#include <tessera/generator.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

struct GenerateOptions {
    std::string plugin; // id or path; empty: the model decides
    std::string model;  // path or bundled name; empty: none
    std::string backend;
    tessera_precision precision = TESSERA_PRECISION_DEFAULT;
    std::uint32_t threads = 0; // 0: one per core

    std::uint64_t seed = 0;
    bool has_seed = false; // else a preset's counts
    std::uint32_t count = 1;
    std::uint32_t batch = 1; // images per job
    bool all_classes = false;
    std::vector<std::pair<std::string, std::string>> values; // key, text; in order
    std::filesystem::path preset;
    std::filesystem::path save_preset;

    std::filesystem::path init_image;
    std::filesystem::path mask_image;
    std::filesystem::path style_image;

    std::filesystem::path output; // PNG or folder
    std::filesystem::path contact_sheet;
    std::filesystem::path frames;   // folder for every intermediate image
    std::filesystem::path material; // folder for the maps of each image
    std::vector<std::pair<std::string, std::string>> material_values; // key, text
    std::string json;                                                 // report: file, "-" or empty

    bool list = false;
    bool quiet = false;
    bool verbose = false;
};

// Either options, or an exit code after help or a complaint was printed.
struct ParsedOptions {
    std::optional<GenerateOptions> options;
    int exit_code = 0;
};

[[nodiscard]] ParsedOptions parse_options(int argc, const char *const *argv);

} // namespace tessera
