// Given pictures as tokens and style.
#pragma once

#include "blocks/shell/completion.hpp"
#include "blocks/texture/trunk.hpp"

#include <tessera/ext/inputs.h>
#include <tessera/sdk/generator.hpp>

#include <optional>
#include <vector>

namespace tessera::texture {

// The request's input for a picture whose style is taken, of any size.
inline constexpr const char *kStyleInput = "style";

[[nodiscard]] tessera_input_slot style_slot();

// The style of that input, raw; nullopt when the request has none. Of a large picture that of its
// middle. Throws Failure when it is too small.
[[nodiscard]] std::optional<blocks::Style> read_style(const sdk::Request &request,
                                                      const sdk::Compute &compute,
                                                      const blocks::Wavelet &wavelet);

// What is given of a picture with a hole, as tokens (S, 195), or (images, S, 195) where each has
// latents of its own: its latents, or its pixels. What lies
// in the hole is not looked at. The style is that of what is kept; where less than half is, a style
// of the class completes it.
[[nodiscard]] std::vector<float> given_tokens(const blocks::Completion &completion, Grid grid,
                                              const sdk::Compute &compute,
                                              const blocks::Wavelet &wavelet,
                                              const blocks::StyleBank &bank, std::int64_t label);

} // namespace tessera::texture
