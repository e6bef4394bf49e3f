// Depthwise convolution: the places around each row of the grid as pointers, then the loop of the
// level over them.
#include "compute/cpu/operations/depthwise.hpp"

#include "compute/cpu/ops.hpp"
#include "compute/cpu/rows.hpp"

#include <cstring>

namespace tessera::cpu {
namespace {

struct DepthwiseCall {
    Cpu &cpu;
    const tessera_tensor &x;
    const tessera_tensor &kernel;
    const tessera_depthwise_conv2d &options;
    const tessera_tensor &out;

    std::int64_t height = x.shape[1];
    std::int64_t rows = out.shape[1];                       // of the part
    std::int64_t places = x.shape[2] + kernel.shape[1] - 1; // that a row of kernels reaches
    std::int64_t pointers = kernel.shape[0] * places;       // of one row
    const float *zeros = nullptr;                           // (channels), around the grid

    // Where `at` lies on a circle of `extent`, or -1 outside of a grid without a circle.
    [[nodiscard]] std::int64_t inside(std::int64_t at, std::int64_t extent) const {
        if (options.circular != 0) return (at % extent + extent) % extent;
        return at >= 0 && at < extent ? at : -1;
    }

    void point(std::int64_t image, std::int64_t y, const float **to) const {
        for (std::int64_t ky = 0; ky < kernel.shape[0]; ++ky) {
            const std::int64_t row = inside(y + ky - kernel.shape[0] / 2, height);
            const float *from =
                data_of(x) + image * x.stride[0] + (row < 0 ? 0 : row) * x.stride[1];
            for (std::int64_t i = 0; i < places; ++i) {
                const std::int64_t column = inside(i - kernel.shape[1] / 2, x.shape[2]);
                *to++ = row < 0 || column < 0 ? zeros : from + column * x.stride[2];
            }
        }
    }

    void run_row(std::int64_t at, const float **own) const {
        const std::int64_t image = at / rows;
        const std::int64_t y = at % rows;
        point(image, options.first_row + y, own);
        cpu.kernels().depthwise.row(
            {.places = own,
             .kernel = data_of(kernel),
             .kernel_row = kernel.stride[0],
             .kernel_column = kernel.stride[1],
             .kernel_height = kernel.shape[0],
             .kernel_width = kernel.shape[1],
             .columns = x.shape[2],
             .channels = x.shape[3],
             .bias = options.bias != nullptr ? data_of(*options.bias) : nullptr,
             .activation = options.activation,
             .out = data_of(out) + image * out.stride[0] + y * out.stride[1],
             .out_stride = out.stride[2]});
    }
};

} // namespace

void depthwise_conv2d(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &kernel,
                      const tessera_depthwise_conv2d &options, const tessera_tensor &out) {
    DepthwiseCall call{cpu, x, kernel, options, out};
    auto **pointers =
        cpu.scratch<const float *>(Scratch::kA, cpu.pool().thread_count() * call.pointers);
    auto *zeros = cpu.scratch<float>(Scratch::kB, x.shape[3]);
    if (pointers == nullptr || zeros == nullptr) return;
    std::memset(zeros, 0, static_cast<std::size_t>(x.shape[3]) * sizeof(float));
    call.zeros = zeros;
    cpu.pool().run([&](Region &region) {
        const float **own = pointers + region.thread_index() * call.pointers;
        region.for_each(x.shape[0] * call.rows, [&](std::int64_t at) { call.run_row(at, own); });
    });
}

} // namespace tessera::cpu
