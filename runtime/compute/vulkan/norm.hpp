// Norms over rows: Params of shaders/compute/norm.comp.
#pragma once

#include "compute/vulkan/params.hpp"

namespace tessera::vulkan {

struct RowNorm {
    Address x = 0, gamma = 0, beta = 0, result = 0;
    Address shift = 0, scale = 0; // rows of modulation_stride
    std::uint32_t rows = 0, width = 0, inner_extent = 1, middle_extent = 1, modulation_stride = 0;
    Steps x_steps, result_steps;
    float epsilon = 0;
};

} // namespace tessera::vulkan
