// Products in float32 by tiles in shared memory: every sum runs over its index in ascending order,
// so that an element's bits depend on its row and column alone. No tensor cores: this is the exact
// mode, and the convolutions.
#pragma once

#include "compute/cuda/kernels/rows.cuh"

#include <cuda_bf16.h>

namespace tessera::cuda {

constexpr int kTile = 64;          // rows and columns of the result that a block of threads makes
constexpr int kSlab = 16;          // of the inner index that lie in shared memory at once
constexpr int kPart = 4;           // rows and columns of a thread
constexpr int kPadded = kTile + 4; // keeps 16-byte alignment

[[nodiscard]] __device__ inline float as_float(float value) { return value; }
[[nodiscard]] __device__ inline float as_float(__nv_bfloat16 value) {
    return __bfloat162float(value);
}

[[nodiscard]] inline dim3 tiles_for(std::int64_t rows, std::int64_t columns) {
    return {blocks_for(rows, kTile), blocks_for(columns, kTile), 1}; // rows may be millions
}

// store(row, column, sum of a(row, k) b(column, k)) for the tile of this block, by kThreads
// threads. `a` and `b` are asked for rows and columns inside the result, and for k < inner only.
template <class A, class B, class Store>
__device__ void tile_product(std::int64_t rows, std::int64_t columns, std::int64_t inner,
                             const A &a, const B &b, const Store &store) {
    __shared__ __align__(16) float a_slab[kSlab][kPadded];
    __shared__ __align__(16) float b_slab[kSlab][kPadded];
    const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.x) * kTile;
    const std::int64_t first_column = static_cast<std::int64_t>(blockIdx.y) * kTile;
    const int own_row = static_cast<int>(threadIdx.x) / (kTile / kPart) * kPart;
    const int own_column = static_cast<int>(threadIdx.x) % (kTile / kPart) * kPart;
    const int load_k = static_cast<int>(threadIdx.x) % kSlab;
    const int load_at = static_cast<int>(threadIdx.x) / kSlab;
    constexpr int kLoadStep = static_cast<int>(kThreads) / kSlab;
    constexpr int kLoads = kTile / kLoadStep;
    decltype(a.row(0)) rows_of_a[kLoads];
    for (int i = 0; i < kLoads; ++i) {
        const std::int64_t row = first_row + load_at + i * kLoadStep;
        rows_of_a[i] = a.row(row < rows ? row : 0);
    }
    float sums[kPart][kPart] = {};
    for (std::int64_t first = 0; first < inner; first += kSlab) {
        const std::int64_t k = first + load_k;
        __syncthreads(); // the slab before this one has been read
        const auto inner_of_a = a.inner(k < inner ? k : 0);
        for (int i = 0; i < kLoads; ++i) {
            const int at = load_at + i * kLoadStep;
            const bool in_a = k < inner && first_row + at < rows;
            const bool in_b = k < inner && first_column + at < columns;
            a_slab[load_k][at] = in_a ? a(rows_of_a[i], inner_of_a) : 0.0F;
            b_slab[load_k][at] = in_b ? b(first_column + at, k) : 0.0F;
        }
        __syncthreads();
        // Sums of slabs are summed: that rounds far less than one sum over a long index.
        float parts[kPart][kPart] = {};
        const int depth = inner - first < kSlab ? static_cast<int>(inner - first) : kSlab;
        for (int s = 0; s < depth; ++s) {
            const float4 of_rows = *reinterpret_cast<const float4 *>(&a_slab[s][own_row]);
            const float4 of_columns = *reinterpret_cast<const float4 *>(&b_slab[s][own_column]);
            const float r[kPart] = {of_rows.x, of_rows.y, of_rows.z, of_rows.w};
            const float c[kPart] = {of_columns.x, of_columns.y, of_columns.z, of_columns.w};
            for (int i = 0; i < kPart; ++i)
                for (int j = 0; j < kPart; ++j) parts[i][j] = fmaf(r[i], c[j], parts[i][j]);
        }
        for (int i = 0; i < kPart; ++i)
            for (int j = 0; j < kPart; ++j) sums[i][j] += parts[i][j];
    }
    for (int i = 0; i < kPart; ++i) {
        for (int j = 0; j < kPart; ++j) {
            const std::int64_t row = first_row + own_row + i;
            const std::int64_t column = first_column + own_column + j;
            if (row < rows && column < columns) store(row, column, sums[i][j]);
        }
    }
}

} // namespace tessera::cuda
