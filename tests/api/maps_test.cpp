// Maps of a texture: the bytes that tessera-generate writes, there when it is done.
#include "assets/image_file.hpp"
#include "tests/api/api_fixture.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <cstring>

namespace tessera::test {
namespace {

using testing::HasSubstr;

struct MapBytes {
    std::uint32_t width = 0, height = 0, pixel_bytes = 0;
    std::uint64_t picture = 0;
    std::vector<std::uint8_t> bytes;
};

MapBytes map_of(tessera_texture texture, std::uint32_t map) {
    auto pixels = sized<tessera_pixels>();
    pixels.map = map;
    EXPECT_EQ(tessera_texture_read(texture, &pixels), TESSERA_OK) << last_error();
    MapBytes out{pixels.width, pixels.height, pixels.pixel_bytes, pixels.picture, {}};
    out.bytes.resize(std::size_t{out.width} * out.height * out.pixel_bytes);
    pixels.data = out.bytes.data();
    pixels.bytes = out.bytes.size();
    EXPECT_EQ(tessera_texture_read(texture, &pixels), TESSERA_OK) << last_error();
    return out;
}

tessera_texture open_with_maps(tessera_model model, const char *values) {
    auto desc = sized<tessera_texture_desc>();
    desc.seed = 7;
    desc.values = values;
    desc.maps = 1;
    tessera_texture out{};
    EXPECT_EQ(tessera_texture_open(model, &desc, &out), TESSERA_OK) << last_error();
    return out;
}

TEST(ApiMaps, AreThoseOfTheCommandLine) {
    const TemporaryFolder folder;
    const std::string command =
        std::string(TESSERA_GENERATE) +
        " -q -m materials --class metal --seed 7 --set width=64 --set height=64 --set steps=2 "
        "--threads 1 -o " +
        (folder.path() / "a.png").string() + " --material " + (folder.path() / "m").string();
    ASSERT_EQ(std::system(command.c_str()), 0);
    Api api;
    const tessera_texture texture =
        open_with_maps(api.load(nullptr, "materials"),
                       R"({"class": "metal", "width": 64, "height": 64, "steps": 2})");
    ASSERT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    EXPECT_EQ(info_of(texture).maps, info_of(texture).picture);
    const auto written = [&](const char *end) {
        auto image = read_image(folder.path() / "m" / ("metal_7_000" + std::string(end)), 4);
        EXPECT_TRUE(image.ok()) << image.error().message;
        return image.ok() ? image->pixels : std::vector<std::uint8_t>();
    };
    const MapBytes orm = map_of(texture, TESSERA_MAP_ORM);
    EXPECT_EQ(orm.bytes, written("_orm.png"));
    EXPECT_EQ(orm.bytes[2], 255) << "metal is metallic";
    EXPECT_EQ(map_of(texture, TESSERA_MAP_NORMAL).bytes, written("_normal.png"));
    const MapBytes heights = map_of(texture, TESSERA_MAP_HEIGHT);
    EXPECT_EQ(heights.pixel_bytes, 2u);
    const auto grey = written("_height.png"); // 8 bits of the 16
    for (std::size_t i = 0; i < 64 * 64; ++i) {
        std::uint16_t height = 0;
        std::memcpy(&height, heights.bytes.data() + i * 2, 2);
        ASSERT_NEAR(height / 257.0, grey[i * 4], 1.0) << i;
    }
}

TEST(ApiMaps, SingleOnesAreChannelsOfOrm) {
    Api api;
    const tessera_texture texture =
        open_with_maps(api.load("org.tessera.gradient"), R"({"size": 32})");
    ASSERT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK) << last_error();
    const MapBytes orm = map_of(texture, TESSERA_MAP_ORM);
    for (std::uint32_t c = 0; c < 3; ++c) {
        const MapBytes one = map_of(texture, TESSERA_MAP_OCCLUSION + c);
        ASSERT_EQ(one.pixel_bytes, 1u);
        EXPECT_EQ(one.picture, info_of(texture).picture);
        for (std::size_t i = 0; i < one.bytes.size(); ++i)
            ASSERT_EQ(one.bytes[i], orm.bytes[i * 4 + c]);
    }
    auto pixels = sized<tessera_pixels>();
    pixels.map = 7;
    EXPECT_EQ(tessera_texture_read(texture, &pixels), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("map 7"));
}

TEST(ApiMaps, StayUntilThereAreNewOnes) {
    Api api;
    const tessera_model model = api.load("test.slow");
    const tessera_texture plain = open_texture(model, 1);
    ASSERT_EQ(tessera_texture_wait(plain, 10'000), TESSERA_OK) << last_error();
    auto pixels = sized<tessera_pixels>();
    pixels.map = TESSERA_MAP_NORMAL;
    EXPECT_EQ(tessera_texture_read(plain, &pixels), TESSERA_ERROR_NOT_FOUND);
    EXPECT_THAT(last_error(), HasSubstr("opened with maps"));

    const tessera_texture texture = open_with_maps(model, nullptr);
    ASSERT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK) << last_error();
    const std::uint64_t first = info_of(texture).maps;
    EXPECT_GT(first, 0u);
    ASSERT_EQ(tessera_texture_restart(texture, nullptr), TESSERA_OK);
    EXPECT_EQ(map_of(texture, TESSERA_MAP_NORMAL).bytes.size(), 8u * 8 * 4);
    ASSERT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK) << last_error();
    EXPECT_GT(info_of(texture).maps, first);
}

// One that makes a run at a time may begin the next one while maps are made.
TEST(ApiMaps, DoNotHoldTheModel) {
    Api api;
    const tessera_model model = api.load("test.alone");
    std::vector<tessera_texture> all;
    for (int i = 0; i < 6; ++i) all.push_back(open_with_maps(model, nullptr));
    for (const tessera_texture texture : all) {
        ASSERT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK) << last_error();
        EXPECT_GT(info_of(texture).maps, 0u);
    }
}

