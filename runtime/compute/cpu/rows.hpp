// Walks the rows of several tensors at once, in parallel: what row-by-row operations share.
#pragma once

#include "compute/cpu/cpu.hpp"
#include "compute/row_shape.hpp"

#include <tessera/compute.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace tessera::cpu {

// Where row r of `over` begins in `tensor`, whose missing or single dimensions are repeated.
class RowOffsets {
  public:
    RowOffsets() = default;
    RowOffsets(const tessera_tensor &tensor, const tessera_tensor &over) {
        // Leading dimension d of `over`, counted from the last row dimension upwards.
        for (std::int32_t d = 0; d + 1 < over.rank; ++d) {
            const std::int32_t in_over = over.rank - 2 - d;
            const std::int32_t in_tensor = tensor.rank - 2 - d;
            extent_[d] = over.shape[in_over];
            stride_[d] =
                in_tensor >= 0 && tensor.shape[in_tensor] != 1 ? tensor.stride[in_tensor] : 0;
        }
    }

    [[nodiscard]] std::int64_t operator()(std::int64_t row) const {
        const std::int64_t upper = row / extent_[0];
        return row % extent_[0] * stride_[0] + upper % extent_[1] * stride_[1] +
               upper / extent_[1] * stride_[2];
    }

  private:
    std::array<std::int64_t, TESSERA_MAX_RANK - 1> extent_{1, 1, 1};
    std::array<std::int64_t, TESSERA_MAX_RANK - 1> stride_{};
};

// Elements of one piece of a loop: enough to be worth handing to a thread.
constexpr std::int64_t kPieceElements = 16384;

template <class Piece>
void for_each_piece(Cpu &cpu, std::int64_t count, Piece &&piece) {
    if (count == 1)
        piece(std::int64_t{0});
    else
        cpu.pool().parallel_for(count, piece);
}

// Calls body(offsets, width) for every row of `over`; offsets[i] is where it begins in tensors[i].
template <std::size_t N, class Body>
void for_each_row(Cpu &cpu, const tessera_tensor &over,
                  const std::array<const tessera_tensor *, N> &tensors, Body &&body) {
    const std::int64_t rows = row_count(over);
    const std::int64_t width = row_width(over);
    std::array<RowOffsets, N> offsets;
    for (std::size_t i = 0; i < N; ++i) offsets[i] = RowOffsets(*tensors[i], over);
    const std::int64_t rows_per_piece = std::max<std::int64_t>(1, kPieceElements / width);
    const std::int64_t pieces = (rows + rows_per_piece - 1) / rows_per_piece;
    for_each_piece(cpu, pieces, [&](std::int64_t piece) {
        const std::int64_t end = std::min(rows, (piece + 1) * rows_per_piece);
        for (std::int64_t row = piece * rows_per_piece; row < end; ++row) {
            std::array<std::int64_t, N> at;
            for (std::size_t i = 0; i < N; ++i) at[i] = offsets[i](row);
            body(at, width);
        }
    });
}

// The same for operations that do not care where rows end: gapless tensors of one shape are walked
// in long spans.
template <std::size_t N, class Body>
void for_each_span(Cpu &cpu, const tessera_tensor &over,
                   const std::array<const tessera_tensor *, N> &tensors, Body &&body) {
    const bool flat = std::all_of(tensors.begin(), tensors.end(), [&](const tessera_tensor *t) {
        return is_contiguous(*t) && has_same_shape(*t, over);
    });
    if (!flat) return for_each_row(cpu, over, tensors, body);
    const std::int64_t total = row_count(over) * row_width(over);
    const std::int64_t pieces = (total + kPieceElements - 1) / kPieceElements;
    for_each_piece(cpu, pieces, [&](std::int64_t piece) {
        std::array<std::int64_t, N> at;
        at.fill(piece * kPieceElements);
        body(at, std::min(kPieceElements, total - at[0]));
    });
}

[[nodiscard]] inline float *data_of(const tessera_tensor &tensor) {
    return static_cast<float *>(tensor.data);
}

} // namespace tessera::cpu
