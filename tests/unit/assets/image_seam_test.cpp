// The seam measure against pictures whose steps are known.
#include "assets/image_seam.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <numbers>

namespace tessera {
namespace {

Image picture(std::uint32_t width, std::uint32_t height, std::uint32_t channels,
              const std::function<double(std::uint32_t y, std::uint32_t x, std::uint32_t c)> &at) {
    Image image{width, height, channels, {}};
    for (std::uint32_t y = 0; y < height; ++y) {
        for (std::uint32_t x = 0; x < width; ++x) {
            for (std::uint32_t c = 0; c < channels; ++c) {
                image.pixels.push_back(static_cast<std::uint8_t>(std::lround(at(y, x, c))));
            }
        }
    }
    return image;
}

TEST(ImageSeam, StepsOfEachLineAndAcrossTheWrap) {
    // Columns 0 10 30 60; alpha must not count.
    const double columns[] = {0, 10, 30, 60};
    const Image image = picture(
        4, 2, 4, [&](auto, auto x, auto c) { return c == 3 ? 255.0 * (x % 2) : columns[x]; });
    EXPECT_THAT(line_steps(image, Axis::kColumns), testing::ElementsAre(60, 10, 20, 30));
    EXPECT_THAT(line_steps(image, Axis::kRows), testing::ElementsAre(0, 0));
}

TEST(ImageSeam, WavesThatFitHaveNoneAndRampsHaveOne) {
    constexpr std::uint32_t kSide = 64;
    const auto wave = [](std::uint32_t i, double periods) {
        return 50 * std::sin(2 * std::numbers::pi * periods * i / kSide);
    };
    const Image fits = picture(kSide, kSide, 3,
                               [&](auto y, auto x, auto) { return 128 + wave(y, 3) + wave(x, 5); });
    // A wave's step at its steepest, which is at the wrap, is pi / 2 of its mean one.
    EXPECT_NEAR(wrap_seam(fits), std::numbers::pi / 2, 0.1);
    const Image ramp = picture(kSide, kSide, 1, [](auto y, auto x, auto) { return y + x; });
    EXPECT_NEAR(wrap_seam(ramp), 63.0 / (1.0 + 0.1275), 1e-9);
}

TEST(ImageSeam, PicturesWithoutContrastOrPixels) {
    EXPECT_EQ(wrap_seam(picture(8, 8, 3, [](auto, auto, auto) { return 7; })), 0.0);
    EXPECT_EQ(wrap_seam(picture(1, 1, 3, [](auto, auto, auto) { return 7; })), 0.0);
    EXPECT_EQ(wrap_seam(Image{}), 0.0);
}

} // namespace
} // namespace tessera
