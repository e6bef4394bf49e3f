// Tokens cut from a map and put together again, in the order that the grid says.
#pragma once

#include "blocks/shell/token_grid.hpp"

#include <tessera/sdk/compute.hpp>

namespace tessera::blocks {

// map (latent height, latent width, channels) -> tokens (S, d), and back. Views without gaps;
// leading dimensions of 1 may be there.
void cut_patches(const sdk::Compute &compute, const TokenGrid &grid, const sdk::View &map,
                 const sdk::View &tokens);
void join_patches(const sdk::Compute &compute, const TokenGrid &grid, const sdk::View &tokens,
                  const sdk::View &map);

} // namespace tessera::blocks
