// What a request gives: the image and mask inputs, checked, as the set of known tokens and the
// pixels that the finished picture takes over.
#pragma once

#include "mar/model.hpp"

#include <optional>
#include <vector>

namespace tessera::mar {

struct Completion {
    std::vector<float> pixels;             // (H, W, 3) in [-1, 1]
    std::vector<std::uint8_t> known;       // (S) 1: every pixel of the token's cell is to be kept
    std::vector<std::int32_t> kept_pixels; // indices of pixels to keep
    std::vector<float> kept_values;        // (kept, 3)
};

// Nothing when there is no input at all; throws Failure when there is only one of the two, or a
// wrong size or type.
[[nodiscard]] std::optional<Completion> read_completion(const MarConfig &config,
                                                        std::int64_t channels,
                                                        const sdk::View *image,
                                                        const sdk::View *mask);

} // namespace tessera::mar
