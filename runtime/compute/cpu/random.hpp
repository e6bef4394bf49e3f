// Standard normal numbers from Philox words, in plain float32 arithmetic: the same bits on every
// machine and instruction set. The rule is in compute.h at tessera_random.
#pragma once

#include "core/philox.hpp"

#include <tessera/compute.h>

#include <array>
#include <cstdint>

namespace tessera::cpu {

// The four numbers of one counter.
[[nodiscard]] std::array<float, 4> normal_numbers(PhiloxCounter counter, PhiloxKey key);

// Elements [0, width) of the row of (image, position), drawn from `first_draw` on.
void normal_row(const tessera_random &random, std::int32_t image, std::int32_t position,
                std::uint32_t first_draw, std::int64_t width, float *out);

} // namespace tessera::cpu
