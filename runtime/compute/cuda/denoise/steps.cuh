// The steps of the denoise chain as functions of a block of threads, for the kernels of its graphs
// and for the persistent kernel.
#pragma once

#include "compute/cuda/denoise/kernels.cuh"
#include "compute/cuda/kernels/activation.cuh"
#include "compute/cuda/kernels/block.cuh"
#include "compute/cuda/kernels/sampling.cuh"
#include "compute/cuda/kernels/tile.cuh"
#include "compute/cuda/kernels/warp_row.cuh"

namespace tessera::cuda {

[[nodiscard]] __device__ inline float silu(float x) {
    return activated(x, TESSERA_ACTIVATION_SILU);
}

// Four numbers of a row of `count` at `i`, zeros beyond its end; `row` begins at 16 bytes, and so
// does every fourth number of it.
template <class Number>
[[nodiscard]] __device__ float4 four_at(const Number *row, std::int64_t i, std::int64_t count) {
    if (i + 4 <= count) {
        if constexpr (sizeof(Number) == sizeof(float)) {
            return *reinterpret_cast<const float4 *>(row + i);
        } else {
            const uint2 two = *reinterpret_cast<const uint2 *>(row + i);
            return {__uint_as_float(two.x << 16U), __uint_as_float(two.x & 0xffff0000U),
                    __uint_as_float(two.y << 16U), __uint_as_float(two.y & 0xffff0000U)};
        }
    }
    return {i < count ? as_float(row[i]) : 0.0F, i + 1 < count ? as_float(row[i + 1]) : 0.0F,
            i + 2 < count ? as_float(row[i + 2]) : 0.0F, 0.0F};
}

// store(column, number) for the norm of h's row `row`, by a team of threads.
template <class Team, class Store>
__device__ void normalise(const StepShape &shape, std::int64_t row, const NormLayer &norm,
                          const Store &store) {
    const float *h = shape.hidden + row * shape.width;
    const float *modulation = shape.modulation(row) + norm.at;
    const RowStatistics normal = row_statistics<Team>(h, shape.width, shape.epsilon);
    for (std::int64_t i = Team::own(); i < shape.width; i += Team::kThreadCount) {
        float y = normal(h[i]);
        if (norm.gamma != nullptr) y = fmaf(y, norm.gamma[i], norm.beta[i]);
        store(i, y * (1.0F + modulation[shape.width + i]) + modulation[i]);
    }
}

// The same by one warp with h in registers: one way through memory, many loads under way at once.
// For widths of multiples of 4 up to kVectorWidth, with everything at 16 bytes; store(column, four
// numbers).
constexpr std::int64_t kVectorWidth = WarpRow::kWidest;
template <class Store>
__device__ void normalise_vectors(const StepShape &shape, std::int64_t row, const NormLayer &norm,
                                  const Store &store) {
    const float *const h = shape.hidden + row * shape.width;
    const float *const modulation = shape.modulation(row) + norm.at;
    const int count = static_cast<int>(shape.width) / 4;
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    constexpr int kVectors = WarpRow::kVectors;
    WarpRow numbers;
    numbers.load(static_cast<int>(shape.width),
                 [&](int i) { return *reinterpret_cast<const float4 *>(h + i); });
    const RowStatistics normal =
        numbers.statistics<true>(static_cast<int>(shape.width), shape.epsilon);
    const auto at = [](const float *p, int i) {
        return __ldg(reinterpret_cast<const float4 *>(p) + i);
    };
    constexpr int kTogether = 4; // loads before the first store
#pragma unroll
    for (int first = 0; first < kVectors; first += kTogether) {
        if (first * static_cast<int>(kWarp) >= count) break; // all lanes alike
        float4 gain[kTogether], offset[kTogether], shift[kTogether], scale[kTogether];
#pragma unroll
        for (int k = 0; k < kTogether; ++k) {
            const int i = lane + (first + k) * static_cast<int>(kWarp);
            const int j = i < count ? i : count - 1;
            shift[k] = at(modulation, j);
            scale[k] = at(modulation + shape.width, j);
            gain[k] = norm.gamma != nullptr ? at(norm.gamma, j) : float4{1.0F, 1.0F, 1.0F, 1.0F};
            offset[k] = norm.gamma != nullptr ? at(norm.beta, j) : float4{0.0F, 0.0F, 0.0F, 0.0F};
        }
#pragma unroll
        for (int k = 0; k < kTogether; ++k) {
            const int i = lane + (first + k) * static_cast<int>(kWarp);
            const float4 y = numbers.x[first + k];
            const auto one = [&](float value, float g, float b, float t, float s) {
                return fmaf(normal(value), g, b) * (1.0F + s) + t;
            };
            if (i < count) {
                store(4 * i, float4{one(y.x, gain[k].x, offset[k].x, shift[k].x, scale[k].x),
                                    one(y.y, gain[k].y, offset[k].y, shift[k].y, scale[k].y),
                                    one(y.z, gain[k].z, offset[k].z, shift[k].z, scale[k].z),
                                    one(y.w, gain[k].w, offset[k].w, shift[k].w, scale[k].w)});
            }
        }
    }
}

// h = input(x) of a token at column `i`. Rows of the weight are padded with zeros to whole fours.
template <class Weight>
[[nodiscard]] __device__ float opened(const StepShape &shape, std::int64_t token,
                                      const Weight *weight, std::int64_t stride, const float *bias,
                                      std::int64_t i) {
    const float *x = shape.state->x + token * shape.state->x_stride;
    float sum = 0.0F;
    for (std::int64_t k = 0; k < shape.token_width; k += 4) {
        const float4 w = four_at(weight + i * stride, k, stride);
        for (int j = 0; j < 4 && k + j < shape.token_width; ++j)
            sum = fmaf(x[k + j], j == 0 ? w.x : j == 1 ? w.y : j == 2 ? w.z : w.w, sum);
    }
    return sum + bias[i];
}

// What h gains at a column of a network row, `sum` being the block's last product there.
[[nodiscard]] __device__ inline float gated(const StepShape &shape, const NormLayer &gate,
                                            std::int64_t row, std::int64_t column, float sum) {
    return shape.modulation(row)[gate.at + 2 * shape.width + column] * sum;
}

// The reverse step of element i of a token; `model` and `variance` are its (guided) outputs.
__device__ inline void reverse_element(const StepShape &shape, const Finish &finish,
                                       const StepEntry &entry, std::int64_t token, std::int64_t i,
                                       float model, float variance) {
    const ChainState &state = *shape.state;
    const std::int64_t step = shape.step();
    float noise = 0.0F;
    if (entry.coefficients.noise_scale != 0.0F && state.noise != nullptr) {
        noise = state.noise[step * state.noise_stride[0] + token * state.noise_stride[1] +
                            i * state.noise_stride[2]];
    } else if (entry.coefficients.noise_scale != 0.0F) {
        const auto draws = static_cast<std::uint32_t>((shape.token_width + 3) / 4);
        noise = state.source.quad(finish.index[2 * token], finish.index[2 * token + 1],
                                  static_cast<std::uint32_t>(step) * draws,
                                  i / 4)[static_cast<std::size_t>(i % 4)];
    }
    float *x = state.x + token * state.x_stride + i;
    const float before = *x;
    float after = reversed(before, model, variance, noise, entry.coefficients);
    if (state.keeps != 0) {
        // What this step keeps and what it reads lie in two halves that change places.
        const std::int64_t at = token * shape.token_width + i;
        const std::int64_t half = finish.max_rows * shape.token_width;
        if (entry.memory.kept_scale != 0.0F)
            after += entry.memory.kept_scale * finish.kept[(step + 1) % 2 * half + at];
        finish.kept[step % 2 * half + at] =
            entry.memory.keep_x * before + entry.memory.keep_model * model;
    }
    *x = after;
}

// The last product for a token's rows (conditional, unconditional): outputs (copies, columns) in
// shared memory. A warp makes four columns of both rows at a time, so that all it reads is under
// way at once.
template <class Number>
__device__ void last_product(const StepShape &shape, const Number *const (&rows)[2],
                             std::int64_t copies, const Number *weight, std::int64_t weight_stride,
                             const float *bias, float *outputs) {
    constexpr int kTogether = 4;
    const std::int64_t columns = 2 * shape.token_width;
    const std::int64_t warp = threadIdx.x / kWarp;
    const std::int64_t lane = threadIdx.x % kWarp;
    for (std::int64_t first = warp * kTogether; first < columns;
         first += static_cast<std::int64_t>(kWarps) * kTogether) {
        float sums[2][kTogether] = {};
        for (std::int64_t i = 4 * lane; i < shape.width; i += 4 * kWarp) {
            float4 w[kTogether];
#pragma unroll
            for (int c = 0; c < kTogether; ++c) {
                const std::int64_t column = first + c < columns ? first + c : columns - 1;
                w[c] = four_at(weight + column * weight_stride, i, shape.width);
            }
#pragma unroll
            for (int copy = 0; copy < 2; ++copy) {
                if (copy == copies) break;
                const float4 x = four_at(rows[copy], i, shape.width);
#pragma unroll
                for (int c = 0; c < kTogether; ++c) {
                    float sum = fmaf(x.x, w[c].x, sums[copy][c]);
                    sum = fmaf(x.y, w[c].y, sum);
                    sum = fmaf(x.z, w[c].z, sum);
                    sums[copy][c] = fmaf(x.w, w[c].w, sum);
                }
            }
        }
#pragma unroll
        for (int copy = 0; copy < 2; ++copy) {
#pragma unroll
            for (int c = 0; c < kTogether; ++c) {
                const float sum = warp_sum(sums[copy][c]);
                if (lane == 0 && copy < copies && first + c < columns)
                    outputs[copy * columns + first + c] = sum + bias[first + c];
            }
        }
    }
}

// The last product, guidance and the reverse step of a token. `outputs`: shared memory, (1 or 2,
// 2 token_width).
template <class Number>
__device__ void finish_token(const StepShape &shape, std::int64_t token,
                             const Number *const (&rows)[2], const Number *weight,
                             std::int64_t weight_stride, const float *bias, const Finish &finish,
                             float *outputs) {
    const std::int64_t columns = 2 * shape.token_width;
    const std::int64_t copies = shape.network_rows / shape.rows;
    const StepEntry entry = finish.steps[shape.step()];
    last_product(shape, rows, copies, weight, weight_stride, bias, outputs);
    __syncthreads();
    for (std::int64_t i = threadIdx.x; i < shape.token_width; i += kThreads) {
        float model = outputs[i];
        if (copies == 2) model = guided(model, outputs[columns + i], entry.guidance);
        model = bounded(shape.state->x[token * shape.state->x_stride + i], model, entry.clean);
        const float variance = outputs[shape.token_width + i];
        finish.model_out[token * columns + i] = model;
        finish.model_out[token * columns + shape.token_width + i] = variance;
        reverse_element(shape, finish, entry, token, i, model, variance);
    }
}

} // namespace tessera::cuda
