// Slow and obvious versions, in double precision, of what the device computes.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

namespace tessera {

using Complexes = std::vector<std::complex<double>>; // (height, width)

inline Complexes to_double(std::span<const std::complex<float>> values) {
    return {values.begin(), values.end()};
}

inline double relative_error(const Complexes &values, const Complexes &expected) {
    double error = 0;
    double size = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        error += std::norm(values[i] - expected[i]);
        size += std::norm(expected[i]);
    }
    return std::sqrt(error / size);
}

// Sums of x exp(sign 2 pi i (k x / width + l y / height)), rows first, then columns.
inline Complexes naive_transform(const Complexes &values, std::size_t width, std::size_t height,
                                 int sign) {
    const auto turn = [sign](std::size_t numerator, std::size_t size) {
        const double share = static_cast<double>(numerator % size) / static_cast<double>(size);
        return std::polar(1.0, sign * 2 * std::numbers::pi * share);
    };
    Complexes rows(values.size());
    for (std::size_t y = 0; y < height; ++y) {
        for (std::size_t k = 0; k < width; ++k) {
            for (std::size_t x = 0; x < width; ++x) {
                rows[y * width + k] += values[y * width + x] * turn(k * x, width);
            }
        }
    }
    Complexes all(values.size());
    for (std::size_t l = 0; l < height; ++l) {
        for (std::size_t y = 0; y < height; ++y) {
            const std::complex<double> factor = turn(l * y, height);
            for (std::size_t k = 0; k < width; ++k) {
                all[l * width + k] += rows[y * width + k] * factor;
            }
        }
    }
    return all;
}

inline Complexes naive_inverse(const Complexes &values, std::size_t width, std::size_t height) {
    Complexes result = naive_transform(values, width, height, 1);
    for (auto &value : result) value /= static_cast<double>(values.size());
    return result;
}

// A picture with shapes, colours, and jumps over its border.
inline std::vector<std::uint8_t> pattern_picture(std::size_t width, std::size_t height) {
    std::vector<std::uint8_t> rgba;
    for (std::size_t y = 0; y < height; ++y) {
        for (std::size_t x = 0; x < width; ++x) {
            const double u = static_cast<double>(x) / static_cast<double>(width);
            const double v = static_cast<double>(y) / static_cast<double>(height);
            const double ring = std::sin(40 * std::hypot(u - 0.4, v - 0.6));
            const double red = 0.3 + 0.3 * u + 0.1 * ring;
            const double green = 0.5 + 0.2 * ring * v;
            const double blue = (x / 5 + y / 7) % 2 == 0 ? 0.35 : 0.6 - 0.2 * v;
            for (const double value : {red, green, blue, 0.25 + 0.5 * v}) {
                rgba.push_back(static_cast<std::uint8_t>(std::lround(value * 255)));
            }
        }
    }
    return rgba;
}

// Moisan 2011: u less the solution of a periodic Poisson equation with the jumps over the border.
inline std::vector<double> reference_periodic(std::span<const std::uint8_t> rgba, std::size_t width,
                                              std::size_t height, std::size_t channel) {
    const auto u = [&](std::size_t x, std::size_t y) {
        return rgba[(y * width + x) * 4 + channel] / 255.0;
    };
    Complexes jumps(width * height);
    for (std::size_t y = 0; y < height; ++y) {
        jumps[y * width] += u(width - 1, y) - u(0, y);
        jumps[y * width + width - 1] += u(0, y) - u(width - 1, y);
    }
    for (std::size_t x = 0; x < width; ++x) {
        jumps[x] += u(x, height - 1) - u(x, 0);
        jumps[(height - 1) * width + x] += u(x, 0) - u(x, height - 1);
    }
    Complexes transform = naive_transform(jumps, width, height, -1);
    for (std::size_t l = 0; l < height; ++l) {
        for (std::size_t k = 0; k < width; ++k) {
            const double across = 2 * std::cos(2 * std::numbers::pi * static_cast<double>(k) /
                                               static_cast<double>(width));
            const double down = 2 * std::cos(2 * std::numbers::pi * static_cast<double>(l) /
                                             static_cast<double>(height));
            if (k == 0 && l == 0)
                transform[0] = 0;
            else
                transform[l * width + k] /= across + down - 4;
        }
    }
    const Complexes smooth = naive_inverse(transform, width, height);
    std::vector<double> periodic;
    for (std::size_t i = 0; i < smooth.size(); ++i) {
        periodic.push_back(rgba[i * 4 + channel] / 255.0 - smooth[i].real());
    }
    return periodic;
}

} // namespace tessera
