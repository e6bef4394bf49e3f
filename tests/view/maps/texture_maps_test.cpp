// Derived maps on the device against a double-precision reference that is written from the
// definitions in maps/material_maps.hpp, and what makes a map useful: it tiles, it has the
// right signs.
#include "tests/view/maps/maps_reference.hpp"
#include "tests/view/vulkan/vulkan_fixture.hpp"

#include "interop/maps/spectrum.hpp"
#include "interop/maps/texture_maps.hpp"

#include <gmock/gmock.h>

#include <cmath>

namespace tessera {
namespace {

using testing::HasSubstr;
class TextureMapsTest : public VulkanTest {
  protected:
    // Null when there is no device.
    std::unique_ptr<MapPasses> passes(std::uint32_t width, std::uint32_t height) {
        if (!device_) return nullptr;
        auto made = MapPasses::create(*device_, width, height, PlanCache({}));
        EXPECT_TRUE(made.ok()) << made.error().message;
        return made.ok() ? std::move(*made) : nullptr;
    }
    static MaterialMaps compute(MapPasses &passes, std::span<const std::uint8_t> rgba,
                                const MaterialSettings &settings) {
        auto maps = TextureMaps(passes).compute(rgba, settings);
        EXPECT_TRUE(maps.ok()) << maps.error().message;
        return maps.ok() ? std::move(*maps) : MaterialMaps{};
    }
    static void expect_right(MapPasses &passes, const MaterialSettings &settings) {
        const auto width = static_cast<int>(passes.width());
        const auto height = static_cast<int>(passes.height());
        const auto rgba = pattern_picture(passes.width(), passes.height());
        const MaterialMaps maps = compute(passes, rgba, settings);
        ASSERT_EQ(maps.heights.size(), rgba.size() / 4);
        EXPECT_EQ(maps.colour, rgba);
        expect_as_reference(maps, MapsReference(rgba, width, height, settings));
    }
};

TEST_F(TextureMapsTest, AreWhatTheirDefinitionsSay) {
    const auto made = passes(64, 48);
    if (!made) return;
    expect_right(*made, {});
    expect_right(*made, {.height_strength = -0.5F,
                         .normal_strength = 2.5F,
                         .normals_y_down = true,
                         .roughness_contrast = 1.7F,
                         .occlusion_radius = 0.2F});
}

TEST_F(TextureMapsTest, ComeFromThePeriodicPartOnDemand) {
    const auto made = passes(40, 32);
    if (!made) return;
    const auto rgba = pattern_picture(40, 32);
    const auto periodic = Spectrum(*made).periodic_part(rgba);
    ASSERT_TRUE(periodic.ok()) << periodic.error().message;
    const MaterialMaps seamless = compute(*made, rgba, {.seamless = true});
    EXPECT_EQ(seamless.colour, *periodic);
    EXPECT_EQ(seamless.heights, compute(*made, *periodic, {}).heights);
    EXPECT_EQ(seamless.spectrum, *Spectrum(*made).power_of_picture(*periodic));
}

// A picture that is rolled round its edges gives maps that are rolled.
TEST_F(TextureMapsTest, TileWhereThePictureTiles) {
    constexpr std::size_t kSide = 64;
    const auto made = passes(kSide, kSide);
    if (!made) return;
    const auto rgba = pattern_picture(kSide, kSide);
    std::vector<std::uint8_t> rolled(rgba.size());
    const auto moved = [](std::size_t i) {
        return (i / kSide + 20) % kSide * kSide + (i % kSide + 31) % kSide;
    };
    for (std::size_t i = 0; i < kSide * kSide; ++i) {
        std::copy_n(rgba.data() + i * 4, 4, rolled.data() + moved(i) * 4);
    }
    const MaterialMaps maps = compute(*made, rgba, {});
    const MaterialMaps other = compute(*made, rolled, {});
    for (std::size_t i = 0; i < kSide * kSide; ++i) {
        ASSERT_NEAR(maps.heights[i], other.heights[moved(i)], 1e-4) << i;
        ASSERT_NEAR(maps.roughness[i], other.roughness[moved(i)], 2e-3) << i;
        ASSERT_NEAR(maps.occlusion[i], other.occlusion[moved(i)], 2e-3) << i;
        ASSERT_NEAR(maps.normals[i * 4], other.normals[moved(i) * 4], 1) << i;
    }
}

// A bright disc is a hill: seen from above, its left side leans left, its upper side up.
TEST_F(TextureMapsTest, NormalsLeanOutwards) {
    constexpr int kSide = 64;
    const auto made = passes(kSide, kSide);
    if (!made) return;
    std::vector<std::uint8_t> rgba;
    for (int y = 0; y < kSide; ++y) {
        for (int x = 0; x < kSide; ++x) {
            const double distance = std::hypot(x - 32, y - 32);
            const auto grey = static_cast<std::uint8_t>(60 + 160 / (1 + std::exp(distance - 14)));
            rgba.insert(rgba.end(), {grey, grey, grey, 255});
        }
    }
    const auto red = [](const MaterialMaps &maps, int x, int y) {
        return maps.normals[static_cast<std::size_t>(y * kSide + x) * 4];
    };
    const auto green = [](const MaterialMaps &maps, int x, int y) {
        return maps.normals[static_cast<std::size_t>(y * kSide + x) * 4 + 1];
    };
    const MaterialMaps maps = compute(*made, rgba, {});
    EXPECT_GT(maps.heights[32 * kSide + 32], maps.heights[0] + 0.2F);
    EXPECT_LT(red(maps, 18, 32), 100);
    EXPECT_GT(red(maps, 46, 32), 155);
    EXPECT_GT(green(maps, 32, 18), 155) << "y is up";
    EXPECT_LT(green(maps, 32, 46), 100);
    EXPECT_LT(maps.occlusion[32 * kSide + 15], maps.occlusion[32 * kSide + 32]);
    EXPECT_GT(green(compute(*made, rgba, {.normals_y_down = true}), 32, 46), 155);
    EXPECT_GT(red(compute(*made, rgba, {.height_strength = -1}), 18, 32), 155) << "now a pit";
}

TEST_F(TextureMapsTest, AFlatPictureIsAFlatMaterial) {
    const auto made = passes(32, 32);
    if (!made) return;
    std::vector<std::uint8_t> rgba(32 * 32 * 4, 90);
    const MaterialMaps maps = compute(*made, rgba, {});
    for (std::size_t i = 0; i < 32 * 32; ++i) {
        ASSERT_NEAR(maps.heights[i], 0.5, 1e-3);
        ASSERT_NEAR(maps.normals[i * 4], 127.5, 0.6);
        ASSERT_NEAR(maps.normals[i * 4 + 2], 255, 0.1);
        ASSERT_NEAR(maps.occlusion[i], 1, 1e-6);
    }
}

TEST_F(TextureMapsTest, TheSamePictureGivesTheSameBytes) {
    const auto made = passes(48, 48);
    if (!made) return;
    const auto rgba = pattern_picture(48, 48);
    const MaterialMaps first = compute(*made, rgba, {});
    const MaterialMaps second = compute(*made, rgba, {});
    EXPECT_EQ(first.heights, second.heights);
    EXPECT_EQ(first.normals, second.normals);
    EXPECT_EQ(first.occlusion, second.occlusion);
}

TEST_F(TextureMapsTest, WrongSettingsAreNamed) {
    const auto made = passes(16, 16);
    if (!made) return;
    const auto rgba = pattern_picture(16, 16);
    const auto nan = TextureMaps(*made).compute(rgba, {.height_strength = std::nanf("")});
    ASSERT_FALSE(nan.ok());
    EXPECT_THAT(nan.error().message, HasSubstr("height strength"));
    const auto wide = TextureMaps(*made).compute(rgba, {.occlusion_radius = 2});
    ASSERT_FALSE(wide.ok());
    EXPECT_THAT(wide.error().message, HasSubstr("occlusion radius is 2; expected 0 to 0.5"));
}

} // namespace
} // namespace tessera
