// Pictures that repeat without a seam: which tokens a run makes again once the picture is complete,
// and where the model sees the tokens while it does. The tokens at the border are shown to it
// rolled to the middle of the grid, so that those on both sides of the wrap are neighbours;
// everything else is known to it.
#pragma once

#include "blocks/sequence/order.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace tessera::blocks {

// Tokens made again in one rolled frame. The picture's token (y, x) of an n x n grid is seen at
// ((y + roll_y) mod n, (x + roll_x) mod n).
struct SeamRound {
    int roll_y = 0;
    int roll_x = 0;
    std::vector<std::uint8_t> wanted; // (n n) in the picture's own frame
    std::vector<UnmaskStep> steps;    // over the wanted tokens
};

// First, rolled by n / 2 both ways, the cross that is two tokens wide without its ends, because
// these lie on the border of the rolled grid and would be a seam again; then, rolled one way only,
// the ends: 2 x 2 tokens where the wrap of one direction meets the middle of the other. Tokens that
// `known` marks (empty: none) are never wanted, and rounds without wanted tokens are left out.
// A round takes its share of a run's `steps`, rounded to the nearest, at least one. Grids below
// 4 x 4 are all border: no rounds.
[[nodiscard]] std::vector<SeamRound> seam_rounds(int side, int steps,
                                                 std::span<const std::uint8_t> known);

// Where token `token` of the picture is seen.
[[nodiscard]] std::int32_t rolled(std::int32_t token, int side, const SeamRound &round);

} // namespace tessera::blocks
