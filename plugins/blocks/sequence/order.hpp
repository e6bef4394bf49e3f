// Which token when: random generation orders, and the cosine rule for how many a step.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tessera::blocks {

// A random order of an image's tokens, the last generated one first, so that the unknown tokens are
// always the first entries. Token scores are word 0 of the counter (stream 0, image, token, 0);
// higher scores are generated earlier. Tokens that `known` marks come before all unknown ones, that
// is at the end, by index; `known` is empty or has one entry a token.
[[nodiscard]] std::vector<std::int32_t> random_order(std::uint64_t seed, std::uint32_t image,
                                                     int tokens,
                                                     std::span<const std::uint8_t> known);

// Unknown tokens after step k of n: floor(total cos(pi/2 (k+1)/n)), at least 1 and fewer than now.
// This is the official rule, with 1 (not 0) at the last step; the guidance rule needs it so.
[[nodiscard]] int unknown_after_step(int step, int steps, int total, int unknown_now);

// One autoregressive step of the plan.
struct UnmaskStep {
    int unknown_before = 0; // tokens not known when the step begins
    int unknown_after = 0;  // by the rule above: 1 at the last step
    int first = 0;          // entries [first, unknown_before) of each order are predicted
};

// The steps that turn `unknown` tokens into known ones; `steps` above `unknown` count as `unknown`.
[[nodiscard]] std::vector<UnmaskStep> cosine_plan(int steps, int unknown);

} // namespace tessera::blocks
