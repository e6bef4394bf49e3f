// linear: packed weights and products of rows with them.
#include "compute/cuda/kernels/linear.cuh"

#include "compute/cuda/host_weight.hpp"
#include "compute/cuda/kernels/tile.cuh"
#include "compute/cuda/ops.hpp"
#include "compute/operands.hpp"

namespace tessera::cuda {
namespace {

// The activations as tile_product reads them.
struct PlainRows {
    const float *x;
    std::int64_t stride;
    [[nodiscard]] __device__ const float *row(std::int64_t row) const { return x + row * stride; }
    [[nodiscard]] __device__ std::int64_t inner(std::int64_t k) const { return k; }
    [[nodiscard]] __device__ float operator()(const float *row, std::int64_t k) const {
        return row[k];
    }
};

__global__ void linear_f32(const float *x, std::int64_t x_stride, std::int64_t rows,
                           const float *weight, std::int64_t weight_stride, std::int64_t columns,
                           std::int64_t inner, Epilogue epilogue, float *out,
                           std::int64_t out_stride) {
    tile_product(
        rows, columns, inner, PlainRows{x, x_stride},
        [&](std::int64_t column, std::int64_t k) { return weight[column * weight_stride + k]; },
        [&](std::int64_t row, std::int64_t column, float sum) {
            out[row * out_stride + column] = epilogue(row, column, sum);
        });
}

// Rows of `width` floats as bf16, zeros up to `stride`.
__global__ void rows_to_bf16(const float *x, std::int64_t x_stride, std::int64_t rows,
                             std::int64_t width, __nv_bfloat16 *out, std::int64_t stride) {
    const std::int64_t i = global_thread();
    if (i >= rows * stride) return;
    const std::int64_t column = i % stride;
    out[i] = __float2bfloat16_rn(column < width ? x[i / stride * x_stride + column] : 0.0F);
}

__global__ void finish_rows(const float *sums, std::int64_t sums_stride, std::int64_t rows,
                            std::int64_t columns, Epilogue epilogue, float *out,
                            std::int64_t out_stride) {
    const std::int64_t i = global_thread();
    if (i >= rows * columns) return;
    const std::int64_t row = i / columns;
    const std::int64_t column = i % columns;
    out[row * out_stride + column] = epilogue(row, column, sums[row * sums_stride + column]);
}

Epilogue epilogue_of(const tessera_linear &options, std::int64_t row_count) {
    Epilogue epilogue;
    epilogue.activation = options.activation;
    if (options.bias != nullptr) epilogue.bias = data_of(*options.bias);
    if (options.gate != nullptr) {
        epilogue.gate = data_of(*options.gate);
        const auto gates = operands::as_rows(*options.gate);
        epilogue.gate_stride = gates->stride;
        epilogue.gate_rows = row_count / gates->count;
    }
    if (options.residual != nullptr) {
        epilogue.residual = data_of(*options.residual);
        epilogue.residual_stride = operands::as_rows(*options.residual)->stride;
    }
    return epilogue;
}

} // namespace

Result<tessera_tensor> pack_linear(Cuda &cuda, const tessera_tensor &weight,
                                   tessera_dtype precision) {
    PackedWeight packed;
    packed.dtype = precision;
    packed.rank = 2;
    packed.columns = weight.shape[0];
    packed.inner = weight.shape[1];
    if (precision == TESSERA_DTYPE_BF16) {
        const std::int64_t stride = (packed.inner + 7) / 8 * 8;
        const auto choice = cuda.products().choose({.x = nullptr,
                                                    .x_stride = stride,
                                                    .rows = 1,
                                                    .weight = nullptr,
                                                    .weight_stride = stride,
                                                    .columns = packed.columns,
                                                    .inner = packed.inner,
                                                    .out = nullptr,
                                                    .out_stride = padded_columns(packed.columns)});
        if (!choice) return choice.error();
        packed.choice = *choice;
    }
    std::vector<float> values;
    values.reserve(static_cast<std::size_t>(packed.columns * packed.inner));
    for (std::int64_t column = 0; column < packed.columns; ++column) {
        for (std::int64_t k = 0; k < packed.inner; ++k)
            values.push_back(
                host_weight_at(weight, column * weight.stride[0] + k * weight.stride[1]));
    }
    return cuda.keep(weight, packed, values);
}

void multiply_f32(Cuda &cuda, const char *what, const float *x, std::int64_t x_stride,
                  std::int64_t rows, const PackedWeight &weight, const Epilogue &epilogue,
                  float *out, std::int64_t out_stride) {
    cuda.launch(what, linear_f32, tiles_for(rows, weight.columns), kThreads, x, x_stride, rows,
                static_cast<const float *>(weight.data), weight.stride, weight.columns,
                weight.inner, epilogue, out, out_stride);
}

void multiply_bf16(Cuda &cuda, const char *what, const __nv_bfloat16 *x, std::int64_t rows,
                   const PackedWeight &weight, float *out, std::int64_t out_stride) {
    const Product product{.x = x,
                          .x_stride = weight.stride,
                          .rows = rows,
                          .weight = weight.data,
                          .weight_stride = weight.stride,
                          .columns = weight.columns,
                          .inner = weight.inner,
                          .out = out,
                          .out_stride = out_stride};
    cuda.count_launch();
    const auto done = cuda.products().multiply(product, weight.choice, cuda.stream());
    if (!done) cuda.fail(done.error().status, "{}: {}", what, done.error().message);
}

void linear(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &packed,
            const tessera_linear &options, const tessera_tensor &out) {
    const PackedWeight *weight = cuda.find(packed);
    if (weight == nullptr) {
        cuda.fail(Status::kInvalidArgument,
                  "linear: packed_weight {} was not packed by pack_linear of this compute",
                  shape_text(packed));
        return;
    }
    const auto rows = operands::as_rows(x);
    const std::int64_t out_stride = operands::as_rows(out)->stride;
    const Epilogue epilogue = epilogue_of(options, rows->count);
    if (weight->dtype == TESSERA_DTYPE_F32) {
        multiply_f32(cuda, "linear", data_of(x), rows->stride, rows->count, *weight, epilogue,
                     data_of(out), out_stride);
        return;
    }
    const std::int64_t sums_stride = padded_columns(weight->columns);
    auto *narrow = cuda.scratch<__nv_bfloat16>(Scratch::kA, rows->count * weight->stride);
    auto *sums = cuda.scratch<float>(Scratch::kB, rows->count * sums_stride);
    if (narrow == nullptr || sums == nullptr) return;
    cuda.launch("linear", rows_to_bf16, blocks_for(rows->count * weight->stride), kThreads,
                data_of(x), rows->stride, rows->count, rows->width, narrow, weight->stride);
    multiply_bf16(cuda, "linear", narrow, rows->count, *weight, sums, sums_stride);
    cuda.launch("linear", finish_rows, blocks_for(rows->count * weight->columns), kThreads, sums,
                sums_stride, rows->count, weight->columns, epilogue, data_of(out), out_stride);
}

} // namespace tessera::cuda
