// The wavelet codec against its definition, one lifting step after the other, and against itself.
#include "tests/blocks/test_device.hpp"

#include "blocks/codec/wavelet.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace tessera::texture {
namespace {

using blocks::kWaveletNumbers;
using blocks::TestDevice;
using blocks::to_host;
using Direction = blocks::WaveletRun::Direction;

std::vector<float> noise(std::size_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
    std::vector<float> values(count);
    for (float &value : values) value = uniform(random);
    return values;
}

// One channel (height, width) after three levels of lifting, bands where they lie in the plane.
std::vector<double> slow_analysis(std::vector<double> plane, std::int64_t height,
                                  std::int64_t width) {
    std::vector<double> line;
    std::int64_t h = height, w = width;
    for (int level = 0; level < blocks::kWaveletLevels; ++level, h /= 2, w /= 2) {
        for (std::int64_t y = 0; y < h; ++y) {
            line.assign(plane.begin() + y * width, plane.begin() + y * width + w);
            blocks::lift(line);
            std::copy(line.begin(), line.end(), plane.begin() + y * width);
        }
        for (std::int64_t x = 0; x < w; ++x) {
            line.resize(static_cast<std::size_t>(h));
            for (std::int64_t y = 0; y < h; ++y) line[y] = plane[y * width + x];
            blocks::lift(line);
            for (std::int64_t y = 0; y < h; ++y) plane[y * width + x] = line[y];
        }
    }
    return plane;
}

// Number `number` of the token (row, column) in the plane of its channel.
std::size_t place_in_plane(std::int64_t number, std::int64_t row, std::int64_t column,
                           std::int64_t rows, std::int64_t columns) {
    const blocks::WaveletPlace place = blocks::wavelet_place(number);
    const std::int64_t side = place.level == 0 ? 1 : std::int64_t{1} << (place.level - 1);
    std::int64_t first = number;
    while (first > 0) { // of its band
        const blocks::WaveletPlace before = blocks::wavelet_place(first - 1);
        if (before.channel != place.channel || before.level != place.level ||
            before.band != place.band) {
            break;
        }
        --first;
    }
    const std::int64_t within = number - first;
    const std::int64_t y = row * side + within / side + (place.band >= 2 ? rows * side : 0);
    const std::int64_t x =
        column * side + within % side + (place.band % 2 == 1 ? columns * side : 0);
    return static_cast<std::size_t>(y * 8 * columns + x);
}

TEST(Wavelet, NumbersLieWhereTheDefinitionSays) {
    int of_channel[3] = {}, of_level[4] = {};
    for (std::int64_t i = 0; i < kWaveletNumbers; ++i) {
        ++of_channel[blocks::wavelet_place(i).channel];
        ++of_level[blocks::wavelet_place(i).level];
    }
    EXPECT_EQ(of_channel[0], 64);
    EXPECT_EQ(of_channel[1], 16);
    EXPECT_EQ(of_channel[2], 16);
    EXPECT_EQ(of_level[0], 3);
    EXPECT_EQ(of_level[3], 48);
    EXPECT_EQ(blocks::wavelet_place(16).band, 1); // the finest of luma, high in x
    EXPECT_EQ(blocks::wavelet_place(95).band, 3);
}

TEST(Wavelet, LiftingIsUndone) {
    for (const std::size_t count : {2U, 4U, 6U, 16U, 34U}) {
        std::vector<double> line(count);
        for (std::size_t i = 0; i < count; ++i)
            line[i] = std::sin(1.0 + 3.0 * static_cast<double>(i));
        std::vector<double> back = line;
        blocks::lift(back);
        blocks::unlift(back);
        for (std::size_t i = 0; i < count; ++i) EXPECT_NEAR(back[i], line[i], 1e-12);
    }
}

TEST(Wavelet, AFlatLineHasNoDetails) {
    std::vector<double> line(12, 0.7);
    blocks::lift(line);
    for (std::size_t i = 0; i < 6; ++i) {
        EXPECT_NEAR(line[i], 0.7 * std::sqrt(2.0), 1e-9);
        EXPECT_NEAR(line[6 + i], 0.0, 1e-9);
    }
}

class WaveletSizes : public testing::TestWithParam<std::pair<int, int>> {};

TEST_P(WaveletSizes, AnalysisIsTheDefinition) {
    const auto [rows, columns] = GetParam();
    const std::int64_t height = 8 * rows, width = 8 * columns;
    const TestDevice device(2);
    const blocks::Wavelet wavelet(device.compute);
    const blocks::WaveletRun run(wavelet, Direction::kAnalysis, rows, columns);
    const std::vector<float> rgb = noise(static_cast<std::size_t>(height * width * 3), 5);
    device.compute.upload(sdk::host_view(rgb.data(), {height, width, 3}), run.picture());
    run.run_all();
    const std::vector<float> tokens = to_host(device.compute, run.tokens());

    for (int channel = 0; channel < 3; ++channel) {
        std::vector<double> plane;
        for (std::int64_t i = 0; i < height * width; ++i) {
            const double r = rgb[3 * i], g = rgb[3 * i + 1], b = rgb[3 * i + 2];
            plane.push_back(channel == 0   ? (r + 2 * g + b) / 4
                            : channel == 1 ? (r - b) / 2
                                           : (2 * g - r - b) / 4);
        }
        plane = slow_analysis(std::move(plane), height, width);
        for (std::int64_t number = 0; number < kWaveletNumbers; ++number) {
            if (blocks::wavelet_place(number).channel != channel) continue;
            for (std::int64_t row = 0; row < rows; ++row) {
                for (std::int64_t column = 0; column < columns; ++column) {
                    const double expected =
                        plane[place_in_plane(number, row, column, rows, columns)];
                    const double made = tokens[(row * columns + column) * kWaveletNumbers + number];
                    ASSERT_NEAR(made, expected, 3e-6) << number << " of " << row << ", " << column;
                }
            }
        }
    }
}

TEST_P(WaveletSizes, SynthesisUndoesAnalysisOfGreyPicturesToRounding) {
    const auto [rows, columns] = GetParam();
    const std::int64_t height = 8 * rows, width = 8 * columns;
    const TestDevice device;
    const blocks::Wavelet wavelet(device.compute);
    const blocks::WaveletRun there(wavelet, Direction::kAnalysis, rows, columns);
    const blocks::WaveletRun back(wavelet, Direction::kSynthesis, rows, columns);
    std::vector<float> rgb = noise(static_cast<std::size_t>(height * width * 3), 9);
    for (std::size_t i = 0; i < rgb.size(); i += 3) rgb[i + 1] = rgb[i + 2] = rgb[i];
    device.compute.upload(sdk::host_view(rgb.data(), {height, width, 3}), there.picture());
    there.run_all();
    device.compute.copy(there.tokens(), back.tokens());
    back.run_all();
    const std::vector<float> made = to_host(device.compute, back.picture());
    for (std::size_t i = 0; i < rgb.size(); ++i) ASSERT_NEAR(made[i], rgb[i], 1e-5) << i;
}

TEST_P(WaveletSizes, TokensComeBackFromTheirPicture) {
    const auto [rows, columns] = GetParam();
    const TestDevice device;
    const blocks::Wavelet wavelet(device.compute);
    const blocks::WaveletRun there(wavelet, Direction::kSynthesis, rows, columns);
    const blocks::WaveletRun back(wavelet, Direction::kAnalysis, rows, columns);
    const std::vector<float> tokens =
        noise(static_cast<std::size_t>(rows * columns * kWaveletNumbers), 2);
    device.compute.upload(sdk::host_view(tokens.data(), {rows, columns, kWaveletNumbers}),
                          there.tokens());
    there.run_all();
    device.compute.copy(there.picture(), back.picture());
    back.run_all();
    const std::vector<float> made = to_host(device.compute, back.tokens());
    for (std::size_t i = 0; i < tokens.size(); ++i) ASSERT_NEAR(made[i], tokens[i], 1e-5) << i;
}

INSTANTIATE_TEST_SUITE_P(Sizes, WaveletSizes,
                         testing::Values(std::pair(2, 2), std::pair(8, 8), std::pair(3, 7),
                                         std::pair(16, 9)),
                         [](const auto &instance) {
                             return std::to_string(instance.param.first) + "x" +
                                    std::to_string(instance.param.second);
                         });

TEST(Wavelet, AMovedPictureHasMovedTokens) { // by whole tokens, on the torus
    constexpr std::int64_t kRows = 4, kColumns = 6;
    const TestDevice device;
    const blocks::Wavelet wavelet(device.compute);
    const blocks::WaveletRun run(wavelet, Direction::kSynthesis, kRows, kColumns);
    const std::vector<float> tokens = noise(kRows * kColumns * kWaveletNumbers, 3);
    const auto made = [&](std::int64_t dy, std::int64_t dx) {
        std::vector<float> moved(tokens.size());
        for (std::int64_t y = 0; y < kRows; ++y) {
            for (std::int64_t x = 0; x < kColumns; ++x) {
                std::copy_n(
                    &tokens[(y * kColumns + x) * kWaveletNumbers], kWaveletNumbers,
                    &moved[((y + dy) % kRows * kColumns + (x + dx) % kColumns) * kWaveletNumbers]);
            }
        }
        device.compute.upload(sdk::host_view(moved.data(), {kRows, kColumns, kWaveletNumbers}),
                              run.tokens());
        run.run_all();
        return to_host(device.compute, run.picture());
    };
    const std::vector<float> still = made(0, 0), moved = made(1, 4);
    for (std::int64_t y = 0; y < 8 * kRows; ++y) {
        for (std::int64_t x = 0; x < 8 * kColumns; ++x) {
            for (std::int64_t c = 0; c < 3; ++c) {
                const std::int64_t to =
                    ((y + 8) % (8 * kRows) * 8 * kColumns + (x + 32) % (8 * kColumns)) * 3 + c;
                ASSERT_EQ(moved[to], still[(y * 8 * kColumns + x) * 3 + c]);
            }
        }
    }
}

} // namespace
} // namespace tessera::texture
