// Rows of standard normal numbers; the arithmetic is in compute/normal_numbers.hpp.
#pragma once

#include <tessera/compute.h>

#include <cstdint>

namespace tessera::cpu {

// Elements [0, width) of the row of (image, position), drawn from `first_draw` on.
void normal_row(const tessera_random &random, std::int32_t image, std::int32_t position,
                std::uint32_t first_draw, std::int64_t width, float *out);

} // namespace tessera::cpu
