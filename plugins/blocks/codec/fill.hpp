// Holes in a picture filled smoothly from what is round them, on the torus.
#pragma once

#include <cstdint>
#include <span>

namespace tessera::blocks {

// Replaces the values (height, width, channels) of pixels that `kept` (height, width) does not mark
// by a membrane that is spanned between the others. Nothing is kept: all become 0.
void fill_holes(std::span<float> values, std::span<const std::uint8_t> kept, std::int64_t height,
                std::int64_t width, std::int64_t channels);

} // namespace tessera::blocks
