// How much work goes into a unit, after which a job can give control back. By the device: what
// takes two cores some milliseconds is less than a GPU needs to be kept busy at all.
#pragma once

#include <tessera/sdk/compute.hpp>

namespace tessera::blocks {

// Floating-point operations of a unit that has `on_two_cores` on the CPU.
[[nodiscard]] inline double unit_flops(const sdk::Compute &compute, double on_two_cores) {
    constexpr double kGpu = 100.0; // times as fast, about
    return compute.memory() == TESSERA_MEMORY_HOST ? on_two_cores : kGpu * on_two_cores;
}

} // namespace tessera::blocks
