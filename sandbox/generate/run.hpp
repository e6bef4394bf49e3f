// The run of tessera-generate: the jobs of one player, and the files they leave.
#pragma once

#include "core/result.hpp"
#include "sandbox/generate/options.hpp"

#include <atomic>
#include <cstdint>

namespace tessera {

// Exit codes.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;

// Generates what the options say; prints errors to standard error. Returns the exit code.
// `cancelled` is polled; `started_us` is the monotonic time at which the program started.
[[nodiscard]] int generate(GenerateOptions options, const std::atomic<bool> &cancelled,
                           std::uint64_t started_us);

} // namespace tessera
