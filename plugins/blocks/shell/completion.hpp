// What a request gives: the image, latents and mask inputs, checked, as the set of known tokens and
// the pixels that the finished picture takes over.
#pragma once

#include "blocks/shell/token_grid.hpp"

#include <tessera/sdk/tensor.hpp>

#include <cstdint>
#include <optional>
#include <vector>

namespace tessera::blocks {

struct Completion {
    std::vector<float> pixels; // (H, W, 3) in [-1, 1]; empty without an image
    // (h, w, C) of an earlier run, or (images, h, w, C) where each has its own; empty: encode the
    // pixels.
    std::vector<float> latents;
    std::vector<std::uint8_t> known;       // (S) 1: every pixel of the token's cell is to be kept
    std::vector<std::int32_t> kept_pixels; // indices of pixels to keep
    std::vector<float> kept_values;        // (kept, 3)
};

// Nothing when there is no input at all; throws Failure when there is no mask, nothing next to the
// mask, or a wrong size or type.
[[nodiscard]] std::optional<Completion>
read_completion(const TokenGrid &grid, std::int64_t channels, const sdk::View *image,
                const sdk::View *mask, const sdk::View *latents = nullptr);

// Latents of a further image, as those of the first one.
[[nodiscard]] std::vector<float> read_latents(const TokenGrid &grid, const sdk::View &latents);

// A whole picture to encode, `name` in messages: all of it is known.
[[nodiscard]] Completion read_whole(const TokenGrid &grid, std::int64_t channels,
                                    const sdk::View &image, const char *name);

} // namespace tessera::blocks
