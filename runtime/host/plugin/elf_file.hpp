// Is a file a whole ELF library for this machine? The dynamic linker trusts what it maps: half a
// file ends the process with a bus error instead of a message. Linux only, as is its .cpp.
#pragma once

#include "core/result.hpp"

#include <filesystem>

namespace tessera {

// The file has a readable header, and all that its program headers load lies in it.
[[nodiscard]] Result<void> check_elf_library(const std::filesystem::path &path);

} // namespace tessera
