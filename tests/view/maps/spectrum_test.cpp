// Fourier transforms and what is made with them, on the device, against double-precision sums and
// closed forms; the cache of plans.
#include "tests/view/maps/spectrum_reference.hpp"
#include "tests/view/vulkan/vulkan_fixture.hpp"

#include "interop/maps/spectrum.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numbers>
#include <string>

namespace tessera {
namespace {

using testing::HasSubstr;

constexpr double kTurn = 2 * std::numbers::pi;

// Numbers without pattern, -1 to 1.
std::vector<float> noise(std::size_t count) {
    std::vector<float> values(count);
    std::uint32_t state = 12345;
    for (float &value : values) {
        state = state * 1664525 + 1013904223;
        value = static_cast<float>(state >> 8) * 0x1p-23F - 1.0F;
    }
    return values;
}

class SpectrumTest : public VulkanTest {
  protected:
    // Null when there is no device.
    std::unique_ptr<MapPasses> passes(std::uint32_t width, std::uint32_t height,
                                      const std::filesystem::path &cache = {}) {
        if (!device_) return nullptr;
        auto made = MapPasses::create(*device_, width, height, PlanCache(cache));
        EXPECT_TRUE(made.ok()) << made.error().message;
        return made.ok() ? std::move(*made) : nullptr;
    }
};

class TransformTest : public SpectrumTest,
                      public testing::WithParamInterface<std::pair<std::uint32_t, std::uint32_t>> {
};

TEST_P(TransformTest, IsTheSumItStandsFor) {
    const auto [width, height] = GetParam();
    const auto made = passes(width, height);
    if (!made) return;
    Spectrum spectrum(*made);
    const std::vector<float> numbers = noise(std::size_t{width} * height * 2);
    std::vector<std::complex<float>> values;
    for (std::size_t i = 0; i < numbers.size(); i += 2) {
        values.emplace_back(numbers[i], numbers[i + 1]);
    }
    const auto given = to_double(values);
    auto done = spectrum.transform(values, FftDirection::kForward);
    ASSERT_TRUE(done.ok()) << done.error().message;
    const auto expected = naive_transform(given, width, height, -1);
    EXPECT_LT(relative_error(to_double(values), expected), 1e-6);
    done = spectrum.transform(values, FftDirection::kInverse);
    ASSERT_TRUE(done.ok()) << done.error().message;
    EXPECT_LT(relative_error(to_double(values), given), 2e-6);
}

INSTANTIATE_TEST_SUITE_P(Sizes, TransformTest,
                         testing::Values(std::pair(64U, 64U), std::pair(16U, 16U),
                                         std::pair(96U, 40U), std::pair(256U, 128U),
                                         std::pair(34U, 62U)),
                         [](const auto &test) {
                             return fmt::format("{}_x_{}", test.param.first, test.param.second);
                         });

// The offset of a plane must reach every pass of VkFFT.
TEST_F(SpectrumTest, PlanesAreTransformedOneByOne) {
    const auto made = passes(34, 24);
    if (!made) return;
    const std::size_t count = 34 * 24;
    const std::vector<float> numbers = noise(count);
    for (std::uint32_t plane = 0; plane < MapPasses::kPlanes; ++plane) {
        std::vector<std::complex<float>> values(numbers.begin(), numbers.end());
        const auto given = to_double(values);
        const std::span<std::byte> host = made->host_plane();
        std::memcpy(host.data(), values.data(), host.size());
        const auto ran = made->run("test", [&](VkCommandBuffer commands) -> Result<void> {
            for (std::uint32_t each = 0; each < MapPasses::kPlanes; ++each) {
                made->upload_plane(commands, each);
            }
            auto done = made->record_fft(commands, FftDirection::kForward, plane);
            made->download_plane(commands, plane);
            return done;
        });
        ASSERT_TRUE(ran.ok()) << ran.error().message;
        std::memcpy(values.data(), host.data(), host.size());
        EXPECT_LT(relative_error(to_double(values), naive_transform(given, 34, 24, -1)), 1e-6);
        const std::uint32_t other = (plane + 1) % MapPasses::kPlanes;
        const auto read = made->run("test", [&](VkCommandBuffer commands) -> Result<void> {
            made->download_plane(commands, other);
            return {};
        });
        ASSERT_TRUE(read.ok()) << read.error().message;
        std::memcpy(values.data(), host.data(), host.size());
        EXPECT_EQ(to_double(values), given) << "the next plane is as it was";
    }
}

TEST_F(SpectrumTest, AGratingIsOnePairOfPeaks) {
    const auto made = passes(64, 48);
    if (!made) return;
    std::vector<float> plane;
    for (int y = 0; y < 48; ++y) {
        for (int x = 0; x < 64; ++x) {
            const double turns = 5.0 * x / 64 + 3.0 * y / 48;
            plane.push_back(static_cast<float>(0.25 + 0.5 * std::cos(kTurn * turns)));
        }
    }
    const auto power = Spectrum(*made).power_of_plane(plane);
    ASSERT_TRUE(power.ok()) << power.error().message;
    const auto at = [&](int fx, int fy) { return (*power)[(24 + fy) * 64 + 32 + fx]; };
    EXPECT_NEAR(at(0, 0), 20 * std::log10(0.25), 1e-3);
    EXPECT_NEAR(at(5, 3), 20 * std::log10(0.25), 1e-3) << "half of the height, on either side";
    EXPECT_NEAR(at(-5, -3), 20 * std::log10(0.25), 1e-3);
    int loud = 0;
    for (const float decibels : *power) loud += decibels > -100 ? 1 : 0;
    EXPECT_EQ(loud, 3);
}

TEST_F(SpectrumTest, ThePowerOfAPictureIsThatOfItsLightness) {
    const auto made = passes(32, 32);
    if (!made) return;
    const std::vector<std::uint8_t> rgba = pattern_picture(32, 32);
    std::vector<std::complex<double>> light;
    for (std::size_t i = 0; i < rgba.size(); i += 4) {
        light.emplace_back((0.2126 * rgba[i] + 0.7152 * rgba[i + 1] + 0.0722 * rgba[i + 2]) / 255);
    }
    const auto transform = naive_transform(light, 32, 32, -1);
    const auto power = Spectrum(*made).power_of_picture(rgba);
    ASSERT_TRUE(power.ok()) << power.error().message;
    for (std::size_t y = 0; y < 32; ++y) {
        for (std::size_t x = 0; x < 32; ++x) {
            const double size = std::abs(transform[y * 32 + x]) / (32 * 32);
            const float decibels = (*power)[(y + 16) % 32 * 32 + (x + 16) % 32];
            EXPECT_NEAR(std::pow(10.0, decibels / 20), size, 1e-6) << x << ", " << y;
        }
    }
}

TEST_F(SpectrumTest, ThePeriodicPartIsThatOfTheDefinition) {
    const auto made = passes(40, 32);
    if (!made) return;
    const std::vector<std::uint8_t> rgba = pattern_picture(40, 32);
    const auto periodic = Spectrum(*made).periodic_part(rgba);
    ASSERT_TRUE(periodic.ok()) << periodic.error().message;
    for (std::size_t channel = 0; channel < 3; ++channel) {
        const auto expected = reference_periodic(rgba, 40, 32, channel);
        for (std::size_t i = 0; i < expected.size(); ++i) {
            const double clamped = std::clamp(expected[i], 0.0, 1.0);
            EXPECT_NEAR((*periodic)[i * 4 + channel], clamped * 255, 0.51) << i << " " << channel;
        }
    }
    for (std::size_t i = 3; i < rgba.size(); i += 4) EXPECT_EQ((*periodic)[i], rgba[i]);
}

TEST_F(SpectrumTest, APeriodicPictureStaysAndARampLosesItsJump) {
    const auto made = passes(64, 64);
    if (!made) return;
    Spectrum spectrum(*made);
    std::vector<std::uint8_t> mirrored; // every border pixel has its like on the other side
    std::vector<std::uint8_t> ramp;
    for (int y = 0; y < 64; ++y) {
        for (int x = 0; x < 64; ++x) {
            const int fold = std::min(x, 63 - x) * 4 + std::min(y, 63 - y) * 3;
            const auto even = static_cast<std::uint8_t>(fold);
            const auto rising = static_cast<std::uint8_t>(64 + 2 * x);
            mirrored.insert(mirrored.end(), {even, 128, even, 255});
            ramp.insert(ramp.end(), {rising, rising, rising, 255});
        }
    }
    const auto same = spectrum.periodic_part(mirrored);
    ASSERT_TRUE(same.ok()) << same.error().message;
    EXPECT_EQ(*same, mirrored);
    const auto flat = spectrum.periodic_part(ramp);
    ASSERT_TRUE(flat.ok()) << flat.error().message;
    for (std::size_t y = 0; y < 64; ++y) {
        const int first = (*flat)[y * 256];
        const int last = (*flat)[y * 256 + 252];
        EXPECT_LE(std::abs(first - last), 3) << "the ramp had a jump of 126 here";
    }
}

TEST_F(SpectrumTest, ABumpComesBackFromItsSlopes) {
    constexpr std::size_t kSide = 96;
    const auto made = passes(kSide, kSide);
    if (!made) return;
    std::vector<double> bump;
    double mean = 0;
    for (std::size_t y = 0; y < kSide; ++y) {
        for (std::size_t x = 0; x < kSide; ++x) {
            const double dx = static_cast<double>(x) - 40;
            const double dy = static_cast<double>(y) - 52;
            bump.push_back(5 * std::exp(-(dx * dx + dy * dy) / (2 * 81)));
            mean += bump.back() / (kSide * kSide);
        }
    }
    std::vector<float> along_x;
    std::vector<float> along_y;
    for (std::size_t y = 0; y < kSide; ++y) {
        for (std::size_t x = 0; x < kSide; ++x) {
            const double here = bump[y * kSide + x];
            along_x.push_back(static_cast<float>(bump[y * kSide + (x + 1) % kSide] - here));
            along_y.push_back(static_cast<float>(bump[(y + 1) % kSide * kSide + x] - here));
        }
    }
    Spectrum spectrum(*made);
    auto height = spectrum.height_of_slopes(along_x, along_y, 0);
    ASSERT_TRUE(height.ok()) << height.error().message;
    for (std::size_t i = 0; i < bump.size(); ++i) {
        ASSERT_NEAR((*height)[i], bump[i] - mean, 2e-5) << i;
    }
    // A field that turns round its middle has no height: what is closest to it is flat.
    std::vector<float> curl_x(bump.size());
    std::vector<float> curl_y(bump.size());
    for (std::size_t y = 0; y < kSide; ++y) { // slopes at right angles, by backward differences
        for (std::size_t x = 0; x < kSide; ++x) {
            const std::size_t i = y * kSide + x;
            const std::size_t left = y * kSide + (x + kSide - 1) % kSide;
            const std::size_t above = (y + kSide - 1) % kSide * kSide + x;
            curl_x[i] = static_cast<float>(bump[i] - bump[above]);
            curl_y[i] = static_cast<float>(bump[left] - bump[i]);
        }
    }
    height = spectrum.height_of_slopes(curl_x, curl_y, 0);
    ASSERT_TRUE(height.ok()) << height.error().message;
    for (const float value : *height) ASSERT_NEAR(value, 0, 2e-5);
}

TEST_F(SpectrumTest, LongWavesAreTakenOutOnDemand) {
    const auto made = passes(64, 64);
    if (!made) return;
    std::vector<float> along_x;
    const std::vector<float> flat(64 * 64, 0);
    const auto wave = [](int x) { return std::cos(kTurn * x / 64) + std::cos(kTurn * x / 4); };
    for (int i = 0; i < 64 * 64; ++i) {
        along_x.push_back(static_cast<float>(wave(i % 64 + 1) - wave(i % 64)));
    }
    const auto height = Spectrum(*made).height_of_slopes(along_x, flat, 4.0F / 64);
    ASSERT_TRUE(height.ok()) << height.error().message;
    for (int x = 0; x < 64; ++x) { // f^2 / (f^2 + f0^2)
        const double expected =
            std::cos(kTurn * x / 64) / 17 + std::cos(kTurn * x / 4) * 256 / (256 + 16);
        EXPECT_NEAR((*height)[x], expected, 1e-5);
    }
}

TEST_F(SpectrumTest, WrongSizesAreNamed) {
    const auto made = passes(16, 16);
    if (!made) return;
    const std::vector<float> few(17);
    const auto power = Spectrum(*made).power_of_plane(few);
    ASSERT_FALSE(power.ok());
    EXPECT_THAT(power.error().message, HasSubstr("17 values for 16 x 16 pixels; expected 256"));
    const auto thin = MapPasses::create(*device_, 1, 16, PlanCache({}));
    ASSERT_FALSE(thin.ok());
    EXPECT_THAT(thin.error().message, HasSubstr("1 x 16"));
}

class PlanCacheTest : public SpectrumTest {
  protected:
    void SetUp() override {
        folder_ = std::filesystem::path(testing::TempDir()) /
                  testing::UnitTest::GetInstance()->current_test_info()->name();
        std::filesystem::remove_all(folder_);
        SpectrumTest::SetUp();
    }
    void TearDown() override {
        SpectrumTest::TearDown();
        std::filesystem::remove_all(folder_);
    }
    [[nodiscard]] std::vector<std::filesystem::path> files() const {
        std::vector<std::filesystem::path> found;
        for (const auto &entry : std::filesystem::directory_iterator(folder_)) {
            found.push_back(entry.path());
        }
        return found;
    }
    std::vector<std::complex<float>> transform_of(MapPasses &passes) {
        std::vector<std::complex<float>> values;
        for (const float value : noise(std::size_t{passes.width()} * passes.height())) {
            values.emplace_back(value, -value);
        }
        const auto done = Spectrum(passes).transform(values, FftDirection::kForward);
        EXPECT_TRUE(done.ok()) << done.error().message;
        return values;
    }