// ---- larger than the model makes ----------------------------------------------------------------

tessera_texture open_sized(tessera_model model, std::uint32_t width, std::uint32_t height,
                           const char *values, tessera_status expected = TESSERA_OK) {
    auto desc = sized<tessera_texture_desc>();
    desc.seed = 3;
    desc.values = values;
    desc.width = width;
    desc.height = height;
    tessera_texture out{};
    EXPECT_EQ(tessera_texture_open(model, &desc, &out), expected) << last_error();
    return out;
}

TEST(ApiExtended, AModelOfOneSizeMakesLargerPictures) {
    Api api;
    const tessera_model model = api.load(nullptr, "materials_mar_latents");
    auto info = sized<tessera_model_info>();
    ASSERT_EQ(tessera_model_get(model, &info), TESSERA_OK);
    EXPECT_NE(info.abilities & TESSERA_CAN_EXTEND, 0u);
    EXPECT_EQ(info.sizes, 0u);
    EXPECT_GT(info.max_side, 4 * info.width);
    constexpr std::uint32_t kLow = 8; // one row of tiles: few windows
    constexpr const char *kValues = R"({"steps": 1, "denoise_steps": 2, "class": "grass"})";
    const std::uint32_t side = info.width + 8;
    const tessera_texture wide = open_sized(model, side, kLow, kValues);
    ASSERT_EQ(tessera_texture_wait(wide, 120'000), TESSERA_OK) << last_error();
    const auto made = info_of(wide);
    EXPECT_EQ(made.width, side);
    EXPECT_EQ(made.height, kLow);
    EXPECT_EQ(made.step, made.total_steps);
    EXPECT_GT(made.total_steps, 4u); // windows
    EXPECT_NE(made.hash, 0u);
    open_sized(model, info.max_side + 1, 0, kValues, TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr(std::to_string(info.max_side)));
}

TEST(ApiExtended, SizesAboveTheModelsRangeAreMadeOfWindows) {
    Api api;
    const tessera_model model = api.load(nullptr, "materials");
    constexpr const char *kValues = R"({"width": 64, "height": 64, "canvas_steps": 1})";
    const tessera_texture texture = open_sized(model, 1032, 8, kValues);
    ASSERT_EQ(tessera_texture_wait(texture, 120'000), TESSERA_OK) << last_error();
    EXPECT_EQ(info_of(texture).width, 1032u);
    EXPECT_EQ(info_of(texture).height, 8u);
    const auto hash_of = [&](const char *values) {
        const tessera_texture made = open_sized(model, 1032, 8, values);
        EXPECT_EQ(tessera_texture_wait(made, 120'000), TESSERA_OK) << last_error();
        return info_of(made).hash;
    };
    const std::uint64_t hash = info_of(texture).hash;
    EXPECT_EQ(hash_of(R"({"width": 64, "height": 64, "canvas_steps": 1, "steps": 2})"), hash);
    EXPECT_NE(hash_of(R"({"width": 64, "height": 64, "canvas_steps": 2, "steps": 1})"), hash);
    auto desc = sized<tessera_texture_desc>();
    desc.width = 2048;
    std::vector<std::uint8_t> picture(64 * 64 * 4);
    tessera_input input{};
    input.key = "image";
    input.tensor = {
        picture.data(), TESSERA_DTYPE_U8, TESSERA_MEMORY_HOST, TESSERA_LAYOUT_STRIDED, 3,
        {64, 64, 4, 1}, {256, 4, 1, 1}};
    desc.inputs = &input;
    desc.input_count = 1;
    tessera_texture out{};
    EXPECT_EQ(tessera_texture_open(model, &desc, &out), TESSERA_ERROR_UNSUPPORTED);
    EXPECT_THAT(last_error(), HasSubstr("'image'"));
}

} // namespace
} // namespace tessera::test
