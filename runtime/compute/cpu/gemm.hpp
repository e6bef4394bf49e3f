// The matrix product under every dense operation: C = epilogue(A W^T), W packed once into panels.
// It does not start threads: callers are inside a parallel region and hand out (panel, rows)
// pieces.
//
// A packed matrix holds W (columns, inner) as panels of `kernels.panel_columns` columns. A panel is
// two halves; a half is [inner][column] in f32 and [inner / 2][column][2] in bf16. Missing columns
// and the odd inner element of a segment are zeros. The inner dimension may be cut into equal
// segments (the taps of a convolution): then row r of A is the concatenation of a_rows[s *
// a_rows_stride + r], s = 0 ... .
//
// Every element of C is summed over the inner index in one fixed order, whatever the tile it is in:
// a row's result does not depend on the other rows, the pieces or the thread.
//
// Typical use, inside region code (see linear.cpp):
//     GemmCall call{.weight = packed, .a = x, .a_stride = width, .rows = m, .out = y, ...};
//     region.for_each(gemm_pieces(gemm, call), [&](std::int64_t i) { run_piece(gemm, call, i); });
#pragma once

#include <tessera/compute.h>

#include <cstddef>
#include <cstdint>

namespace tessera::cpu {

// W (columns, segments * segment_length), packed. Plain data; the bytes belong to whoever packed.
struct PackedMatrix {
    const void *data = nullptr; // 64-byte aligned
    std::int64_t columns = 0;
    std::int64_t segments = 1;
    std::int64_t segment_length = 0;
    bool bf16 = false;
};

// Where C goes and what happens to it: out = residual + gate * act(sum + bias). Strides in
// elements.
struct Epilogue {
    const float *bias = nullptr; // (columns)
    tessera_activation_kind activation = TESSERA_ACTIVATION_NONE;
    const float *gate = nullptr; // (rows / gate_rows, columns): each holds for gate_rows rows
    std::ptrdiff_t gate_stride = 0;
    std::int64_t gate_rows = 1;
    const float *residual = nullptr; // (rows, columns); may be `out`
    std::ptrdiff_t residual_stride = 0;
};

// One product. A is f32, or bf16 when `gemm_takes_bf16(kernels, weight)`; then rows are readable up
// to an even length, zero-padded (`to_bf16` makes such rows).
struct GemmCall {
    PackedMatrix weight;
    // A: either rows at a + r * a_stride (elements; segments follow each other) ...
    const void *a = nullptr;
    std::ptrdiff_t a_stride = 0;
    // ... or a table of row pointers, a_rows[segment * a_rows_stride + r]; wins when not NULL.
    const void *const *a_rows = nullptr;
    std::ptrdiff_t a_rows_stride = 0;
    std::int64_t rows = 0;
    // Segments whose entry is not 0 are left out of the sums, and not read; NULL: none. f32 rows
    // without a table only.
    const std::uint8_t *skip = nullptr;
    // f32 only: the inner index is summed in stretches of about kStretch, which are then added up.
    // Rounding errors grow with the root of the longest sum.
    bool in_stretches = false;
    // C: f32, or bf16 (zero-padding is the caller's) when out_bf16 is not NULL.
    float *out = nullptr;
    std::uint16_t *out_bf16 = nullptr;
    std::ptrdiff_t out_stride = 0;
    Epilogue epilogue;
};

// The per-level half. Function pointers; made by gemm_kernels.hpp.
constexpr std::int64_t kMaxPanelColumns = 64; // of any level
constexpr std::int64_t kMaxTileRows = 16;
constexpr std::int64_t kStretch = 64; // terms
struct GemmKernels {
    std::int64_t panel_columns; // columns of a panel
    std::int64_t tile_rows;     // rows of the largest register tile
    bool dot_bf16;              // bf16 weights want bf16 activations

    // Packs one panel: `columns` (at most panel_columns) pointers to segments * segment_length
    // floats. `out` is the panel's place: panel_bytes from the start of the panel before it.
    void (*pack_panel)(const float *const *columns, std::int64_t column_count,
                       std::int64_t segments, std::int64_t segment_length, bool bf16, void *out);
    // Rows [row_begin, row_end) times panel `panel`.
    void (*panel)(const GemmCall &call, std::int64_t panel, std::int64_t row_begin,
                  std::int64_t row_end);
    // n floats to bf16 at out, zero up to an even count (to nearest even).
    void (*to_bf16)(const float *x, std::int64_t n, std::uint16_t *out);
};

// Bytes of one panel, and of all (data of `weight` need not be set).
[[nodiscard]] std::int64_t panel_bytes(const GemmKernels &kernels, const PackedMatrix &weight);
[[nodiscard]] std::int64_t panel_count(const GemmKernels &kernels, const PackedMatrix &weight);
[[nodiscard]] inline std::int64_t packed_bytes(const GemmKernels &kernels,
                                               const PackedMatrix &weight) {
    return panel_bytes(kernels, weight) * panel_count(kernels, weight);
}

[[nodiscard]] inline bool gemm_takes_bf16(const GemmKernels &kernels, const PackedMatrix &weight) {
    return kernels.dot_bf16 && weight.bf16;
}

// How many pieces a call has (panels times row blocks), and one of them. Pieces of one panel follow
// each other, so that it stays in the cache of the thread that has it.
[[nodiscard]] std::int64_t gemm_pieces(const GemmKernels &kernels, const GemmCall &call);
void run_piece(const GemmKernels &kernels, const GemmCall &call, std::int64_t piece);

// A row stride (elements) for `width` floats that keeps rows off the same cache sets.
[[nodiscard]] constexpr std::int64_t padded_stride(std::int64_t width) {
    return (width + 15) / 16 * 16 + 16;
}

} // namespace tessera::cpu