    std::filesystem::path folder_;
};

TEST_F(PlanCacheTest, APlanComesBackAndGivesTheSameBits) {
    const auto first = passes(34, 32, folder_); // 34 has the factor 17: the other algorithm
    if (!first) return;
    EXPECT_FALSE(first->plan().from_cache());
    EXPECT_EQ(files().size(), 1U);
    const auto second = passes(34, 32, folder_);
    ASSERT_NE(second, nullptr);
    EXPECT_TRUE(second->plan().from_cache());
    EXPECT_EQ(transform_of(*first), transform_of(*second));
    const auto other = passes(32, 34, folder_);
    ASSERT_NE(other, nullptr);
    EXPECT_FALSE(other->plan().from_cache()) << "another size is another plan";
    EXPECT_EQ(files().size(), 2U);
}

TEST_F(PlanCacheTest, DamagedFilesAreMadeAgain) {
    const auto first = passes(16, 16, folder_);
    if (!first) return;
    const auto expected = transform_of(*first);
    ASSERT_EQ(files().size(), 1U);
    const std::filesystem::path file = files()[0];
    const auto size = std::filesystem::file_size(file);
    const std::vector<std::function<void()>> damages{
        [&] { std::filesystem::resize_file(file, size / 2); },
        [&] { std::filesystem::resize_file(file, 3); },
        [&] { std::filesystem::resize_file(file, size + 1); },
        [&] { // one byte of the blob
            std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
            stream.seekp(static_cast<std::streamoff>(size / 2));
            stream.put('\x7f').put('\x01');
        },
        [&] { // a huge length
            std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
            stream.seekp(16);
            for (int i = 0; i < 8; ++i) stream.put('\x7f');
        },
    };
    for (std::size_t i = 0; i < damages.size(); ++i) {
        damages[i]();
        const auto again = passes(16, 16, folder_);
        ASSERT_NE(again, nullptr);
        EXPECT_FALSE(again->plan().from_cache()) << i;
        EXPECT_EQ(transform_of(*again), expected) << i;
        const auto repaired = passes(16, 16, folder_);
        ASSERT_NE(repaired, nullptr);
        EXPECT_TRUE(repaired->plan().from_cache()) << "the file was written again; " << i;
    }
}

TEST_F(PlanCacheTest, AFolderThatCannotBeWrittenOnlyCostsTheCache) {
    std::ofstream(folder_) << "a file, not a folder";
    const auto first = passes(16, 16, folder_ / "plans");
    if (!first) return;
    const auto second = passes(16, 16, folder_ / "plans");
    ASSERT_NE(second, nullptr);
    EXPECT_FALSE(second->plan().from_cache());
    EXPECT_EQ(transform_of(*first), transform_of(*second));
}

TEST(PlanCacheFile, IsOfItsKeyOnly) {
    const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "plan_keys";
    std::filesystem::remove_all(folder);
    const PlanCache cache(folder);
    const std::vector<std::byte> blob{std::byte{1}, std::byte{2}, std::byte{3}};
    EXPECT_FALSE(cache.load("driver 1"));
    cache.store("driver 1", blob);
    EXPECT_EQ(cache.load("driver 1"), blob);
    EXPECT_FALSE(cache.load("driver 2"));
    // A file under another key's name.
    std::filesystem::copy_file(cache.path_of("driver 1"), cache.path_of("driver 2"));
    EXPECT_FALSE(cache.load("driver 2"));
    cache.store("driver 2", {});
    EXPECT_EQ(cache.load("driver 2"), std::vector<std::byte>());
    std::filesystem::remove_all(folder);
}

} // namespace
} // namespace tessera
