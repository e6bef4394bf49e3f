// Seams in pictures.
#include "assets/image_seam.hpp"

#include <algorithm>
#include <cstdlib>
#include <numeric>

namespace tessera {
namespace {

// A picture without contrast has no seam; a thousandth of the range [-1, 1].
constexpr double kSmallestStep = 1e-3 * 127.5;

double steps_ratio(const std::vector<double> &steps) {
    if (steps.size() < 2) return 0.0;
    const double inside = std::accumulate(steps.begin() + 1, steps.end(), 0.0) /
                          static_cast<double>(steps.size() - 1);
    return steps.front() / (inside + kSmallestStep);
}

} // namespace

std::vector<double> line_steps(const Image &image, Axis axis) {
    const std::size_t colours = std::min(image.channels, 3u);
    const std::size_t width = image.width, height = image.height;
    const std::size_t lines = axis == Axis::kRows ? height : width;
    std::vector<double> steps(lines);
    if (width == 0 || height == 0) return steps;
    for (std::size_t y = 0; y < height; ++y) {
        for (std::size_t x = 0; x < width; ++x) {
            const std::size_t before = axis == Axis::kRows ? (y + height - 1) % height * width + x
                                                           : y * width + (x + width - 1) % width;
            const std::uint8_t *now = &image.pixels[(y * width + x) * image.channels];
            const std::uint8_t *then = &image.pixels[before * image.channels];
            int sum = 0;
            for (std::size_t c = 0; c < colours; ++c) sum += std::abs(now[c] - then[c]);
            steps[axis == Axis::kRows ? y : x] += sum;
        }
    }
    const auto count = static_cast<double>(colours * (axis == Axis::kRows ? width : height));
    for (double &step : steps) step /= count;
    return steps;
}

double wrap_seam(const Image &image) {
    return (steps_ratio(line_steps(image, Axis::kRows)) +
            steps_ratio(line_steps(image, Axis::kColumns))) /
           2.0;
}

} // namespace tessera
