// Where the running program is, and the library that this code is part of. Linux only.
#pragma once

#include <filesystem>
#include <system_error>

#include <dlfcn.h>

namespace tessera {

// Folder of the program's file; empty when the system does not say.
[[nodiscard]] inline std::filesystem::path program_folder() {
    std::error_code code;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", code);
    return code ? std::filesystem::path() : program.parent_path();
}

// Folder of the file that holds this code: the program's, or that of libtessera.so. Empty when the
// system does not say.
[[nodiscard]] inline std::filesystem::path library_folder() {
    static const char here = 0;
    Dl_info info{};
    if (dladdr(&here, &info) == 0 || info.dli_fname == nullptr) return {};
    std::error_code code;
    const auto file = std::filesystem::canonical(info.dli_fname, code);
    return code ? std::filesystem::path() : file.parent_path();
}

} // namespace tessera
