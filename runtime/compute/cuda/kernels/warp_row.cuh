// A row of numbers in the registers of a warp, and its layer norm: one way through memory, with
// many loads under way at once.
#pragma once

#include "compute/cuda/kernels/block.cuh"

#include <cuda_bf16.h>

namespace tessera::cuda {

// Numbers of a row that other multiprocessors may just have written: read past the own L1.
struct CoherentRow {
    const float *at;
    [[nodiscard]] __device__ float operator[](std::int64_t i) const { return __ldcg(at + i); }
    [[nodiscard]] __device__ float4 four(std::int64_t i) const {
        return __ldcg(reinterpret_cast<const float4 *>(at + i));
    }
};

struct WarpRow {
    static constexpr int kVectors = 12; // of a lane
    static constexpr std::int64_t kWidest = 4 * kVectors * static_cast<std::int64_t>(kWarp);

    // Lane l has numbers i to i + 3 of the row in vector v, i = 4 (l + 32 v); zeros beyond the row.
    float4 x[kVectors];
    [[nodiscard]] static __device__ int first_of(int v) {
        return 4 * (static_cast<int>(threadIdx.x % kWarp) + v * static_cast<int>(kWarp));
    }

    // four(i): numbers i to i + 3, i a multiple of 4.
    template <class Four>
    __device__ void load(int width, const Four &four) {
#pragma unroll
        for (int v = 0; v < kVectors; ++v) {
            const int i = first_of(v);
            x[v] = i < width ? four(i) : float4{0.0F, 0.0F, 0.0F, 0.0F};
        }
    }

    // Corrected two-pass statistics, as row_statistics has them. `kWhole`: the width is a multiple
    // of 4.
    template <bool kWhole>
    [[nodiscard]] __device__ RowStatistics statistics(int width, float epsilon) const {
        float total = 0.0F;
#pragma unroll
        for (int v = 0; v < kVectors; ++v) total += (x[v].x + x[v].y) + (x[v].z + x[v].w);
        const auto count = static_cast<float>(width);
        const float mean = warp_sum(total) / count;
        float rest = 0.0F;
        float squares = 0.0F;
#pragma unroll
        for (int v = 0; v < kVectors; ++v) {
            const int i = first_of(v);
            if (i >= width) continue;
            const float four[4] = {x[v].x, x[v].y, x[v].z, x[v].w};
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                if (!kWhole && i + j >= width) continue;
                const float d = four[j] - mean;
                rest += d;
                squares = fmaf(d, d, squares);
            }
        }
        const float missed = warp_sum(rest) / count;
        const float variance = warp_sum(squares) / count - missed * missed;
        // Not a number stays one.
        const float kept = variance > 0.0F || variance != variance ? variance : 0.0F;
        return {mean, missed, 1.0F / sqrtf(kept + epsilon)};
    }
};

// The layer norm of rows of `width` numbers; gamma and beta are both NULL or both there.
struct RowNorm {
    const float *gamma, *beta;
    float epsilon;
    int width;
    [[nodiscard]] __device__ float operator()(const RowStatistics &normal, float x, int i) const {
        const float y = normal(x);
        return gamma != nullptr ? fmaf(y, gamma[i], beta[i]) : y;
    }
};

// A row of numbers to write, one or four at a time.
template <class Number>
struct RowOut {
    Number *to;
    __device__ void operator()(std::int64_t i, float value) const { store(to + i, value); }
    __device__ void operator()(std::int64_t i, const float4 &v) const {
        if constexpr (sizeof(Number) == sizeof(float)) {
            *reinterpret_cast<float4 *>(to + i) = v;
        } else {
            Number four[4];
            store(four, v.x), store(four + 1, v.y), store(four + 2, v.z), store(four + 3, v.w);
            *reinterpret_cast<uint2 *>(to + i) = *reinterpret_cast<const uint2 *>(four);
        }
    }

  private:
    static __device__ void store(float *at, float value) { *at = value; }
    static __device__ void store(__nv_bfloat16 *at, float value) {
        *at = __float2bfloat16_rn(value);
    }
};

// Where a normalised row goes: in float32, and as bf16 unless that is NULL.
struct NormedRow {
    RowOut<float> to;
    RowOut<__nv_bfloat16> narrow; // from 16 bytes on
    bool vectors;                 // `to` takes four numbers at a time

    __device__ void operator()(int i, float y) const {
        to(i, y);
        if (narrow.to != nullptr) narrow(i, y);
    }
    __device__ void operator()(int i, const float4 &y) const {
        if (vectors)
            to(i, y);
        else
            to(i, y.x), to(i + 1, y.y), to(i + 2, y.z), to(i + 3, y.w);
        if (narrow.to != nullptr) narrow(i, y);
    }
};

// The norm of a row by one warp. `vectors`: the row may be read four numbers at a time, which
// changes no bit. In place allowed.
__device__ inline void normalise_row(const RowNorm &norm, const CoherentRow &row, bool vectors,
                                     const NormedRow &out) {
    const int width = norm.width;
    if (width > WarpRow::kWidest) {
        const RowStatistics normal = row_statistics<WarpTeam>(row, width, norm.epsilon);
        for (int i = static_cast<int>(WarpTeam::own()); i < width; i += static_cast<int>(kWarp))
            out(i, norm(normal, row[i], i));
        return;
    }
    WarpRow numbers;
    numbers.load(width, [&](int i) -> float4 {
        if (vectors && i + 3 < width) return row.four(i);
        return {row[i], i + 1 < width ? row[i + 1] : 0.0F, i + 2 < width ? row[i + 2] : 0.0F,
                i + 3 < width ? row[i + 3] : 0.0F};
    });
    const RowStatistics normal = numbers.statistics<false>(width, norm.epsilon);
#pragma unroll
    for (int v = 0; v < WarpRow::kVectors; ++v) {
        const int i = WarpRow::first_of(v);
        if (i >= width) continue;
        const float4 &x = numbers.x[v];
        if (i + 3 < width) {
            out(i, float4{norm(normal, x.x, i), norm(normal, x.y, i + 1), norm(normal, x.z, i + 2),
                          norm(normal, x.w, i + 3)});
            continue;
        }
        out(i, norm(normal, x.x, i));
        if (i + 1 < width) out(i + 1, norm(normal, x.y, i + 1));
        if (i + 2 < width) out(i + 2, norm(normal, x.z, i + 2));
    }
}

} // namespace tessera::cuda
