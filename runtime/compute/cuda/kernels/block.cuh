// Sums over the threads of a block, in one fixed order, and the statistics of a row made of them.
#pragma once

#include "compute/cuda/kernels/rows.cuh"

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

// Who works on a row: all threads of a block, or one warp of it.
struct BlockTeam {
    static constexpr unsigned kThreadCount = kThreads;
    [[nodiscard]] static __device__ unsigned own() { return threadIdx.x; }
    [[nodiscard]] static __device__ float sum(float value) { return block_sum(value); }
};
struct WarpTeam {
    static constexpr unsigned kThreadCount = kWarp;
    [[nodiscard]] static __device__ unsigned own() { return threadIdx.x % kWarp; }
    [[nodiscard]] static __device__ float sum(float value) { return warp_sum(value); }
};

// (x - mean) * factor normalises.
struct RowStatistics {
    float mean;
    float missed; // by the rounded mean
    float factor;
    [[nodiscard]] __device__ float operator()(float x) const {
        return (x - mean - missed) * factor;
    }
};

// Corrected two-pass statistics (Chan, Golub, LeVeque 1983) of one row by a team: what the rounded
// mean misses is measured in the second pass and taken off again. `x`: a pointer, or what is read
// like one.
template <class Team = BlockTeam, class Numbers>
[[nodiscard]] __device__ RowStatistics row_statistics(const Numbers &x, std::int64_t width,
                                                      float epsilon) {
    const auto count = static_cast<float>(width);
    float total = 0.0F;
    for (std::int64_t i = Team::own(); i < width; i += Team::kThreadCount) total += x[i];
    const float mean = Team::sum(total) / count;
    float rest = 0.0F;
    float squares = 0.0F;
    for (std::int64_t i = Team::own(); i < width; i += Team::kThreadCount) {
        const float d = x[i] - mean;
        rest += d;
        squares = fmaf(d, d, squares);
    }
    const float missed = Team::sum(rest) / count;
    const float variance = Team::sum(squares) / count - missed * missed;
    // Not a number stays one.
    const float kept = variance > 0.0F || variance != variance ? variance : 0.0F;
    return {mean, missed, 1.0F / sqrtf(kept + epsilon)};
}

} // namespace tessera::cuda
