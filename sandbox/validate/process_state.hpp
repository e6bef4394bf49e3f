// What a process holds, for finding what a plugin leaves behind.
#pragma once

#include <cstddef>
#include <filesystem>

namespace tessera::validate {

[[nodiscard]] std::size_t count_threads();
[[nodiscard]] std::size_t count_descriptors();
// Bytes that the allocator has given out and not got back, and those mapped for large blocks.
[[nodiscard]] std::size_t allocated_bytes();
// Files mapped from this library.
[[nodiscard]] bool is_mapped(const std::filesystem::path &library);
// The library's own symbols that the linker can find.
[[nodiscard]] std::size_t count_exports(const std::filesystem::path &library);

} // namespace tessera::validate
