// conv2d as an implicit product: rows are pixels of the result, the inner index runs over (kernel
// row, kernel column, input channel). Sums are plain float32 in that order, so `exact` or not is
// one.
#include "compute/cuda/kernels/linear.cuh"
#include "compute/cuda/kernels/tile.cuh"
#include "compute/cuda/ops.hpp"
#include "compute/host_weight.hpp"

namespace tessera::cuda {
namespace {

struct Convolution {
    const float *x; // (batch, height, width, channels)
    std::int64_t x_stride[3];
    std::int64_t height, width, channels; // before upsampling
    std::int64_t kernel_width;
    std::int64_t stride, upsample, pad_top, pad_left;
    bool circular, silu;
    float *out; // (batch, out_rows, out_width, out_channels)
    std::int64_t out_stride[3];
    std::int64_t out_rows, out_width, first_row;
    const float *residual; // as out, or NULL
    std::int64_t residual_stride[3];
    const float *bias;
    tessera_activation_kind activation;

    // A pixel of the result: its image, and where the kernel's corner lies in the padded input.
    struct Corner {
        const float *image;
        int y, x;
    };
    struct Tap {
        int y, x, channel;
    };
    [[nodiscard]] __device__ Corner row(std::int64_t pixel) const {
        const auto [of_all, column] = cell_of(pixel, out_width);
        const auto [image, row] = cell_of(of_all, out_rows);
        return {x + image * x_stride[0], static_cast<int>((row + first_row) * stride - pad_top),
                static_cast<int>(column * stride - pad_left)};
    }
    [[nodiscard]] __device__ Tap inner(std::int64_t k) const {
        const int tap = static_cast<int>(k) / static_cast<int>(channels);
        const int ky = tap / static_cast<int>(kernel_width);
        return {ky, tap - ky * static_cast<int>(kernel_width),
                static_cast<int>(k) - tap * static_cast<int>(channels)};
    }
    // Where an upsampled coordinate lies in x; -1: in the padding.
    [[nodiscard]] __device__ int source(int at, std::int64_t extent) const {
        const int whole = static_cast<int>(extent * upsample);
        if (circular) at = at < 0 ? at + whole : (at >= whole ? at - whole : at);
        if (at < 0 || at >= whole) return -1;
        return upsample == 1 ? at : at / static_cast<int>(upsample);
    }
    [[nodiscard]] __device__ float operator()(const Corner &corner, const Tap &tap) const {
        const int from_y = source(corner.y + tap.y, height);
        const int from_x = source(corner.x + tap.x, width);
        if (from_y < 0 || from_x < 0) return 0.0F;
        const float value = corner.image[from_y * x_stride[1] + from_x * x_stride[2] + tap.channel];
        return silu ? activated(value, TESSERA_ACTIVATION_SILU) : value;
    }
    __device__ void store(std::int64_t pixel, std::int64_t channel, float sum) const {
        const auto [of_all, column] = cell_of(pixel, out_width);
        const auto [image, row] = cell_of(of_all, out_rows);
        float value = bias != nullptr ? sum + bias[channel] : sum;
        value = activated(value, activation);
        if (residual != nullptr) {
            value += residual[image * residual_stride[0] + row * residual_stride[1] +
                              column * residual_stride[2] + channel];
        }
        out[image * out_stride[0] + row * out_stride[1] + column * out_stride[2] + channel] = value;
    }
};

template <class Weight>
__global__ void convolve(Convolution conv, const Weight *weight, std::int64_t weight_stride,
                         std::int64_t pixels, std::int64_t columns, std::int64_t inner) {
    tile_product(
        pixels, columns, inner, conv,
        [&](std::int64_t column, std::int64_t k) {
            return as_float(weight[column * weight_stride + k]);
        },
        [&](std::int64_t pixel, std::int64_t channel, float sum) {
            conv.store(pixel, channel, sum);
        });
}

void take_strides(std::int64_t (&to)[3], const tessera_tensor &tensor) {
    for (int i = 0; i < 3; ++i) to[i] = tensor.stride[i];
}

Convolution convolution_of(const tessera_tensor &x, const PackedWeight &weight,
                           const tessera_conv2d &options, const tessera_tensor &out) {
    Convolution conv{};
    conv.x = data_of(x);
    take_strides(conv.x_stride, x);
    conv.height = x.shape[1];
    conv.width = x.shape[2];
    conv.channels = x.shape[3];
    conv.kernel_width = weight.kernel_width;
    conv.stride = options.stride == 0 ? 1 : options.stride;
    conv.upsample = options.upsample == 0 ? 1 : options.upsample;
    conv.pad_top = options.pad_top;
    conv.pad_left = options.pad_left;
    conv.circular = options.circular != 0;
    conv.silu = options.input_activation == TESSERA_ACTIVATION_SILU;
    conv.out = data_of(out);
    take_strides(conv.out_stride, out);
    conv.out_rows = out.shape[1];
    conv.out_width = out.shape[2];
    conv.first_row = options.first_row;
    if (options.residual != nullptr) {
        conv.residual = data_of(*options.residual);
        take_strides(conv.residual_stride, *options.residual);
    }
    conv.bias = options.bias != nullptr ? data_of(*options.bias) : nullptr;
    conv.activation = options.activation;
    return conv;
}

} // namespace

Result<tessera_tensor> pack_conv2d(Cuda &cuda, const tessera_tensor &weight,
                                   tessera_dtype precision) {
    PackedWeight packed;
    packed.dtype = precision;
    packed.rank = 4;
    packed.columns = weight.shape[0];
    packed.inner = weight.shape[1] * weight.shape[2] * weight.shape[3];
    packed.kernel_width = weight.shape[3];
    return cuda.keep(weight, packed, host_kernel_by_taps(weight));
}

void conv2d(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &packed,
            const tessera_conv2d &options, const tessera_tensor &out) {
    const PackedWeight *weight = cuda.find(packed);
    if (weight == nullptr) {
        cuda.fail(Status::kInvalidArgument,
                  "conv2d: packed_weight {} is not from pack_conv2d of this compute",
                  shape_text(packed));
        return;
    }
    const Convolution conv = convolution_of(x, *weight, options, out);
    const std::int64_t pixels = out.shape[0] * out.shape[1] * out.shape[2];
    const dim3 grid = tiles_for(pixels, weight->columns);
    if (weight->dtype == TESSERA_DTYPE_F32) {
        cuda.launch("conv2d", convolve<float>, grid, kThreads, conv,
                    static_cast<const float *>(weight->data), weight->stride, pixels,
                    weight->columns, weight->inner);
    } else {
        cuda.launch("conv2d", convolve<__nv_bfloat16>, grid, kThreads, conv,
                    static_cast<const __nv_bfloat16 *>(weight->data), weight->stride, pixels,
                    weight->columns, weight->inner);
    }
}

} // namespace tessera::cuda
