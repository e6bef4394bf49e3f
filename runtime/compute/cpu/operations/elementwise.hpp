// Element-by-element operations: the per-level loops over one contiguous row.
#pragma once

#include <tessera/ext/draft/mlp_denoiser.h>

#include <cstdint>

namespace tessera::cpu {

// Function pointers; made by elementwise_kernels.hpp. `out` may be any of the inputs.
// One row of `reverse_step`; NULL pointers: the term is absent.
struct ReverseRow {
    const float *x, *model, *second, *state, *kept, *noise;
    const float *columns; // (7, n), `columns_stride` apart; NULL: ones
    std::int64_t columns_stride;
    const tessera_reverse *options;
    std::int64_t n;
    float *clean; // or NULL
    float *out;
};

struct ElementwiseKernels {
    void (*scale_offset)(const float *x, std::int64_t n, float scale, float offset, float *out);
    void (*add)(const float *a, const float *b, std::int64_t n, float *out);
    void (*activate)(const float *x, std::int64_t n, tessera_activation_kind kind, float *out);
    // out = x * (1 + scale) + shift
    void (*modulate)(const float *x, const float *shift, const float *scale, std::int64_t n,
                     float *out);
    // One head of rotary: columns k and count + k turned by the angle whose cosine and sine are at
    // k.
    void (*turn_halves)(const float *x, const float *cosines, const float *sines,
                        std::int64_t count, float *out);
    // out = u + scale (c - u)
    void (*guide)(const float *conditional, const float *unconditional, std::int64_t n, float scale,
                  float *out);
    // One row of a denoise chain's step; variance NULL: 0; noise is read when step.noise_scale is
    // not 0.
    void (*reverse_step)(const float *x, const float *model, const float *variance,
                         const float *noise, const tessera_reverse_step &step, std::int64_t n,
                         float *out);
    void (*clean_step)(const ReverseRow &row);
};

} // namespace tessera::cpu
