// Sums over the threads of a block, in one fixed order, and the statistics of a row made of them.
#pragma once

#include "compute/cuda/rows.cuh"

namespace tessera::cuda {

constexpr unsigned kWarp = 32;
constexpr unsigned kWarps = kThreads / kWarp;
constexpr unsigned kAllLanes = 0xffffffffU;

[[nodiscard]] __device__ inline float warp_sum(float value) {
    for (unsigned apart = kWarp / 2; apart > 0; apart /= 2)
        value += __shfl_xor_sync(kAllLanes, value, static_cast<int>(apart));
    return value;
}

// Over kThreads threads, all of which call it; the same bits for each of them.
[[nodiscard]] __device__ inline float block_sum(float value) {
    __shared__ float of_warp[kWarps];
    value = warp_sum(value);
    __syncthreads(); // the sum before this one has been read
    if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = value;
    __syncthreads();
    float total = 0.0F;
    for (const float one : of_warp) total += one;
    return total;
}

// (x - mean) * factor normalises.
struct RowStatistics {
    float mean;
    float missed; // by the rounded mean
    float factor;
    [[nodiscard]] __device__ float operator()(float x) const {
        return (x - mean - missed) * factor;
    }
};

// Corrected two-pass statistics (Chan, Golub, LeVeque 1983) of one row by kThreads threads: what
// the rounded mean misses is measured in the second pass and taken off again.
[[nodiscard]] __device__ inline RowStatistics row_statistics(const float *x, std::int64_t width,
                                                             float epsilon) {
    const auto count = static_cast<float>(width);
    float total = 0.0F;
    for (std::int64_t i = threadIdx.x; i < width; i += kThreads) total += x[i];
    const float mean = block_sum(total) / count;
    float rest = 0.0F;
    float squares = 0.0F;
    for (std::int64_t i = threadIdx.x; i < width; i += kThreads) {
        const float d = x[i] - mean;
        rest += d;
        squares = fmaf(d, d, squares);
    }
    const float missed = block_sum(rest) / count;
    const float variance = block_sum(squares) / count - missed * missed;
    // Not a number stays one.
    const float kept = variance > 0.0F || variance != variance ? variance : 0.0F;
    return {mean, missed, 1.0F / sqrtf(kept + epsilon)};
}

} // namespace tessera::cuda
