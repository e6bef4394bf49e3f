#include "compute/cuda/denoise/kernels.cuh"

#include "compute/cuda/denoise/steps.cuh"

namespace tessera::cuda {
namespace {

__global__ void narrow(const float *x, std::int64_t stride, std::int64_t rows, std::int64_t width,
                       Feed out) {
    const std::int64_t i = global_thread();
    if (i >= rows * width) return;
    const auto [row, column] = cell_of(i, width);
    out.store(row, column, x[row * stride + column]);
}

__global__ void activate_all(Activation a, std::int64_t first_step, std::int64_t steps, Feed out) {
    const std::int64_t i = global_thread();
    if (i == 0) {
        a.state->chunk_begin = static_cast<std::int32_t>(first_step);
        a.state->x = a.x;
        a.state->x_stride = a.x_stride;
    }
    if (i >= steps * a.network_rows * a.width) return;
    const auto [row, column] = cell_of(i, a.width); // the row: (step, network row)
    const Cell of = cell_of(row, a.network_rows);
    const float condition = a.condition[of.column * a.condition_stride + column] + a.bias[column];
    const float time = a.time[(first_step + of.row) * a.time_stride + column];
    out.store(row, column, silu(condition + time));
}

__device__ void normalise_row(const StepShape &shape, std::int64_t row, const NormLayer &norm,
                              const Feed &out) {
    normalise<BlockTeam>(shape, row, norm,
                         [&](std::int64_t i, float value) { out.store(row, i, value); });
}

// One block of threads for each network row.
template <class Weight>
__global__ void open_rows(StepShape shape, const Weight *weight, std::int64_t stride,
                          const float *bias, NormLayer norm, Feed out) {
    // The unconditional rows read the tokens again.
    for (std::int64_t i = threadIdx.x; i < shape.width; i += kThreads) {
        shape.hidden[blockIdx.x * shape.width + i] =
            opened(shape, blockIdx.x % shape.rows, weight, stride, bias, i);
    }
    __syncthreads();
    normalise_row(shape, blockIdx.x, norm, out);
}

__global__ void activate_rows(StepShape shape, const float *sums, std::int64_t stride,
                              const float *bias, Feed out) {
    const std::int64_t i = global_thread();
    if (i >= shape.network_rows * shape.width) return;
    const auto [row, column] = cell_of(i, shape.width);
    out.store(row, column, silu(sums[row * stride + column] + bias[column]));
}

__global__ void next_rows(StepShape shape, const float *sums, std::int64_t stride,
                          const float *bias, NormLayer gate, NormLayer norm, Feed out) {
    const std::int64_t row = blockIdx.x;
    float *h = shape.hidden + row * shape.width;
    for (std::int64_t i = threadIdx.x; i < shape.width; i += kThreads)
        h[i] += gated(shape, gate, row, i, sums[row * stride + i] + bias[i]);
    __syncthreads();
    normalise_row(shape, row, norm, out);
}

// One block of threads for each token.
template <class Number>
__global__ void finish_rows(StepShape shape, const Number *from, std::int64_t from_stride,
                            const Number *weight, std::int64_t weight_stride, const float *bias,
                            Finish finish) {
    const Number *const rows[2] = {from + blockIdx.x * from_stride,
                                   from + (blockIdx.x + shape.rows) * from_stride};
    finish_token(shape, blockIdx.x, rows, weight, weight_stride, bias, finish,
                 dynamic_shared<float>());
}

__global__ void add_steps(ChainState *state, std::int32_t steps) { state->step += steps; }
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
void set_x(Cuda &cuda, ChainState *state, float *x, std::int64_t stride) {
    cuda.launch("denoise", write_x, 1, 1, state, x, stride);
}

} // namespace tessera::cuda
