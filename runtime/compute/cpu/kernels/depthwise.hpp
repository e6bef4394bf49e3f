// The loop of depthwise.hpp for one SIMD level S: a vector of channels at a few places next to each
// other, whose kernels overlap, so that what is loaded of the grid serves all of them.
#pragma once

#include "compute/cpu/kernels/norm.hpp"
#include "compute/cpu/kernels/simd_math.hpp"
#include "compute/cpu/operations/depthwise.hpp"

namespace tessera::cpu {

template <class S>
struct Depthwise {
    using F = typename S::F;
    static constexpr int kPlaces = 4; // sums that are made at once

    // Kernels of `Width` columns; `Places` of them from `column` on.
    template <int Width, int Places>
    static void sum(const DepthwiseRow &row, std::int64_t column, std::int64_t channel, int lanes) {
        const std::int64_t stride = row.columns + Width - 1;
        F sums[Places];
        for (int p = 0; p < Places; ++p) sums[p] = S::zero();
        for (std::int64_t ky = 0; ky < row.kernel_height; ++ky) {
            const float *const *places = row.places + ky * stride + column;
            const float *kernel = row.kernel + ky * row.kernel_row + channel;
            F weights[Width];
            for (int kx = 0; kx < Width; ++kx)
                weights[kx] = load_lanes<S>(kernel + kx * row.kernel_column, lanes);
            for (int at = 0; at < Width + Places - 1; ++at) {
                const F x = load_lanes<S>(places[at] + channel, lanes);
                for (int p = 0; p < Places; ++p) {
                    const int kx = at - p;
                    if (kx >= 0 && kx < Width) sums[p] = S::fma(x, weights[kx], sums[p]);
                }
            }
        }
        for (int p = 0; p < Places; ++p) finish(row, column + p, channel, lanes, sums[p]);
    }

    // Kernels of any width, at one place.
    static void sum_any(const DepthwiseRow &row, std::int64_t column, std::int64_t channel,
                        int lanes) {
        const std::int64_t stride = row.columns + row.kernel_width - 1;
        F total = S::zero();
        for (std::int64_t ky = 0; ky < row.kernel_height; ++ky) {
            const float *const *places = row.places + ky * stride + column;
            const float *kernel = row.kernel + ky * row.kernel_row + channel;
            for (std::int64_t kx = 0; kx < row.kernel_width; ++kx) {
                total = S::fma(load_lanes<S>(places[kx] + channel, lanes),
                               load_lanes<S>(kernel + kx * row.kernel_column, lanes), total);
            }
        }
        finish(row, column, channel, lanes, total);
    }

    static void finish(const DepthwiseRow &row, std::int64_t column, std::int64_t channel,
                       int lanes, F sum) {
        if (row.bias != nullptr) sum = S::add(sum, load_lanes<S>(row.bias + channel, lanes));
        store_lanes<S>(row.out + column * row.out_stride + channel,
                       activate<S>(sum, row.activation), lanes);
    }

    template <int Width>
    static void row_of(const DepthwiseRow &row) {
        for_each_vector<S>(row.channels, [&](std::int64_t channel, int lanes) {
            std::int64_t column = 0;
            for (; column + kPlaces <= row.columns; column += kPlaces)
                sum<Width, kPlaces>(row, column, channel, lanes);
            for (; column < row.columns; ++column) sum<Width, 1>(row, column, channel, lanes);
        });
    }

    static void row(const DepthwiseRow &row) {
        switch (row.kernel_width) {
        case 3:
            return row_of<3>(row);
        case 5:
            return row_of<5>(row);
        case 7:
            return row_of<7>(row);
        default:
            for_each_vector<S>(row.channels, [&](std::int64_t channel, int lanes) {
                for (std::int64_t column = 0; column < row.columns; ++column)
                    sum_any(row, column, channel, lanes);
            });
        }
    }
};

template <class S>
constexpr DepthwiseKernels depthwise_kernels() {
    return {Depthwise<S>::row};
}

} // namespace tessera::cpu
