// Where the running program is. Linux only.
#pragma once

#include <filesystem>
#include <system_error>

namespace tessera {

// Folder of the program's file; empty when the system does not say.
[[nodiscard]] inline std::filesystem::path program_folder() {
    std::error_code code;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", code);
    return code ? std::filesystem::path() : program.parent_path();
}

} // namespace tessera
