// Files that are either as before or complete: written under a temporary name, then renamed. Where
// a file system or a folder does not let that happen, the file is written where it is.
// Linux only, as is its .cpp.
#pragma once

#include "core/result.hpp"

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace tessera {

// Every failure up to the disk itself is reported (a full one too). Devices, pipes, /dev/stdout and
// /dev/fd/N are written to directly; a link's target is replaced, not the link; a file keeps its
// permissions. In place, which is also the way for a mounted file and for a writable file in a
// read-only folder, a failure can leave a part. Any thread.
[[nodiscard]] Result<void> write_file(const std::filesystem::path &path,
                                      std::span<const std::byte> bytes);
[[nodiscard]] Result<void> write_file(const std::filesystem::path &path, std::string_view text);

// Whether write_file could begin to write there: folder, name, permissions. Leaves nothing behind.
[[nodiscard]] Result<void> check_target(const std::filesystem::path &path);

// Whether that is the standard output, under the names the system has for it.
[[nodiscard]] bool is_standard_output(const std::filesystem::path &path);

} // namespace tessera
