// Winograd's minimal filtering F(4x4, 3x3) (arXiv 1509.09308): a tile of 4 x 4 outputs costs 36
// products a channel pair instead of 144. The per-level transforms; conv_winograd.cpp drives them.
#pragma once

#include <tessera/compute.h>

#include <cstddef>
#include <cstdint>

namespace tessera::cpu {

constexpr std::int64_t kWinogradOut = 4;                              // tile side of the output
constexpr std::int64_t kWinogradIn = 6;                               // and of the input it reads
constexpr std::int64_t kWinogradMatrices = kWinogradIn * kWinogradIn; // products per tile

// Function pointers; made by winograd_kernels.hpp.
struct WinogradKernels {
    // Half a panel of a packed 3x3 weight (see gemm.hpp; nine segments), input channels [begin,
    // end), into 36 f32 half panels, `matrix_stride` elements apart: G g G^T.
    void (*weight)(const void *half, bool bf16, std::int64_t in_channels, std::int64_t begin,
                   std::int64_t end, float *out, std::ptrdiff_t matrix_stride);
    // 36 pixels of `channels` floats into a row of each of the 36 matrices: B^T d B.
    void (*input)(const float *const *pixels, std::int64_t channels, float *out,
                  std::ptrdiff_t matrix_stride);
    // A row of each of the 36 matrices into 16 pixels: residual + act(A^T m A + bias). Pixels whose
    // `out` is NULL lie outside; bias and `residual` may be NULL.
    void (*output)(const float *rows, std::ptrdiff_t matrix_stride, std::int64_t channels,
                   const float *bias, tessera_activation_kind activation,
                   const float *const *residual, float *const *out);
};

} // namespace tessera::cpu
