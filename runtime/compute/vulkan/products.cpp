// linear and conv2d, and their weights.
#include "compute/vulkan/products.hpp"

#include "compute/host_weight.hpp"
#include "compute/operands.hpp"
#include "compute/vulkan/ops.hpp"

namespace tessera::vulkan {
namespace {

// kWeight of shaders/compute/product.comp.
std::uint32_t numbers_of(const PackedWeight &weight) {
    if (weight.dtype == TESSERA_DTYPE_F32) return 0;
    return weight.dtype == TESSERA_DTYPE_BF16 ? 1 : 2;
}

void take_residual(Product &product, const tessera_tensor *residual) {
    if (residual == nullptr) return;
    product.residual = address_of(residual);
    if (const auto rows = operands::as_rows(*residual))
        product.residual_stride = word(rows->stride);
    if (residual->rank == 4) product.residual_steps = steps_of(*residual);
}

} // namespace

void multiply(Vulkan &vulkan, const char *what, const PackedWeight &weight, Product product,
              bool together) {
    // Few rows: tiles of eight, so that more groups share the weight. The same bits.
    constexpr std::uint32_t kRowsOfThreads = 8, kTileColumns = 64;
    const std::uint32_t each = product.rows <= kRowsOfThreads ? 1 : 4;
    product.weight = weight.data;
    product.weight_stride = weight.stride;
    product.columns = weight.columns;
    product.inner = weight.inner;
    product.column_tiles = (weight.columns + kTileColumns - 1) / kTileColumns;
    const std::uint32_t tile_rows = kRowsOfThreads * each;
    const std::uint64_t row_tiles = (product.rows + tile_rows - 1) / tile_rows;
    vulkan.launch(what, {Shader::kProduct, {weight.rank == 4 ? 1U : 0U, numbers_of(weight), each}},
                  product, row_tiles * product.column_tiles,
                  std::uint64_t{product.rows} * weight.columns * weight.inner, together);
}

Result<tessera_tensor> pack_linear(Vulkan &vulkan, const tessera_tensor &weight,
                                   tessera_dtype precision) {
    PackedWeight packed{.dtype = precision,
                        .rank = 2,
                        .columns = word(weight.shape[0]),
                        .inner = word(weight.shape[1])};
    return vulkan.keep(weight, packed, host_rows(weight));
}

Result<tessera_tensor> pack_conv2d(Vulkan &vulkan, const tessera_tensor &weight,
                                   tessera_dtype precision) {
    PackedWeight packed{.dtype = precision,
                        .rank = 4,
                        .columns = word(weight.shape[0]),
                        .inner = word(weight.shape[1] * weight.shape[2] * weight.shape[3]),
                        .kernel_width = word(weight.shape[3])};
    return vulkan.keep(weight, packed, host_kernel_by_taps(weight));
}

void linear(Vulkan &vulkan, const tessera_tensor &x, const tessera_tensor &packed,
            const tessera_linear &options, const tessera_tensor &out) {
    const PackedWeight *weight = vulkan.find(packed);
    if (weight == nullptr) {
        return vulkan.fail(Status::kInvalidArgument,
                           "linear: packed_weight {} was not packed by pack_linear of this compute",
                           shape_text(packed));
    }
    const auto rows = operands::as_rows(x);
    Product product{.x = address_of(x),
                    .bias = address_of(options.bias),
                    .gate = address_of(options.gate),
                    .result = address_of(out),
                    .rows = word(rows->count),
                    .x_stride = word(rows->stride),
                    .result_stride = word(operands::as_rows(out)->stride),
                    .activation = word(options.activation)};
    take_residual(product, options.residual);
    if (options.gate != nullptr) {
        const auto gates = operands::as_rows(*options.gate);
        product.gate_stride = word(gates->stride);
        product.gate_rows = word(rows->count / std::max<std::int64_t>(gates->count, 1));
    }
    multiply(vulkan, "linear", *weight, product);
    if (options.normed == nullptr) return;
    layer_norm(vulkan, out, options.norm_gamma, options.norm_beta, options.norm_epsilon,
               *options.normed);
}

void conv2d(Vulkan &vulkan, const tessera_tensor &x, const tessera_tensor &packed,
            const tessera_conv2d &options, const tessera_tensor &out) {
    const PackedWeight *weight = vulkan.find(packed);
    if (weight == nullptr) {
        return vulkan.fail(Status::kInvalidArgument,
                           "conv2d: packed_weight {} is not from pack_conv2d of this compute",
                           shape_text(packed));
    }
    Product product{.x = address_of(x),
                    .bias = address_of(options.bias),
                    .result = address_of(out),
                    .rows = word(out.shape[0] * out.shape[1] * out.shape[2]),
                    .activation = word(options.activation),
                    .height = word(x.shape[1]),
                    .width = word(x.shape[2]),
                    .channels = word(x.shape[3]),
                    .kernel_width = weight->kernel_width,
                    .conv_stride = options.stride == 0 ? 1 : options.stride,
                    .upsample = options.upsample == 0 ? 1 : options.upsample,
                    .pad_top = options.pad_top,
                    .pad_left = options.pad_left,
                    .circular = options.circular,
                    .silu = options.input_activation == TESSERA_ACTIVATION_SILU ? 1U : 0U,
                    .out_rows = word(out.shape[1]),
                    .out_width = word(out.shape[2]),
                    .first_row = options.first_row,
                    .x_steps = steps_of(x),
                    .residual_steps = {},
                    .result_steps = steps_of(out)};
    take_residual(product, options.residual);
    multiply(vulkan, "conv2d", *weight, product);
}

} // namespace tessera::vulkan
