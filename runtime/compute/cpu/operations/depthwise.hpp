// Depthwise convolution: the per-level loop over one row of the grid.
#pragma once

#include <tessera/compute.h>

#include <cstdint>

namespace tessera::cpu {

// One row of the result. Everything that a kernel reaches is given by pointers, so that the loop
// knows of no border.
struct DepthwiseRow {
    // (kernel_height, columns + kernel_width - 1): the channels of the places around the row, from
    // the left edge of the first kernel to the right edge of the last.
    const float *const *places = nullptr;
    const float *kernel = nullptr; // (kernel_height, kernel_width, channels)
    std::int64_t kernel_row = 0;   // elements between the kernel's rows, and between its columns
    std::int64_t kernel_column = 0;
    std::int64_t kernel_height = 0;
    std::int64_t kernel_width = 0;
    std::int64_t columns = 0;
    std::int64_t channels = 0;
    const float *bias = nullptr; // (channels) or NULL
    tessera_activation_kind activation = TESSERA_ACTIVATION_NONE;
    float *out = nullptr;
    std::int64_t out_stride = 0; // elements between places
};

struct DepthwiseKernels {
    // Every place sums over the kernel row by row, from left to right.
    void (*row)(const DepthwiseRow &row);
};

} // namespace tessera::cpu
