#include "compute/cuda/denoise_kernels.cuh"

#include "compute/cuda/activation.cuh"
#include "compute/cuda/block.cuh"
#include "compute/cuda/sampling.cuh"
#include "compute/cuda/tile.cuh"

namespace tessera::cuda {
namespace {

__device__ float silu(float x) { return activated(x, TESSERA_ACTIVATION_SILU); }

__global__ void narrow(const float *x, std::int64_t stride, std::int64_t rows, std::int64_t width,
                       Feed out) {
    const std::int64_t i = global_thread();
    if (i < rows * width) out.store(i / width, i % width, x[i / width * stride + i % width]);
}

__global__ void activate_all(Activation a, std::int64_t first_step, std::int64_t steps, Feed out) {
    const std::int64_t i = global_thread();
    if (i >= steps * a.network_rows * a.width) return;
    const std::int64_t row = i / a.width; // (step, network row)
    const std::int64_t column = i % a.width;
    const float condition =
        a.condition[row % a.network_rows * a.condition_stride + column] + a.bias[column];
    const float time = a.time[(first_step + row / a.network_rows) * a.time_stride + column];
    out.store(row, column, silu(condition + time));
}

// The norm of h's row `row`, by the threads of a block.
__device__ void normalise(const StepShape &shape, std::int64_t row, const NormLayer &norm,
                          const Feed &out) {
    const float *h = shape.hidden + row * shape.width;
    const float *modulation = shape.modulation(row) + norm.at;
    const RowStatistics normal = row_statistics(h, shape.width, shape.epsilon);
    for (std::int64_t i = threadIdx.x; i < shape.width; i += kThreads) {
        float y = normal(h[i]);
        if (norm.gamma != nullptr) y = fmaf(y, norm.gamma[i], norm.beta[i]);
        const float shift = modulation[i] + norm.bias[i];
        const float scale = modulation[shape.width + i] + norm.bias[shape.width + i];
        out.store(row, i, y * (1.0F + scale) + shift);
    }
}

// One block of threads for each network row. The unconditional rows read the tokens again.
template <class Weight>
__global__ void open_rows(StepShape shape, const Weight *weight, std::int64_t stride,
                          const float *bias, NormLayer norm, Feed out) {
    const std::int64_t row = blockIdx.x;
    const float *x = shape.state->x + row % shape.rows * shape.state->x_stride;
    float *h = shape.hidden + row * shape.width;
    for (std::int64_t i = threadIdx.x; i < shape.width; i += kThreads) {
        float sum = 0.0F;
        for (std::int64_t k = 0; k < shape.token_width; ++k)
            sum = fmaf(x[k], as_float(weight[i * stride + k]), sum);
        h[i] = sum + bias[i];
    }
    __syncthreads();
    normalise(shape, row, norm, out);
}

__global__ void activate_rows(StepShape shape, const float *sums, std::int64_t stride,
                              const float *bias, Feed out) {
    const std::int64_t i = global_thread();
    if (i >= shape.network_rows * shape.width) return;
    const std::int64_t column = i % shape.width;
    out.store(i / shape.width, column,
              silu(sums[i / shape.width * stride + column] + bias[column]));
}

__global__ void next_rows(StepShape shape, const float *sums, std::int64_t stride,
                          const float *bias, NormLayer gate, NormLayer norm, Feed out) {
    const std::int64_t row = blockIdx.x;
    float *h = shape.hidden + row * shape.width;
    const float *gates = shape.modulation(row) + gate.at + 2 * shape.width;
    const float *gate_bias = gate.bias + 2 * shape.width;
    for (std::int64_t i = threadIdx.x; i < shape.width; i += kThreads)
        h[i] += (gates[i] + gate_bias[i]) * (sums[row * stride + i] + bias[i]);
    __syncthreads();
    normalise(shape, row, norm, out);
}

// The reverse step of element i of a token; `out` holds its (guided) outputs.
__device__ void reverse_element(const StepShape &shape, const Finish &finish, std::int64_t token,
                                std::int64_t i, float model, float variance) {
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

// One block of threads for each token; a warp makes an output at a time.
template <class Number>
__global__ void finish_rows(StepShape shape, const Number *from, std::int64_t from_stride,
                            const Number *weight, std::int64_t weight_stride, const float *bias,
                            Finish finish) {
    auto *outputs = dynamic_shared<float>(); // (1 or 2, 2 token_width)
    const std::int64_t token = blockIdx.x;
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
        const float variance = outputs[shape.token_width + i];
        finish.model_out[token * columns + i] = model;
        finish.model_out[token * columns + shape.token_width + i] = variance;
        reverse_element(shape, finish, token, i, model, variance);
    }
}

__global__ void add_steps(ChainState *state, std::int32_t steps) { state->step += steps; }
__global__ void write_chunk(ChainState *state, std::int32_t begin) { state->chunk_begin = begin; }
__global__ void write_x(ChainState *state, float *x, std::int64_t stride) {
    state->x = x;
    state->x_stride = stride;
}

} // namespace

void narrow_rows(Cuda &cuda, const float *x, std::int64_t stride, std::int64_t rows,
                 std::int64_t width, const Feed &out) {
    cuda.launch("denoise", narrow, blocks_for(rows * width), kThreads, x, stride, rows, width, out);
}

void activate_conditions(Cuda &cuda, const Activation &activation, std::int64_t first_step,
                         std::int64_t steps, const Feed &out) {
    cuda.launch("denoise", activate_all,
                blocks_for(steps * activation.network_rows * activation.width), kThreads,
                activation, first_step, steps, out);
}

void open_step(Cuda &cuda, const StepShape &shape, const PackedWeight &input, const float *bias,
               const NormLayer &norm, const Feed &out) {
    const auto blocks = static_cast<unsigned>(shape.network_rows);
    if (input.dtype == TESSERA_DTYPE_F32) {
        cuda.launch("denoise", open_rows<float>, blocks, kThreads, shape,
                    static_cast<const float *>(input.data), input.stride, bias, norm, out);
    } else {
        cuda.launch("denoise", open_rows<__nv_bfloat16>, blocks, kThreads, shape,
                    static_cast<const __nv_bfloat16 *>(input.data), input.stride, bias, norm, out);
    }
}

void activate_sums(Cuda &cuda, const StepShape &shape, const float *sums, std::int64_t stride,
                   const float *bias, const Feed &out) {
    cuda.launch("denoise", activate_rows, blocks_for(shape.network_rows * shape.width), kThreads,
                shape, sums, stride, bias, out);
}

void next_block(Cuda &cuda, const StepShape &shape, const float *sums, std::int64_t stride,
                const float *bias, const NormLayer &gate, const NormLayer &norm, const Feed &out) {
    cuda.launch("denoise", next_rows, static_cast<unsigned>(shape.network_rows), kThreads, shape,
                sums, stride, bias, gate, norm, out);
}

void finish_step(Cuda &cuda, const StepShape &shape, const Feed &from, const PackedWeight &final,
                 const float *bias, const Finish &finish) {
    const std::size_t shared =
        static_cast<std::size_t>(2 * shape.network_rows / shape.rows * shape.token_width) *
        sizeof(float);
    const auto blocks = static_cast<unsigned>(shape.rows);
    if (final.dtype == TESSERA_DTYPE_F32) {
        cuda.launch_shared("denoise", finish_rows<float>, blocks, kThreads, shared, shape, from.f32,
                           from.f32_stride, static_cast<const float *>(final.data), final.stride,
                           bias, finish);
    } else {
        cuda.launch_shared("denoise", finish_rows<__nv_bfloat16>, blocks, kThreads, shared, shape,
                           from.bf16, from.bf16_stride,
                           static_cast<const __nv_bfloat16 *>(final.data), final.stride, bias,
                           finish);
    }
}

void count_steps(Cuda &cuda, ChainState *state, std::int32_t steps) {
    cuda.launch("denoise", add_steps, 1, 1, state, steps);
}
void set_chunk(Cuda &cuda, ChainState *state, std::int32_t chunk_begin) {
    cuda.launch("denoise", write_chunk, 1, 1, state, chunk_begin);
}
void set_x(Cuda &cuda, ChainState *state, float *x, std::int64_t stride) {
    cuda.launch("denoise", write_x, 1, 1, state, x, stride);
}

} // namespace tessera::cuda
