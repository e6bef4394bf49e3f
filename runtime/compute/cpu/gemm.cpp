#include "compute/cpu/gemm.hpp"

#include <algorithm>

namespace tessera::cpu {
namespace {

constexpr std::int64_t kTilesOfPiece = 16; // at most: rows whose A stays near while a panel is used
constexpr std::int64_t kWantedPieces = 16; // so that few panels still occupy several threads

std::int64_t piece_rows(const GemmKernels &kernels, const GemmCall &call) {
    const std::int64_t panels = panel_count(kernels, call.weight);
    const std::int64_t blocks =
        std::max<std::int64_t>(1, kWantedPieces / std::max<std::int64_t>(1, panels));
    const std::int64_t tiles = (call.rows + kernels.tile_rows - 1) / kernels.tile_rows;
    const std::int64_t tiles_of_piece = std::clamp<std::int64_t>(tiles / blocks, 1, kTilesOfPiece);
    // Equal blocks, so that the last one is no rest of a row or two.
    const std::int64_t count = (tiles + tiles_of_piece - 1) / tiles_of_piece;
    return count == 0 ? 1 : (call.rows + count - 1) / count;
}

} // namespace

std::int64_t panel_bytes(const GemmKernels &kernels, const PackedMatrix &weight) {
    const std::int64_t inner =
        weight.bf16 ? (weight.segment_length + 1) / 2 * 2 : weight.segment_length;
    const std::int64_t element = weight.bf16 ? 2 : 4;
    return weight.segments * inner * kernels.panel_columns * element;
}

std::int64_t panel_count(const GemmKernels &kernels, const PackedMatrix &weight) {
    return (weight.columns + kernels.panel_columns - 1) / kernels.panel_columns;
}

std::int64_t gemm_pieces(const GemmKernels &kernels, const GemmCall &call) {
    const std::int64_t rows = piece_rows(kernels, call);
    return panel_count(kernels, call.weight) * ((call.rows + rows - 1) / rows);
}

void run_piece(const GemmKernels &kernels, const GemmCall &call, std::int64_t piece) {
    const std::int64_t rows = piece_rows(kernels, call);
    const std::int64_t blocks = (call.rows + rows - 1) / rows;
    const std::int64_t begin = piece % blocks * rows;
    kernels.panel(call, piece / blocks, begin, std::min(call.rows, begin + rows));
}

} // namespace tessera::cpu
