// Files that are either as before or complete: written under a temporary name, then renamed.
// Linux only, as is its .cpp.
#pragma once

#include "core/result.hpp"

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace tessera {

// Every failure up to the disk itself is reported (a full one too). A device or a pipe is written
// to directly; a link's target is replaced, not the link.
[[nodiscard]] Result<void> write_file(const std::filesystem::path &path,
                                      std::span<const std::byte> bytes);
[[nodiscard]] Result<void> write_file(const std::filesystem::path &path, std::string_view text);

} // namespace tessera
