// Maps on the CPU against a double-precision reference, for any number of threads.
#include "maps/map_maker.hpp"
#include "tests/view/maps/maps_reference.hpp"

#include <gmock/gmock.h>

namespace tessera {
namespace {

using testing::HasSubstr;

MaterialMaps maps_of(std::span<const std::uint8_t> rgba, std::uint32_t width, std::uint32_t height,
                     const MaterialSettings &settings, unsigned threads = 1) {
    ThreadPool pool({.threads = threads, .nice = 0});
    auto maps = make_maps(rgba, width, height, settings, pool);
    EXPECT_TRUE(maps.ok()) << maps.error().message;
    return maps.ok() ? std::move(*maps) : MaterialMaps{};
}

TEST(MapMaker, MapsAreWhatTheirDefinitionsSay) {
    const auto rgba = pattern_picture(64, 48);
    const MaterialSettings other{.height_strength = -0.5F,
                                 .normal_strength = 2.5F,
                                 .normals_y_down = true,
                                 .roughness_contrast = 1.7F,
                                 .occlusion_radius = 0.2F};
    for (const MaterialSettings &settings : {MaterialSettings{}, other}) {
        const MaterialMaps maps = maps_of(rgba, 64, 48, settings);
        ASSERT_EQ(maps.heights.size(), 64u * 48);
        EXPECT_EQ(maps.colour, rgba);
        expect_as_reference(maps, MapsReference(rgba, 64, 48, settings));
    }
}

// 39 = 3 * 13 and 17 take the transform's slow ways.
TEST(MapMaker, SizesNeedNoFactors) {
    const auto rgba = pattern_picture(39, 17);
    expect_as_reference(maps_of(rgba, 39, 17, {}, 2), MapsReference(rgba, 39, 17, {}));
}

TEST(MapMaker, ThePeriodicPartIsMoisans) {
    const auto rgba = pattern_picture(40, 32);
    const MaterialMaps maps = maps_of(rgba, 40, 32, {.seamless = true});
    for (std::size_t c = 0; c < 3; ++c) {
        const auto expected = reference_periodic(rgba, 40, 32, c);
        for (std::size_t i = 0; i < expected.size(); ++i) {
            const double byte = 255 * std::clamp(expected[i], 0.0, 1.0);
            ASSERT_NEAR(maps.colour[i * 4 + c], byte, 0.51) << i;
        }
    }
    EXPECT_EQ(maps.heights, maps_of(maps.colour, 40, 32, {}).heights);
}

TEST(MapMaker, TheNumberOfThreadsChangesNothing) {
    const auto rgba = pattern_picture(96, 80);
    const MaterialMaps one = maps_of(rgba, 96, 80, {}), four = maps_of(rgba, 96, 80, {}, 4);
    EXPECT_EQ(one.heights, four.heights);
    EXPECT_EQ(one.normals, four.normals);
    EXPECT_EQ(one.roughness, four.roughness);
    EXPECT_EQ(one.occlusion, four.occlusion);
}

TEST(MapMaker, MistakesAreNamed) {
    ThreadPool pool({.threads = 1});
    const auto rgba = pattern_picture(16, 16);
    const auto message = [&](std::uint32_t width, const MaterialSettings &settings) {
        const auto maps = make_maps(rgba, width, 16, settings, pool);
        return maps ? "" : maps.error().message;
    };
    EXPECT_THAT(message(16, {.occlusion_radius = 2}), HasSubstr("2; expected 0 to 0.5"));
    EXPECT_THAT(message(15, {}), HasSubstr("expected 960"));
    EXPECT_THAT(message(0, {}), HasSubstr("0 x 16"));
}

TEST(MetallicOf, IsATableByName) {
    EXPECT_EQ(metallic_of("metal"), 1);
    EXPECT_EQ(metallic_of("bark"), 0);
    EXPECT_EQ(metallic_of(""), 0);
}

} // namespace
} // namespace tessera
