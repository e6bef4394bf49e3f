// Products of rows with packed weights, for `linear` and for the denoise chain.
#pragma once

#include "compute/cuda/cuda.hpp"
#include "compute/cuda/kernels/activation.cuh"
#include "compute/cuda/kernels/warp_row.cuh"

#include <cuda_bf16.h>

namespace tessera::cuda {

// What becomes of a sum: residual + gate * act(sum + bias); NULL members are absent.
struct Epilogue {
    tessera_activation_kind activation = TESSERA_ACTIVATION_NONE;
    const float *bias = nullptr; // (columns)
    const float *gate = nullptr;
    std::int64_t gate_stride = 0;
    std::int64_t gate_rows = 1; // of the product that one row of gates holds for
    const float *residual = nullptr;
    std::int64_t residual_stride = 0;

    [[nodiscard]] __device__ float operator()(std::int64_t row, std::int64_t column,
                                              float sum) const {
        float value = bias != nullptr ? sum + bias[column] : sum;
        value = activated(value, activation);
        if (gate != nullptr) value *= gate[cell_of(row, gate_rows).row * gate_stride + column];
        return residual != nullptr ? residual[row * residual_stride + column] + value : value;
    }
};

// out = epilogue(x w^T) of a float32 weight: one launch. x and out may have any row stride.
void multiply_f32(Cuda &cuda, const char *what, const float *x, std::int64_t x_stride,
                  std::int64_t rows, const PackedWeight &weight, const Epilogue &epilogue,
                  float *out, std::int64_t out_stride);

// out = x w^T (+ bias) (+ residual) of a bf16 weight. x has rows of weight.stride elements, the
// others of a multiple of 4 (see padded_columns), all from addresses of 16 bytes. One product of
// cuBLASLt, and a kernel that adds where that has none that does.
void multiply_bf16(Cuda &cuda, const char *what, const __nv_bfloat16 *x, std::int64_t rows,
                   const PackedWeight &weight, const float *bias, const float *residual,
                   std::int64_t residual_stride, float *out, std::int64_t out_stride);

// The layer norm of the rows of a product. No `to`: none.
struct ProductNorm {
    RowNorm norm{};
    float *to = nullptr;
    std::int64_t stride = 0;
};
// out = epilogue(x w^T) of a bf16 weight, and its norm: one launch by tensor cores, of a device
// that has_mma(). x as above; out and the norm may have any row stride. `narrow`: the last result
// as bf16, rows of narrow_stride; NULL: not wanted.
void multiply_mma(Cuda &cuda, const char *what, const __nv_bfloat16 *x, std::int64_t rows,
                  const PackedWeight &weight, const Epilogue &epilogue, float *out,
                  std::int64_t out_stride, const ProductNorm &norm, __nv_bfloat16 *narrow,
                  std::int64_t narrow_stride);

[[nodiscard]] inline std::int64_t padded_columns(std::int64_t columns) {
    return (columns + 3) / 4 * 4;
}

} // namespace tessera::cuda
