// Tokens cut from a map and put together again.
#include "blocks/pictures/patches.hpp"

namespace tessera::blocks {
namespace {

// Rows of `length` numbers that lie together in tokens and in maps, as (token rows, rows of a
// patch, token columns, length).
sdk::View strips(const sdk::View &view, const TokenGrid &grid, std::int64_t token_row,
                 std::int64_t patch_row, std::int64_t token_column) {
    const std::int64_t length = grid.patch * grid.latent_channels;
    const std::int64_t shape[] = {grid.rows, grid.patch, grid.columns, length};
    sdk::View out = sdk::make_view(view.data, view.dtype, shape, view.memory);
    out.stride[0] = token_row;
    out.stride[1] = patch_row;
    out.stride[2] = token_column;
    return out;
}

sdk::View strips_of_tokens(const sdk::View &tokens, const TokenGrid &grid) {
    const std::int64_t width = grid.token_width();
    return strips(sdk::reshape(tokens, {grid.tokens(), width}), grid, grid.columns * width,
                  grid.patch * grid.latent_channels, width);
}

sdk::View strips_of_map(const sdk::View &map, const TokenGrid &grid) {
    const std::int64_t row = grid.latent_width() * grid.latent_channels;
    return strips(sdk::reshape(map, {grid.latent_height(), row}), grid, grid.patch * row, row,
                  grid.patch * grid.latent_channels);
}

sdk::View as_batch(const sdk::View &map, const TokenGrid &grid) {
    return sdk::reshape(map, {1, grid.latent_height(), grid.latent_width(), grid.latent_channels});
}

sdk::View as_cells(const sdk::View &tokens, const TokenGrid &grid) {
    return sdk::reshape(tokens, {1, grid.rows, grid.columns, grid.token_width()});
}

} // namespace

void cut_patches(const sdk::Compute &compute, const TokenGrid &grid, const sdk::View &map,
                 const sdk::View &tokens) {
    if (grid.patch_order == PatchOrder::kChannelLast) {
        compute.copy(strips_of_map(map, grid), strips_of_tokens(tokens, grid));
    } else {
        compute.pixel_unshuffle(as_batch(map, grid), static_cast<std::uint32_t>(grid.patch),
                                as_cells(tokens, grid));
    }
}

void join_patches(const sdk::Compute &compute, const TokenGrid &grid, const sdk::View &tokens,
                  const sdk::View &map) {
    if (grid.patch_order == PatchOrder::kChannelLast) {
        compute.copy(strips_of_tokens(tokens, grid), strips_of_map(map, grid));
    } else {
        compute.pixel_shuffle(as_cells(tokens, grid), static_cast<std::uint32_t>(grid.patch),
                              as_batch(map, grid));
    }
}

} // namespace tessera::blocks
