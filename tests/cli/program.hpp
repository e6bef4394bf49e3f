// Runs a program and catches what it says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace tessera::test {

struct Outcome {
    int exit_code = -1; // -1: ended by a signal
    int signal = 0;
    std::string out;
    std::string err;
};

struct ProgramOptions {
    std::map<std::string, std::string> environment; // on top of this program's
    std::filesystem::path folder;                   // to run in; empty: this one
    std::uint64_t max_file_bytes = 0;               // 0: as it is
    bool no_privileges = false;                     // as a user who owns nothing, when root
};

[[nodiscard]] Outcome run_program(const std::string &program,
                                  const std::vector<std::string> &arguments,
                                  const ProgramOptions &options);

} // namespace tessera::test
