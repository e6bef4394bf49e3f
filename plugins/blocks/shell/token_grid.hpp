// How pictures are cut into tokens.
#pragma once

#include <cstdint>

namespace tessera::blocks {

// The numbers inside a token of several latent cells, slowest first.
enum class PatchOrder {
    kChannelFirst, // (channel, row, column)
    kChannelLast,  // (row, column, channel)
};

struct TokenGrid {
    std::int64_t rows = 0; // of tokens
    std::int64_t columns = 0;
    std::int64_t patch = 1; // latent cells along a token
    std::int64_t latent_channels = 0;
    std::int64_t latent_stride = 1; // pixels along a latent cell
    double latent_scale = 1.0;      // tokens = latents * scale
    PatchOrder patch_order = PatchOrder::kChannelFirst;

    [[nodiscard]] std::int64_t tokens() const { return rows * columns; }
    [[nodiscard]] std::int64_t token_width() const { return latent_channels * patch * patch; }
    [[nodiscard]] std::int64_t latent_height() const { return rows * patch; }
    [[nodiscard]] std::int64_t latent_width() const { return columns * patch; }
    [[nodiscard]] std::int64_t height() const { return latent_height() * latent_stride; } // pixels
    [[nodiscard]] std::int64_t width() const { return latent_width() * latent_stride; }
};

} // namespace tessera::blocks
