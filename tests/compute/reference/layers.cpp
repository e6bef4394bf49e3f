// Depthwise convolution, rotary positions and RMS norm in double precision.
#include "reference.hpp"

#include <cmath>

namespace tessera::reference {

Product depthwise_conv2d(const Array &x, const Array &kernel, const DepthwiseOptions &options) {
    const std::int64_t height = x.shape[1];
    const std::int64_t width = x.shape[2];
    const std::int64_t channels = x.shape[3];
    Product result{Array(x.shape), Array(x.shape)};
    for (std::int64_t flat = 0; flat < x.size(); ++flat) {
        const std::int64_t channel = flat % channels;
        const std::int64_t column = flat / channels % width;
        const std::int64_t row = flat / channels / width % height;
        const std::int64_t b = flat / channels / width / height;
        double sum = options.bias != nullptr ? (*options.bias)[channel] : 0.0;
        double magnitude = std::abs(sum);
        for (std::int64_t ky = 0; ky < kernel.shape[0]; ++ky) {
            for (std::int64_t kx = 0; kx < kernel.shape[1]; ++kx) {
                std::int64_t y = row + ky - kernel.shape[0] / 2;
                std::int64_t from = column + kx - kernel.shape[1] / 2;
                if (options.circular) {
                    while (y < 0) y += height;
                    while (from < 0) from += width;
                    y %= height;
                    from %= width;
                }
                if (y < 0 || y >= height || from < 0 || from >= width) continue;
                const double term =
                    x.at(b, y, from, channel) * kernel.at(ky * kernel.shape[1] + kx, channel);
                sum += term;
                magnitude += std::abs(term);
            }
        }
        result.value[flat] = activation(options.activation, sum);
        result.magnitude[flat] = magnitude;
    }
    return result;
}

Array rotary(const Array &x, const Array &turns, tessera_rotary_pairs pairs,
             const Indices &position) {
    const std::int64_t rows = x.shape[1];
    const std::int64_t count = turns.width() / 2;
    const bool per_batch = static_cast<std::int64_t>(position.size()) > rows;
    Array result = x;
    for (std::int64_t b = 0; b < x.shape[0]; ++b) {
        for (std::int64_t row = 0; row < rows; ++row) {
            const std::int64_t p = position[static_cast<size_t>((per_batch ? b * rows : 0) + row)];
            for (std::int64_t head = 0; head < x.shape[2]; ++head) {
                for (std::int64_t k = 0; k < count; ++k) {
                    const bool halves = pairs == TESSERA_ROTARY_HALVES;
                    const std::int64_t at = halves ? k : 2 * k;
                    const std::int64_t other = halves ? count + k : 2 * k + 1;
                    const double cosine = turns.at(p, k);
                    const double sine = turns.at(p, count + k);
                    const double a_value = x.at(b, row, head, at);
                    const double b_value = x.at(b, row, head, other);
                    result.at(b, row, head, at) = a_value * cosine - b_value * sine;
                    result.at(b, row, head, other) = b_value * cosine + a_value * sine;
                }
            }
        }
    }
    return result;
}

Array rms_norm(const Array &x, const Array *gamma, double epsilon) {
    Array result(x.shape);
    for (std::int64_t row = 0; row < x.rows(); ++row) {
        double mean = 0;
        for (std::int64_t i = 0; i < x.width(); ++i)
            mean += x.at(row, i) * x.at(row, i) / static_cast<double>(x.width());
        for (std::int64_t i = 0; i < x.width(); ++i) {
            const double unit = x.at(row, i) / std::sqrt(mean + epsilon);
            result.at(row, i) = gamma != nullptr ? unit * (*gamma)[i] : unit;
        }
    }
    return result;
}

} // namespace tessera::reference
