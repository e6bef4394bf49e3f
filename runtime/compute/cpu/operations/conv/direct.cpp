// Convolution as one product over gathered rows: row r of the left matrix is the window of output
// pixel r, given as one pointer per tap, so nothing is copied.
#include "compute/cpu/operations/conv/conv.hpp"
#include "compute/cpu/rows.hpp"
#include "compute/operands.hpp"

#include <algorithm>
#include <cstring>

namespace tessera::cpu {

namespace {

// Output pixels whose pointers are in memory at once.
constexpr std::int64_t kStripPixels = 8192;

struct DirectConv {
    Cpu &cpu;
    const ConvCall &call;
    PackedMatrix weight = call.weight->matrix();
    bool as_bf16 = gemm_takes_bf16(cpu.kernels().gemm, weight);
    std::int64_t height = call.out->shape[1];
    std::int64_t width = call.out->shape[2];
    std::int64_t pixels = call.out->shape[0] * height * width;

    ConvInput input{call, as_bf16, call.first_row, height};

    // Runs of output pixels that lie evenly spaced in out and residual.
    std::int64_t strip_pixels = 0;
    bool strips_are_rows = false;

    const void **table = nullptr; // (taps, strip pixels)
    const std::byte *zeros = nullptr;

    bool prepare();
    void fill_table(std::int64_t first, std::int64_t count, std::int64_t piece) const;
    [[nodiscard]] GemmCall product(std::int64_t first, std::int64_t count) const;
    void run(Region &region) const;

    [[nodiscard]] float *pixel_of(const tessera_tensor &tensor, std::int64_t pixel) const {
        return data_of(tensor) + pixel / (height * width) * tensor.stride[0] +
               pixel / width % height * tensor.stride[1] + pixel % width * tensor.stride[2];
    }
};

bool DirectConv::prepare() {
    if (!input.prepare(cpu)) return false;
    const auto joined = [](const tessera_tensor *t) {
        return t == nullptr || operands::as_rows(*t);
    };
    strips_are_rows = !joined(call.out) || !joined(call.residual);
    strip_pixels = strips_are_rows ? width : std::min(pixels, kStripPixels);
    const std::int64_t zero_bytes =
        (weight.segment_length + 1) * static_cast<std::int64_t>(sizeof(float));
    auto *memory = cpu.scratch<std::byte>(
        Scratch::kB,
        weight.segments * strip_pixels * static_cast<std::int64_t>(sizeof(void *)) + zero_bytes);
    if (memory == nullptr) return false;
    table = reinterpret_cast<const void **>(memory);
    std::byte *zero_row = memory + weight.segments * strip_pixels * sizeof(void *);
    std::memset(zero_row, 0, static_cast<std::size_t>(zero_bytes));
    zeros = zero_row;
    return true;
}

// Pointers of one tap for the pixels [first, first + count).
void DirectConv::fill_table(std::int64_t first, std::int64_t count, std::int64_t tap) const {
    const std::int64_t ky = tap / call.weight->kernel_width;
    const std::int64_t kx = tap % call.weight->kernel_width;
    const void **out = table + tap * strip_pixels;
    for (std::int64_t done = 0; done < count;) {
        const std::int64_t pixel = first + done;
        const std::int64_t x_begin = pixel % width;
        const std::int64_t run = std::min(width - x_begin, count - done);
        const std::int64_t source_row =
            call.source_row((call.first_row + pixel / width % height) * call.stride + ky);
        const std::byte *row = input.pixel(pixel / (height * width), source_row, 0);
        for (std::int64_t i = 0; i < run; ++i) {
            const std::int64_t column = call.source_column((x_begin + i) * call.stride + kx);
            out[done + i] =
                source_row < 0 || column < 0 ? zeros : row + column * input.pixel_bytes();
        }
        done += run;
    }
}

GemmCall DirectConv::product(std::int64_t first, std::int64_t count) const {
    GemmCall gemm;
    gemm.weight = weight;
    gemm.rows = count;
    gemm.in_stretches = call.exact;
    gemm.a_rows = table;
    gemm.a_rows_stride = strip_pixels;
    gemm.out = pixel_of(*call.out, first);
    const auto spacing = [&](const tessera_tensor &tensor) {
        return strips_are_rows ? tensor.stride[2] : operands::as_rows(tensor)->stride;
    };
    gemm.out_stride = spacing(*call.out);
    gemm.epilogue.bias = call.bias;
    gemm.epilogue.activation = call.activation;
    if (call.residual != nullptr) {
        gemm.epilogue.residual = pixel_of(*call.residual, first);
        gemm.epilogue.residual_stride = spacing(*call.residual);
    }
    return gemm;
}

void DirectConv::run(Region &region) const {
    const Kernels &kernels = cpu.kernels();
    input.convert(cpu, region);
    for (std::int64_t first = 0; first < pixels; first += strip_pixels) {
        const std::int64_t count = std::min(strip_pixels, pixels - first);
        region.for_each(weight.segments, [&](std::int64_t tap) { fill_table(first, count, tap); });
        const GemmCall gemm = product(first, count);
        region.for_each(gemm_pieces(kernels.gemm, gemm),
                        [&](std::int64_t piece) { run_piece(kernels.gemm, gemm, piece); });
    }
}

} // namespace

void conv2d_direct(Cpu &cpu, const ConvCall &call) {
    DirectConv conv{.cpu = cpu, .call = call};
    if (!conv.prepare()) return;
    cpu.pool().run([&](Region &region) { conv.run(region); });
}

} // namespace tessera::cpu
