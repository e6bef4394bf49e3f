// Depthwise convolution: one thread makes one number, next to those of the channels around it.
#include "compute/cuda/kernels/activation.cuh"
#include "compute/cuda/kernels/rows.cuh"
#include "compute/cuda/ops.hpp"

namespace tessera::cuda {
namespace {

struct Depthwise {
    const float *x; // (batch, height, width, channels)
    std::int64_t x_stride[3];
    int height, width;
    int first_row, rows; // of the result
    std::int64_t channels;
    const float *kernel; // (kernel_height, kernel_width, channels)
    std::int64_t kernel_row, kernel_column;
    int kernel_height, kernel_width;
    bool circular;
    const float *bias; // or NULL
    tessera_activation_kind activation;
    float *out;
    std::int64_t out_stride[3];

    // Where `at` lies in the grid; -1: outside.
    [[nodiscard]] __device__ int inside(int at, int extent) const {
        if (circular) {
            at %= extent;
            return at < 0 ? at + extent : at;
        }
        return at >= 0 && at < extent ? at : -1;
    }
};

__global__ void convolve_channels(Depthwise d, std::int64_t count) {
    const std::int64_t i = global_thread();
    if (i >= count) return;
    const std::int64_t place = i / d.channels;
    const std::int64_t channel = i - place * d.channels;
    const auto column = static_cast<int>(place % d.width);
    const auto row = static_cast<int>(place / d.width % d.rows);
    const std::int64_t image = place / d.width / d.rows;
    const float *x = d.x + image * d.x_stride[0] + channel;
    const float *kernel = d.kernel + channel;
    float sum = 0.0F;
    for (int ky = 0; ky < d.kernel_height; ++ky) {
        const int from_row = d.inside(d.first_row + row + ky - d.kernel_height / 2, d.height);
        for (int kx = 0; kx < d.kernel_width; ++kx) {
            const int from_column = d.inside(column + kx - d.kernel_width / 2, d.width);
            const float value = from_row < 0 || from_column < 0
                                    ? 0.0F
                                    : x[from_row * d.x_stride[1] + from_column * d.x_stride[2]];
            sum = fmaf(value, kernel[ky * d.kernel_row + kx * d.kernel_column], sum);
        }
    }
    if (d.bias != nullptr) sum += d.bias[channel];
    d.out[image * d.out_stride[0] + row * d.out_stride[1] + column * d.out_stride[2] + channel] =
        activated(sum, d.activation);
}

} // namespace

void depthwise_conv2d(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &kernel,
                      const tessera_depthwise_conv2d &options, const tessera_tensor &out) {
    const Depthwise call{.x = data_of(x),
                         .x_stride = {x.stride[0], x.stride[1], x.stride[2]},
                         .height = static_cast<int>(x.shape[1]),
                         .width = static_cast<int>(x.shape[2]),
                         .first_row = static_cast<int>(options.first_row),
                         .rows = static_cast<int>(out.shape[1]),
                         .channels = x.shape[3],
                         .kernel = data_of(kernel),
                         .kernel_row = kernel.stride[0],
                         .kernel_column = kernel.stride[1],
                         .kernel_height = static_cast<int>(kernel.shape[0]),
                         .kernel_width = static_cast<int>(kernel.shape[1]),
                         .circular = options.circular != 0,
                         .bias = options.bias != nullptr ? data_of(*options.bias) : nullptr,
                         .activation = options.activation,
                         .out = data_of(out),
                         .out_stride = {out.stride[0], out.stride[1], out.stride[2]}};
    const std::int64_t count = *element_count(out);
    cuda.launch("depthwise_conv2d", convolve_channels, blocks_for(count), kThreads, call, count);
}

} // namespace tessera::cuda
