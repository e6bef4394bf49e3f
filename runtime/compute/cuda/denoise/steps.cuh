// The steps of the denoise chain as functions of a block of threads, for the kernels of its graphs
// and for the persistent kernel.
#pragma once

#include "compute/cuda/denoise/kernels.cuh"
#include "compute/cuda/kernels/activation.cuh"
#include "compute/cuda/kernels/block.cuh"
#include "compute/cuda/kernels/sampling.cuh"
#include "compute/cuda/kernels/tile.cuh"

namespace tessera::cuda {

[[nodiscard]] __device__ inline float silu(float x) {
    return activated(x, TESSERA_ACTIVATION_SILU);
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
        const float shift = modulation[i] + norm.bias[i];
        const float scale = modulation[shape.width + i] + norm.bias[shape.width + i];
        store(i, y * (1.0F + scale) + shift);
    }
}

// h of a network row = input(x). The unconditional rows read the tokens again.
template <class Weight>
__device__ void open_row(const StepShape &shape, std::int64_t row, const Weight *weight,
                         std::int64_t stride, const float *bias) {
    const float *x = shape.state->x + row % shape.rows * shape.state->x_stride;
    float *h = shape.hidden + row * shape.width;
    for (std::int64_t i = threadIdx.x; i < shape.width; i += kThreads) {
        float sum = 0.0F;
        for (std::int64_t k = 0; k < shape.token_width; ++k)
            sum = fmaf(x[k], as_float(weight[i * stride + k]), sum);
        h[i] = sum + bias[i];
    }
}

// What h gains at a column of a network row, `sum` being the block's last product there.
[[nodiscard]] __device__ inline float gated(const StepShape &shape, const NormLayer &gate,
                                            std::int64_t row, std::int64_t column, float sum) {
    const std::int64_t at = 2 * shape.width + column;
    return (shape.modulation(row)[gate.at + at] + gate.bias[at]) * sum;
}

// The reverse step of element i of a token; `out` holds its (guided) outputs.
__device__ inline void reverse_element(const StepShape &shape, const Finish &finish,
                                       std::int64_t token, std::int64_t i, float model,
                                       float variance) {
    const ChainState &state = *shape.state;
    const std::int64_t step = shape.step();
    const StepEntry &entry = finish.steps[step];
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

// The last product, guidance and the reverse step of a token; a warp makes an output at a time.
// `outputs`: shared memory, (1 or 2, 2 token_width).
template <class Number>
__device__ void finish_token(const StepShape &shape, std::int64_t token, const Number *from,
                             std::int64_t from_stride, const Number *weight,
                             std::int64_t weight_stride, const float *bias, const Finish &finish,
                             float *outputs) {
    const std::int64_t columns = 2 * shape.token_width;
    const std::int64_t copies = shape.network_rows / shape.rows;
    for (std::int64_t o = threadIdx.x / kWarp; o < copies * columns; o += kWarps) {
        const Number *row = from + (token + o / columns * shape.rows) * from_stride;
        const Number *w = weight + o % columns * weight_stride;
        float sum = 0.0F;
        for (std::int64_t k = threadIdx.x % kWarp; k < shape.width; k += kWarp)
            sum = fmaf(as_float(row[k]), as_float(w[k]), sum);
        sum = warp_sum(sum);
        if (threadIdx.x % kWarp == 0) outputs[o] = sum + bias[o % columns];
    }
    __syncthreads();
    for (std::int64_t i = threadIdx.x; i < shape.token_width; i += kThreads) {
        float model = outputs[i];
        if (copies == 2)
            model = guided(model, outputs[columns + i], finish.steps[shape.step()].guidance);
        model = bounded(shape.state->x[token * shape.state->x_stride + i], model,
                        finish.steps[shape.step()].clean);
        const float variance = outputs[shape.token_width + i];
        finish.model_out[token * columns + i] = model;
        finish.model_out[token * columns + shape.token_width + i] = variance;
        reverse_element(shape, finish, token, i, model, variance);
    }
}

} // namespace tessera::cuda
