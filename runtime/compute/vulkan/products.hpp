// Products of rows with packed weights: Params of shaders/compute/product.comp.
#pragma once

#include "compute/vulkan/params.hpp"

namespace tessera::vulkan {

struct Product {
    Address x = 0, weight = 0, bias = 0, gate = 0, residual = 0, result = 0;
    std::uint32_t rows = 0, columns = 0, inner = 0;
    std::uint32_t x_stride = 0, weight_stride = 0, gate_stride = 0, gate_rows = 1,
                  residual_stride = 0, result_stride = 0;
    std::uint32_t activation = TESSERA_ACTIVATION_NONE;
    std::uint32_t column_tiles = 0;
    std::uint32_t height = 0, width = 0, channels = 0, kernel_width = 0;
    std::uint32_t conv_stride = 1, upsample = 1, pad_top = 0, pad_left = 0, circular = 0, silu = 0;
    std::uint32_t out_rows = 0, out_width = 0, first_row = 0;
    Steps x_steps, residual_steps, result_steps;
};

// Its weight, columns and inner index are those of `weight`.
void multiply(Vulkan &vulkan, const char *what, const PackedWeight &weight, Product product,
              bool together = false);

} // namespace tessera::vulkan
