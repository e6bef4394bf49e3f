// The system's monotonic clock, for programs and for the host, whose plugins get it as
// tessera.clock/1.
#pragma once

#include <chrono>
#include <cstdint>

namespace tessera::values {

// Since some moment; never goes back.
[[nodiscard]] inline std::uint64_t monotonic_ns() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}
[[nodiscard]] inline std::uint64_t monotonic_us() { return monotonic_ns() / 1000; }

} // namespace tessera::values
