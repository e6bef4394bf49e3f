// Layer norm and group norm: the per-level loops, and the statistics that join them.
// Statistics are float32 in two passes over data that is in cache, joined in double in a fixed
// order: robust against a large mean, and the same for any number of threads.
#pragma once

#include <tessera/compute.h>

#include <cstdint>

namespace tessera::cpu {

// Pixels whose statistics are made together. Part of the result: it fixes the order of the sums.
constexpr std::int64_t kNormBlockPixels = 64;

// The per-level half. Function pointers; made by norm_kernels.hpp.
struct NormKernels {
    // One row of `width` elements; gamma and beta may be NULL; out may be x.
    void (*layer_norm)(const float *x, const float *gamma, const float *beta, std::int64_t width,
                       float epsilon, float *out);
    // x / sqrt(mean of squares + epsilon), times gamma unless it is NULL; out may be x.
    void (*rms_norm)(const float *x, const float *gamma, std::int64_t width, float epsilon,
                     float *out);
    // For each channel over `pixels` pixels, `stride` elements apart: its mean and the sum of
    // squared differences from it.
    void (*channel_statistics)(const float *x, std::int64_t pixels, std::int64_t stride,
                               std::int64_t channels, float *mean, float *squares);
    // out = act((x - mean) * scale + offset), all (channels); act is NONE or SILU; out may be x.
    void (*normalise)(const float *x, std::int64_t pixels, std::int64_t stride,
                      std::int64_t channels, const float *mean, const float *scale,
                      const float *offset, tessera_activation_kind activation, float *out,
                      std::int64_t out_stride);
};

} // namespace tessera::cpu
