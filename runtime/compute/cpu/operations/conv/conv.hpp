// Convolution over channels-last images: what packing, the direct path and the Winograd path share.
// Both paths work in the Cpu's scratch memory, which grows to the largest need and is then reused:
// a step that convolves takes no memory through `allocate`.
#pragma once

#include "compute/cpu/cpu.hpp"

#include <tessera/compute.h>

#include <cstddef>
#include <cstdint>

namespace tessera::cpu {

// A weight (out, in, kernel height, kernel width) from pack_conv2d: this, then the packed matrix
// whose segments are the taps of the kernel in row-major order.
struct alignas(64) PackedConv {
    static constexpr std::uint64_t kMagic = 0x766e6f632d727374; // "tsr-conv"
    std::uint64_t magic;
    const Kernels *kernels; // panels differ from level to level
    std::int64_t out_channels;
    std::int64_t in_channels;
    std::int64_t kernel_height;
    std::int64_t kernel_width;
    std::int64_t bf16; // 0 or 1

    [[nodiscard]] PackedMatrix matrix() const {
        return {.data = this + 1,
                .columns = out_channels,
                .segments = kernel_height * kernel_width,
                .segment_length = in_channels,
                .bf16 = bf16 != 0};
    }
};

// One conv2d call with every default filled in.
struct ConvCall {
    const PackedConv *weight;
    const tessera_tensor *x;        // (batch, height, width, in)
    const tessera_tensor *out;      // (batch, height', width', out)
    const tessera_tensor *residual; // as out, or NULL
    const float *bias;              // or NULL
    std::int64_t stride;
    std::int64_t upsample;
    std::int64_t pad_top;
    std::int64_t pad_left;
    bool circular;
    bool exact;
    std::int64_t first_row; // of the result: where `out` begins
    std::int64_t height;    // of the whole result
    tessera_activation_kind input_activation;
    tessera_activation_kind activation;

    // Row of x behind row `y` of the upsampled and padded input; -1: padding. Columns alike.
    [[nodiscard]] std::int64_t source_row(std::int64_t y) const {
        return source(y - pad_top, x->shape[1]);
    }
    [[nodiscard]] std::int64_t source_column(std::int64_t column) const {
        return source(column - pad_left, x->shape[2]);
    }

  private:
    [[nodiscard]] std::int64_t source(std::int64_t at, std::int64_t extent) const {
        const std::int64_t upsampled = extent * upsample;
        if (circular) at = (at % upsampled + upsampled) % upsampled;
        return at < 0 || at >= upsampled ? -1 : at / upsample;
    }
};

// The input as it is multiplied: x itself, or a copy in scratch memory (slot A) with the activation
// applied or in bf16.
class ConvInput {
  public:
    // For rows [first_row, first_row + row_count) of the result, which may reach beyond it.
    ConvInput(const ConvCall &call, bool as_bf16, std::int64_t first_row, std::int64_t row_count);

    // False when memory is short, which has been reported then.
    [[nodiscard]] bool prepare(Cpu &cpu);
    // Makes the copy, if there is one; inside a region, before pixels are read.
    void convert(Cpu &cpu, Region &region) const;

    // The channels of a pixel of x, as floats or bf16.
    [[nodiscard]] const std::byte *pixel(std::int64_t image, std::int64_t row,
                                         std::int64_t column) const {
        return source_ + image * image_bytes_ + row * row_bytes_ + column * pixel_bytes_;
    }
    [[nodiscard]] std::int64_t pixel_bytes() const { return pixel_bytes_; }

  private:
    [[nodiscard]] bool copies() const {
        return as_bf16_ || call_.input_activation != TESSERA_ACTIVATION_NONE;
    }
    // The rows of x behind those of the result: `count` of them from `first` on, modulo the height.
    struct Rows {
        std::int64_t first;
        std::int64_t count;
    };
    [[nodiscard]] Rows rows_read() const;

    const ConvCall &call_;
    bool as_bf16_;
    std::int64_t first_row_;
    std::int64_t row_count_;
    std::byte *copy_ = nullptr;
    const std::byte *source_;
    std::int64_t image_bytes_;
    std::int64_t row_bytes_;
    std::int64_t pixel_bytes_;
};

// By gathering rows for the product core; every shape.
void conv2d_direct(Cpu &cpu, const ConvCall &call);

// By winograd.hpp's transforms, unless the call is exact. Which shapes take it depends on one whole
// image and the weight only, so that a result depends neither on its batch nor on its part.
[[nodiscard]] bool takes_winograd(const ConvCall &call);
void conv2d_winograd(Cpu &cpu, const ConvCall &call);

} // namespace tessera::cpu
