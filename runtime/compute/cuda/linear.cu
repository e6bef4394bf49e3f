// linear: packed weights and products of rows with them.
#include "compute/cuda/kernels/linear.cuh"

#include "compute/cuda/kernels/tile.cuh"
#include "compute/cuda/ops.hpp"
#include "compute/host_weight.hpp"
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
__global__ void rows_to_bf16(Rows x, __nv_bfloat16 *out, std::int64_t stride) {
    const std::int64_t i = global_thread();
    if (i >= x.count * stride) return;
    const Cell cell = cell_of(i, stride);
    out[i] = __float2bfloat16_rn(cell.column < x.width ? x.data[cell.row * x.stride + cell.column]
                                                       : 0.0F);
}

// `narrow`: the same as bf16, rows of `narrow_stride`; NULL: not wanted.
__global__ void finish_rows(const float *sums, std::int64_t sums_stride, std::int64_t rows,
                            std::int64_t columns, Epilogue epilogue, float *out,
                            std::int64_t out_stride, __nv_bfloat16 *narrow,
                            std::int64_t narrow_stride) {
    const std::int64_t i = global_thread();
    if (i >= rows * columns) return;
    const auto [row, column] = cell_of(i, columns);
    const float value = epilogue(row, column, sums[row * sums_stride + column]);
    out[row * out_stride + column] = value;
    if (narrow != nullptr) narrow[row * narrow_stride + column] = __float2bfloat16_rn(value);
}

[[nodiscard]] bool is_aligned(const float *data) {
    return reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
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
    return cuda.keep(weight, packed, host_rows(weight));
}

void multiply_f32(Cuda &cuda, const char *what, const float *x, std::int64_t x_stride,
                  std::int64_t rows, const PackedWeight &weight, const Epilogue &epilogue,
                  float *out, std::int64_t out_stride) {
    cuda.launch(what, linear_f32, tiles_for(rows, weight.columns), kThreads, x, x_stride, rows,
                static_cast<const float *>(weight.data), weight.stride, weight.columns,
                weight.inner, epilogue, out, out_stride);
}

void multiply_bf16(Cuda &cuda, const char *what, const __nv_bfloat16 *x, std::int64_t rows,
                   const PackedWeight &weight, const float *bias, const float *residual,
                   std::int64_t residual_stride, float *out, std::int64_t out_stride) {
    const bool adds = bias != nullptr && weight.choice.adds && is_aligned(bias);
    const Product product{.x = x,
                          .x_stride = weight.stride,
                          .rows = rows,
                          .weight = weight.data,
                          .weight_stride = weight.stride,
                          .columns = weight.columns,
                          .inner = weight.inner,
                          .out = out,
                          .out_stride = out_stride,
                          .bias = adds ? bias : nullptr,
                          .residual = residual,
                          .residual_stride = residual_stride};
    cuda.count_launch();
    const auto done = cuda.products().multiply(product, weight.choice, cuda.stream());
    if (!done) return cuda.fail(done.error().status, "{}: {}", what, done.error().message);
    if (bias == nullptr || adds) return;
    Epilogue epilogue;
    epilogue.bias = bias;
    cuda.launch(what, finish_rows, blocks_for(rows * weight.columns), kThreads, out, out_stride,
                rows, weight.columns, epilogue, out, out_stride, nullptr, std::int64_t{0});
}

