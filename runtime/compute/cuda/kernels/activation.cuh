// The activations of compute.h in device code.
#pragma once

#include <tessera/compute.h>

#include <cuda_runtime.h>

#include <cmath>

namespace tessera::cuda {

[[nodiscard]] __device__ inline float activated(float x, tessera_activation_kind kind) {
    switch (kind) {
    case TESSERA_ACTIVATION_GELU_ERF:
        return 0.5F * x * (1.0F + erff(x * 0.707106781F));
    case TESSERA_ACTIVATION_GELU_TANH:
        return 0.5F * x * (1.0F + tanhf(0.797884561F * (x + 0.044715F * x * x * x)));
    case TESSERA_ACTIVATION_SILU:
        return x / (1.0F + expf(-x));
    default:
        return x;
    }
}

} // namespace tessera::cuda
