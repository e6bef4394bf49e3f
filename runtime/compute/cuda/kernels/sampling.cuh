// The arithmetic of guidance and of a reverse step, for the operations and the denoise chain.
#pragma once

#include <tessera/ext/draft/mlp_denoiser.h>

#include <cuda_runtime.h>

namespace tessera::cuda {

[[nodiscard]] __device__ inline float guided(float conditional, float unconditional, float scale) {
    return unconditional + scale * (conditional - unconditional);
}

// The prediction, moved to where the clean estimate lies in its range. Not a number stays one.
[[nodiscard]] __device__ inline float bounded(float x, float model,
                                              const tessera_mlp_denoiser_clean &clean) {
    if (!(clean.low < clean.high) || clean.model_scale == 0.0F) return model;
    const float of_x = clean.x_scale * x;
    const float estimate = of_x + clean.model_scale * model;
    if (estimate < clean.low) return (clean.low - of_x) / clean.model_scale;
    if (estimate > clean.high) return (clean.high - of_x) / clean.model_scale;
    return model;
}

// `noise` is used when the step has some.
[[nodiscard]] __device__ inline float reversed(float x, float model, float variance, float noise,
                                               const tessera_reverse_step &step) {
    const float mean = step.x_scale * x + step.model_scale * model;
    if (step.noise_scale == 0.0F) return mean;
    const float logvar = step.logvar_base + step.logvar_slope * variance;
    return mean + step.noise_scale * expf(0.5F * logvar) * noise;
}

} // namespace tessera::cuda