namespace {

// residual + (sum + bias): where the rows of `out` do not begin at 16 bytes, by way of scratch, so
// that the arithmetic does not depend on where things lie.
void add_product(Cuda &cuda, const __nv_bfloat16 *x, std::int64_t rows, const PackedWeight &weight,
                 const Epilogue &epilogue, float *out, std::int64_t out_stride) {
    const auto suits = [&](const float *data, std::int64_t stride) {
        return is_aligned(data) && stride % 4 == 0 && stride >= padded_columns(weight.columns);
    };
    const bool straight =
        suits(out, out_stride) &&
        (epilogue.residual == nullptr || suits(epilogue.residual, epilogue.residual_stride));
    if (straight) {
        return multiply_bf16(cuda, "linear", x, rows, weight, epilogue.bias, epilogue.residual,
                             epilogue.residual_stride, out, out_stride);
    }
    const std::int64_t stride = padded_columns(weight.columns);
    auto *sums = cuda.scratch<float>(Scratch::kB, rows * stride);
    if (sums == nullptr) return;
    const auto copy = [&](const float *from, std::int64_t from_stride, float *to,
                          std::int64_t to_stride) {
        cuda.launch("linear", finish_rows, blocks_for(rows * weight.columns), kThreads, from,
                    from_stride, rows, weight.columns, Epilogue{}, to, to_stride, nullptr,
                    std::int64_t{0});
    };
    const bool adds = epilogue.residual != nullptr;
    if (adds) copy(epilogue.residual, epilogue.residual_stride, sums, stride);
    multiply_bf16(cuda, "linear", x, rows, weight, epilogue.bias, adds ? sums : nullptr, stride,
                  sums, stride);
    copy(sums, stride, out, out_stride);
}

// The rows of x as bf16, of weight.stride numbers; NULL when memory is short, which was reported.
const __nv_bfloat16 *bf16_rows(Cuda &cuda, const Rows &rows, const PackedWeight &weight) {
    // What was left has anything behind its numbers, which our own products read.
    const bool whole = weight.stride == weight.inner || !cuda.has_mma();
    if (const __nv_bfloat16 *left = cuda.left_bf16(rows); left != nullptr && whole) return left;
    auto *const made = cuda.scratch<__nv_bfloat16>(Scratch::kA, rows.count * weight.stride);
    if (made == nullptr) return nullptr;
    cuda.launch("linear", rows_to_bf16, blocks_for(rows.count * weight.stride), kThreads, rows,
                made, weight.stride);
    return made;
}

// epilogue(x w^T) by cuBLASLt and a kernel behind it.
void finish_product(Cuda &cuda, const __nv_bfloat16 *x, std::int64_t rows,
                    const PackedWeight &weight, const Epilogue &epilogue, float *out,
                    std::int64_t out_stride) {
    const std::int64_t sums_stride = padded_columns(weight.columns);
    auto *sums = cuda.scratch<float>(Scratch::kB, rows * sums_stride);
    if (sums == nullptr) return;
    multiply_bf16(cuda, "linear", x, rows, weight, nullptr, nullptr, 0, sums, sums_stride);
    // What has been activated goes into a product next, in the networks that we know.
    const bool leaves = epilogue.gate == nullptr && epilogue.residual == nullptr;
    __nv_bfloat16 *const left =
        leaves ? cuda.leave_bf16({out, rows, weight.columns, out_stride}) : nullptr;
    if (cuda.failed()) return;
    cuda.launch("linear", finish_rows, blocks_for(rows * weight.columns), kThreads, sums,
                sums_stride, rows, weight.columns, epilogue, out, out_stride, left,
                Cuda::bf16_stride(weight.columns));
}

void multiply_and_normalise(Cuda &cuda, const __nv_bfloat16 *x, std::int64_t rows,
                            const PackedWeight &weight, const Epilogue &epilogue, float *out,
                            std::int64_t out_stride, const ProductNorm &norm) {
    // As in finish_product; a norm always.
    const bool leaves = epilogue.gate == nullptr && epilogue.residual == nullptr;
    __nv_bfloat16 *left = nullptr;
    if (norm.to != nullptr)
        left = cuda.leave_bf16({norm.to, rows, weight.columns, norm.stride});
    else if (leaves)
        left = cuda.leave_bf16({out, rows, weight.columns, out_stride});
    if (cuda.failed()) return;
    multiply_mma(cuda, "linear", x, rows, weight, epilogue, out, out_stride, norm, left,
                 Cuda::bf16_stride(weight.columns));
}

ProductNorm norm_of(const tessera_linear &options, std::int64_t width) {
    if (options.normed == nullptr) return {};
    const bool affine = options.norm_gamma != nullptr;
    return {.norm = {.gamma = affine ? data_of(*options.norm_gamma) : nullptr,
                     .beta = affine ? data_of(*options.norm_beta) : nullptr,
                     .epsilon = options.norm_epsilon,
                     .width = static_cast<int>(width)},
            .to = data_of(*options.normed),
            .stride = operands::as_rows(*options.normed)->stride};
}

} // namespace

void linear(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &packed,
            const tessera_linear &options, const tessera_tensor &out) {
    const PackedWeight *weight = cuda.find(packed);
    if (weight == nullptr) {
        cuda.fail(Status::kInvalidArgument,
                  "linear: packed_weight {} was not packed by pack_linear of this compute",
                  shape_text(packed));
        return;
    }
    const auto from = operands::as_rows(x);
    const Rows rows{data_of(x), from->count, from->width, from->stride};
    const std::int64_t out_stride = operands::as_rows(out)->stride;
    const Epilogue epilogue = epilogue_of(options, rows.count);
    if (weight->dtype == TESSERA_DTYPE_F32) {
        multiply_f32(cuda, "linear", rows.data, rows.stride, rows.count, *weight, epilogue,
                     data_of(out), out_stride);
    } else {
        const __nv_bfloat16 *const narrow = bf16_rows(cuda, rows, *weight);
        if (narrow == nullptr) return;
        // By what is asked for, never by the number of rows: their bits must not depend on it.
        const bool plain =
            epilogue.activation == TESSERA_ACTIVATION_NONE && epilogue.gate == nullptr;
        if (cuda.has_mma() && (!plain || options.normed != nullptr)) {
            return multiply_and_normalise(cuda, narrow, rows.count, *weight, epilogue, data_of(out),
                                          out_stride, norm_of(options, weight->columns));
        }
        if (plain)
            add_product(cuda, narrow, rows.count, *weight, epilogue, data_of(out), out_stride);
        else
            finish_product(cuda, narrow, rows.count, *weight, epilogue, data_of(out), out_stride);
    }
    if (options.normed == nullptr || cuda.failed()) return;
    layer_norm(cuda, out, options.norm_gamma, options.norm_beta, options.norm_epsilon,
               *options.normed);
}

} // namespace tessera::cuda
