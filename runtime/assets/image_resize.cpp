#include "assets/image_resize.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace tessera {
namespace {

// Which source pixels a target pixel covers along one axis.
struct Cover {
    std::uint32_t first = 0;
    std::vector<float> weights; // sum 1
};

// Targets of `size` pixels over [begin, begin + length) of the source. Where that enlarges, a
// target covers one source pixel's width round its centre: linear interpolation.
std::vector<Cover> covers(std::uint32_t size, double begin, double length, std::uint32_t source) {
    std::vector<Cover> all(size);
    const double step = length / size;
    const double half = std::max(step, 1.0) / 2;
    for (std::uint32_t i = 0; i < size; ++i) {
        const double centre = begin + (i + 0.5) * step;
        const double low = std::max(centre - half, 0.0);
        const double high = std::min(centre + half, static_cast<double>(source));
        all[i].first = static_cast<std::uint32_t>(low);
        for (std::uint32_t p = all[i].first; p < source && p < high; ++p) {
            const double part = std::min(high, p + 1.0) - std::max(low, static_cast<double>(p));
            all[i].weights.push_back(static_cast<float>(part / (high - low)));
        }
    }
    return all;
}

// IEC 61966-2-1.
float decode(float encoded) {
    return encoded <= 0.04045F ? encoded / 12.92F : std::pow((encoded + 0.055F) / 1.055F, 2.4F);
}
float encode(float light) {
    return light <= 0.0031308F ? light * 12.92F : 1.055F * std::pow(light, 1 / 2.4F) - 0.055F;
}

std::uint8_t to_byte(float value) {
    return static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0F, 1.0F) * 255));
}

} // namespace

Result<Image> fit_image(const Image &image, std::uint32_t width, std::uint32_t height) {
    if (image.channels != 4 || image.width == 0 || image.height == 0 || width == 0 || height == 0 ||
        width > kMaxImageSide || height > kMaxImageSide) {
        return make_error(Status::kInvalidArgument,
                          "picture of {} x {} with {} channels for {} x {} pixels: expected RGBA "
                          "and sizes from 1 to {}",
                          image.width, image.height, image.channels, width, height, kMaxImageSide);
    }
    const double scale = std::min(static_cast<double>(image.width) / width,
                                  static_cast<double>(image.height) / height);
    const auto columns =
        covers(width, (image.width - scale * width) / 2, scale * width, image.width);
    const auto rows =
        covers(height, (image.height - scale * height) / 2, scale * height, image.height);
    std::array<float, 256> light{};
    for (std::size_t i = 0; i < light.size(); ++i) light[i] = decode(static_cast<float>(i) / 255);

    Image fitted{width, height, 4, std::vector<std::uint8_t>(std::size_t{width} * height * 4)};
    std::uint8_t *out = fitted.pixels.data();
    for (const Cover &row : rows) {
        for (const Cover &column : columns) {
            std::array<float, 4> sum{};
            for (std::size_t y = 0; y < row.weights.size(); ++y) {
                const std::uint8_t *in =
                    image.pixels.data() +
                    ((row.first + y) * image.width + column.first) * std::size_t{4};
                for (const float weight : column.weights) {
                    const float part = weight * row.weights[y];
                    for (int c = 0; c < 3; ++c) sum[c] += part * light[in[c]];
                    sum[3] += part * static_cast<float>(in[3]) / 255;
                    in += 4;
                }
            }
            for (int c = 0; c < 3; ++c) *out++ = to_byte(encode(sum[c]));
            *out++ = to_byte(sum[3]);
        }
    }
    return fitted;
}

} // namespace tessera
