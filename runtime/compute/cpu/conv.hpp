// Convolution over channels-last images: what packing, the direct path and the Winograd path share.
#pragma once

#include "compute/cpu/cpu.hpp"

#include <tessera/compute.h>

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

// By gathering rows for the product core; every shape.
void conv2d_direct(Cpu &cpu, const ConvCall &call);

} // namespace tessera::cpu
