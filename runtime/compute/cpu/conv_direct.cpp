// Convolution as one product over gathered rows: row r of the left matrix is the window of output
// pixel r, given as one pointer per tap, so nothing is copied.
#include "compute/cpu/conv.hpp"
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

    // The input as it is multiplied: x itself, or a copy with the activation applied or in bf16.
    const std::byte *source = nullptr;
    std::int64_t image_bytes = 0;
    std::int64_t row_bytes = 0;
    std::int64_t pixel_bytes = 0;

    // Runs of output pixels that lie evenly spaced in out and residual.
    std::int64_t strip_pixels = 0;
    bool strips_are_rows = false;

    const void **table = nullptr; // (taps, strip pixels)
    const std::byte *zeros = nullptr;

    bool prepare();
    bool copy_input();
    void convert_pixels(Region &region, std::byte *copy) const;
    void fill_table(std::int64_t first, std::int64_t count, std::int64_t piece) const;
    [[nodiscard]] GemmCall product(std::int64_t first, std::int64_t count) const;
    void run(Region &region) const;

    [[nodiscard]] bool needs_copy() const {
        return as_bf16 || call.input_activation != TESSERA_ACTIVATION_NONE;
    }
    [[nodiscard]] std::int64_t copied_pixel_bytes() const {
        const std::int64_t channels = (weight.segment_length + 1) / 2 * 2;
        return channels *
               static_cast<std::int64_t>(as_bf16 ? sizeof(std::uint16_t) : sizeof(float));
    }
    [[nodiscard]] float *pixel_of(const tessera_tensor &tensor, std::int64_t pixel) const {
        return data_of(tensor) + pixel / (height * width) * tensor.stride[0] +
               pixel / width % height * tensor.stride[1] + pixel % width * tensor.stride[2];
    }
};

bool DirectConv::prepare() {
    const tessera_tensor &x = *call.x;
    const auto joined = [](const tessera_tensor *t) {
        return t == nullptr || operands::as_rows(*t);
    };
    strips_are_rows = !joined(call.out) || !joined(call.residual);
    strip_pixels = strips_are_rows ? width : std::min(pixels, kStripPixels);
    source = static_cast<const std::byte *>(x.data);
    constexpr auto kFloat = static_cast<std::int64_t>(sizeof(float));
    image_bytes = x.stride[0] * kFloat;
    row_bytes = x.stride[1] * kFloat;
    pixel_bytes = x.stride[2] * kFloat;
    const std::int64_t zero_bytes = weight.segment_length * kFloat + kFloat;
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

// Room for a copy of the input; convert_pixels fills it.
bool DirectConv::copy_input() {
    const tessera_tensor &x = *call.x;
    const std::int64_t count = x.shape[0] * x.shape[1] * x.shape[2];
    source = cpu.scratch<std::byte>(Scratch::kA, count * copied_pixel_bytes());
    pixel_bytes = copied_pixel_bytes();
    row_bytes = x.shape[2] * pixel_bytes;
    image_bytes = x.shape[1] * row_bytes;
    return source != nullptr;
}

void DirectConv::convert_pixels(Region &region, std::byte *copy) const {
    const tessera_tensor &x = *call.x;
    const std::int64_t channels = x.shape[3];
    const Kernels &kernels = cpu.kernels();
    constexpr std::int64_t kChunk = 512;
    region.for_each(x.shape[0] * x.shape[1], [&](std::int64_t row) {
        const float *from =
            data_of(x) + row / x.shape[1] * x.stride[0] + row % x.shape[1] * x.stride[1];
        std::byte *to = copy + row * row_bytes;
        for (std::int64_t i = 0; i < x.shape[2]; ++i) {
            for (std::int64_t c = 0; c < channels; c += kChunk) {
                alignas(64) float activated[kChunk];
                const std::int64_t n = std::min(kChunk, channels - c);
                const float *values = from + i * x.stride[2] + c;
                float *target =
                    as_bf16 ? activated : reinterpret_cast<float *>(to + i * pixel_bytes) + c;
                if (call.input_activation != TESSERA_ACTIVATION_NONE) {
                    kernels.elementwise.activate(values, n, call.input_activation, target);
                    values = target;
                }
                if (as_bf16) {
                    kernels.gemm.to_bf16(
                        values, n, reinterpret_cast<std::uint16_t *>(to + i * pixel_bytes) + c);
                }
            }
        }
    });
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
        const std::int64_t source_row = call.source_row(pixel / width % height * call.stride + ky);
        const std::byte *row =
            source + pixel / (height * width) * image_bytes + source_row * row_bytes;
        for (std::int64_t i = 0; i < run; ++i) {
            const std::int64_t column = call.source_column((x_begin + i) * call.stride + kx);
            out[done + i] = source_row < 0 || column < 0 ? zeros : row + column * pixel_bytes;
        }
        done += run;
    }
}

GemmCall DirectConv::product(std::int64_t first, std::int64_t count) const {
    GemmCall gemm;
    gemm.weight = weight;
    gemm.rows = count;
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
    if (needs_copy()) convert_pixels(region, const_cast<std::byte *>(source));
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
    if (conv.needs_copy() && !conv.copy_input()) return;
    cpu.pool().run([&](Region &region) { conv.run(region); });
}

} // namespace tessera::cpu
