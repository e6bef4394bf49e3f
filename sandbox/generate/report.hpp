// The JSON report of a run of tessera-generate.
#pragma once

#include "host/run/session.hpp"
#include "sandbox/generate/options.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace tessera {

// One job of the run.
struct JobRecord {
    std::string label;
    std::uint32_t first_image = 0;
    std::uint32_t image_count = 0;
    std::vector<std::string> files;
    std::vector<double> seams; // of each file's picture, when a report is wanted; see wrap_seam
    RunReport times;
    std::string values; // that make it again: TESSERA_FEATURE_VALUES; empty: as they are
};

// Collected while the program runs.
struct GenerateRecord {
    std::uint64_t seed = 0;
    std::uint64_t load_us = 0;        // plugin found, generator made, model's head read
    std::uint64_t activate_us = 0;    // device opened, weights there
    std::uint64_t first_image_us = 0; // from the start of the program to the first file
    std::uint64_t total_us = 0;
    std::uint64_t tokens = 0; // of one image, as the generator's cells say; 0: unknown
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    std::vector<JobRecord> jobs;
    std::string error; // why the run ended early
};

[[nodiscard]] std::string report_json(const GenerateOptions &options, const Session &session,
                                      const GenerateRecord &record);

} // namespace tessera
