// The files of a material, and the options by key. Needs no device.
#include "sandbox/material/export.hpp"
#include "sandbox/material/options.hpp"

#include "assets/image_file.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

#include <nlohmann/json.hpp>
#include <png.h>

namespace tessera {
namespace {

using testing::HasSubstr;

MaterialMaps small_maps() {
    MaterialMaps maps{2, 1, {10, 20, 30, 255, 40, 50, 60, 128}, {0.25F, 1}, {}, {}, {}, {}};
    maps.normals = {128, 200, 255, 255, 100, 128, 240, 255};
    maps.roughness = {0.5F, 0.1F};
    maps.occlusion = {1, 0.8F};
    maps.spectrum = {-10, -20};
    return maps;
}

std::string text_of(const std::filesystem::path &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::uint8_t> pixels_of(const std::filesystem::path &path, std::uint32_t channels) {
    const auto image = read_image(path, channels);
    EXPECT_TRUE(image.ok()) << image.error().message;
    return image.ok() ? image->pixels : std::vector<std::uint8_t>();
}

TEST(MaterialExport, WritesEveryMap) {
    const test::TemporaryFolder folder;
    const auto names = export_material(folder.path() / "new", "brick", "", small_maps(), {});
    ASSERT_TRUE(names.ok()) << names.error().message;
    EXPECT_THAT(*names, testing::UnorderedElementsAre("brick_albedo.png", "brick_normal.png",
                                                      "brick_height.png", "brick_roughness.png",
                                                      "brick_ao.png", "brick_orm.png", "brick.bin",
                                                      "brick.gltf"));
    using Bytes = std::vector<std::uint8_t>;
    const auto at = [&](const char *name) { return folder.path() / "new" / name; };
    EXPECT_EQ(pixels_of(at("brick_albedo.png"), 3), (Bytes{10, 20, 30, 40, 50, 60}));
    EXPECT_EQ(pixels_of(at("brick_normal.png"), 3), (Bytes{128, 200, 255, 100, 128, 240}));
    EXPECT_EQ(pixels_of(at("brick_roughness.png"), 1), (Bytes{128, 26}));
    EXPECT_EQ(pixels_of(at("brick_ao.png"), 1), (Bytes{255, 204}));
    EXPECT_EQ(pixels_of(at("brick_orm.png"), 3), (Bytes{255, 128, 0, 204, 26, 0}));
}

TEST(MaterialExport, HeightsHaveSixteenBits) {
    const test::TemporaryFolder folder;
    ASSERT_TRUE(export_material(folder.path(), "brick", "", small_maps(), {}).ok());
    const std::string path = (folder.path() / "brick_height.png").string();
    std::FILE *const file = std::fopen(path.c_str(), "rb");
    ASSERT_NE(file, nullptr);
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, file);
    png_read_png(png, info, PNG_TRANSFORM_SWAP_ENDIAN, nullptr);
    EXPECT_EQ(png_get_bit_depth(png, info), 16);
    const auto *const row = reinterpret_cast<const std::uint16_t *>(png_get_rows(png, info)[0]);
    EXPECT_THAT(std::vector<std::uint16_t>(row, row + 2), testing::ElementsAre(16384, 65535));
    png_destroy_read_struct(&png, &info, nullptr);
    std::fclose(file);
}

TEST(MaterialExport, DataHaveNoColourChunksAndColoursAreSrgb) {
    const test::TemporaryFolder folder;
    MaterialOptions options;
    options.maps.normals_y_down = true;
    const auto names = export_material(folder.path(), "brick", "", small_maps(), options);
    ASSERT_TRUE(names.ok()) << names.error().message;
    for (const std::string &name : *names) {
        if (!name.ends_with(".png")) continue;
        const std::string bytes = text_of(folder.path() / name);
        const bool is_colour = name == "brick_albedo.png";
        EXPECT_EQ(bytes.find("sRGB") != std::string::npos, is_colour) << name;
        for (const char *chunk : {"gAMA", "cHRM", "iCCP"}) {
            EXPECT_EQ(bytes.find(chunk), std::string::npos) << name << " " << chunk;
        }
    }
}

TEST(MaterialExport, SeveralMaterialsShareAFolder) {
    const test::TemporaryFolder folder;
    ASSERT_TRUE(export_material(folder.path(), "brick_7", "", small_maps(), {}).ok());
    ASSERT_TRUE(export_material(folder.path(), "brick_8", "", small_maps(), {}).ok());
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 16);
    for (const std::string name : {"brick_7", "brick_8"}) {
        const auto json =
            nlohmann::json::parse(text_of(folder.path() / (name + ".gltf")), nullptr, false);
        for (const auto &image : json["images"]) {
            EXPECT_THAT(image["uri"].get<std::string>(), HasSubstr(name));
            EXPECT_THAT(image["name"].get<std::string>(), HasSubstr(name));
        }
    }
}

TEST(MaterialExport, DirectXNormalsAreAFileMore) {
    const test::TemporaryFolder folder;
    MaterialOptions options;
    options.maps.normals_y_down = true; // then the maps hold them so
    options.metallic = 1;
    const auto names = export_material(folder.path(), "brick", "", small_maps(), options);
    ASSERT_TRUE(names.ok()) << names.error().message;
    using Bytes = std::vector<std::uint8_t>;
    EXPECT_EQ(pixels_of(folder.path() / "brick_normal_directx.png", 3),
              (Bytes{128, 200, 255, 100, 128, 240}));
    EXPECT_EQ(pixels_of(folder.path() / "brick_normal.png", 3),
              (Bytes{128, 55, 255, 100, 127, 240}));
    EXPECT_EQ(pixels_of(folder.path() / "brick_orm.png", 3), (Bytes{255, 128, 255, 204, 26, 255}));
}

TEST(MaterialExport, MetalsAreMetallicUnlessTheUserSaysOtherwise) {
    const test::TemporaryFolder folder;
    const auto metallic = [&](std::string_view material, const MaterialOptions &options) {
        EXPECT_TRUE(export_material(folder.path(), "m", material, small_maps(), options).ok());
        return int{pixels_of(folder.path() / "m_orm.png", 3)[2]};
    };
    EXPECT_EQ(metallic("metal", {}), 255);
    EXPECT_EQ(metallic("metal_grate", {}), 255);
    EXPECT_EQ(metallic("scifi_panel", {}), 128);
    EXPECT_EQ(metallic("rust", {}), 0);
    EXPECT_EQ(metallic("bark", {}), 0);
    MaterialOptions options;
    options.metallic = 0;
    EXPECT_EQ(metallic("metal", options), 0);
}

TEST(MaterialExport, TheSceneIsWholeGltf) {
    const test::TemporaryFolder folder;
    ASSERT_TRUE(export_material(folder.path(), "old \"oak\"", "", small_maps(), {}).ok());
    const auto json =
        nlohmann::json::parse(text_of(folder.path() / "old__oak_.gltf"), nullptr, false);
    ASSERT_TRUE(json.is_object());
    EXPECT_EQ(json["asset"]["version"], "2.0");
    EXPECT_EQ(json["materials"][0]["name"], "old \"oak\"");
    for (const auto &image : json["images"]) {
        EXPECT_TRUE(std::filesystem::exists(folder.path() / image["uri"].get<std::string>()));
    }
    for (const auto &texture : json["textures"]) {
        EXPECT_LT(texture["source"].get<std::size_t>(), json["images"].size());
    }
    EXPECT_EQ(json["samplers"][0]["wrapS"], 10497) << "REPEAT";
    EXPECT_EQ(json["samplers"][0]["wrapT"], 10497);
    const auto &material = json["materials"][0];
    const auto orm = material["occlusionTexture"]["index"].get<std::size_t>();
    EXPECT_EQ(material["pbrMetallicRoughness"]["metallicRoughnessTexture"]["index"], orm);
    EXPECT_EQ(json["images"][json["textures"][orm]["source"].get<std::size_t>()]["uri"],
              "old__oak__orm.png");
    // The numbers in the buffer are where the accessors say.
    const std::string bin = text_of(folder.path() / "old__oak_.bin");
    EXPECT_EQ(json["buffers"][0]["byteLength"], bin.size());
    for (const auto &view : json["bufferViews"]) {
        const auto end =
            view["byteOffset"].get<std::size_t>() + view["byteLength"].get<std::size_t>();
        EXPECT_LE(end, bin.size());
    }
    const auto number = [&](std::size_t accessor, std::size_t element, std::size_t part) {
        const auto &a = json["accessors"][accessor];
        const auto &view = json["bufferViews"][a["bufferView"].get<std::size_t>()];
        const std::size_t offset = view["byteOffset"].get<std::size_t>() +
                                   a["byteOffset"].get<std::size_t>() +
                                   element * view["byteStride"].get<std::size_t>() + part * 4;
        float value = 0;
        std::memcpy(&value, bin.data() + offset, sizeof value);
        return value;
    };
    const auto &attributes = json["meshes"][0]["primitives"][0]["attributes"];
    const auto positions = attributes["POSITION"].get<std::size_t>();
    const auto texture = attributes["TEXCOORD_0"].get<std::size_t>();
    EXPECT_EQ(number(positions, 0, 0), -1) << "top left";
    EXPECT_EQ(number(positions, 0, 1), 1);
    EXPECT_EQ(number(texture, 0, 1), 0);
    EXPECT_EQ(number(positions, 3, 1), -1) << "bottom right";
    EXPECT_EQ(number(texture, 3, 0), 2) << "tiled twice";
    EXPECT_EQ(number(attributes["NORMAL"].get<std::size_t>(), 2, 2), 1);
    EXPECT_EQ(number(attributes["TANGENT"].get<std::size_t>(), 2, 3), 1);
    // Counter-clockwise seen from +z.
    const auto &indices = json["bufferViews"][1];
    std::array<std::uint16_t, 6> corners{};
    std::memcpy(corners.data(), bin.data() + indices["byteOffset"].get<std::size_t>(),
                sizeof corners);
    for (std::size_t i = 0; i < 6; i += 3) {
        const auto x = [&](std::size_t k) { return number(positions, corners[i + k], 0); };
        const auto y = [&](std::size_t k) { return number(positions, corners[i + k], 1); };
        EXPECT_GT((x(1) - x(0)) * (y(2) - y(0)) - (x(2) - x(0)) * (y(1) - y(0)), 0);
    }
}

TEST(MaterialExport, ErrorsNameTheFile) {
    const test::TemporaryFolder folder;
    std::ofstream(folder.path() / "taken") << "a file";
    const auto blocked = export_material(folder.path() / "taken", "brick", "", small_maps(), {});
    ASSERT_FALSE(blocked.ok());
    EXPECT_THAT(blocked.error().message, HasSubstr((folder.path() / "taken").string()));
    std::filesystem::create_directories(folder.path() / "m" / "brick_orm.png");
    const auto file = export_material(folder.path() / "m", "brick", "", small_maps(), {});
    ASSERT_FALSE(file.ok());
    EXPECT_THAT(file.error().message, HasSubstr((folder.path() / "m" / "brick_orm.png").string()));
}

TEST(MaterialExport, ReplacesFilesAndLeavesNoOthers) {
    const test::TemporaryFolder folder;
    std::ofstream(folder.path() / "brick_ao.png") << "old";
    ASSERT_TRUE(export_material(folder.path(), "brick", "", small_maps(), {}).ok());
    ASSERT_TRUE(export_material(folder.path(), "brick", "", small_maps(), {}).ok());
    EXPECT_EQ(pixels_of(folder.path() / "brick_ao.png", 1), (std::vector<std::uint8_t>{255, 204}));
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 8);
}

TEST(MaterialOptionsByKey, AreSetAndChecked) {
    MaterialOptions options;
    EXPECT_TRUE(set_material_option(options, "seamless", "true").ok());
    EXPECT_TRUE(set_material_option(options, "height_strength", "-1.5").ok());
    EXPECT_TRUE(set_material_option(options, "metallic", "1").ok());
    EXPECT_TRUE(options.maps.seamless);
    EXPECT_EQ(options.maps.height_strength, -1.5F);
    EXPECT_EQ(options.metallic, 1.0F);
    const auto message = [&](std::string_view key, std::string_view text) {
        const auto set = set_material_option(options, key, text);
        return set ? "" : set.error().message;
    };
    EXPECT_THAT(message("normal_strength", "5"),
                HasSubstr("normal_strength = '5'; expected 0 to 4"));
    EXPECT_THAT(message("normal_strength", "nan"), HasSubstr("expected 0 to 4"));
    EXPECT_THAT(message("normal_strength", "1x"), HasSubstr("expected 0 to 4"));
    EXPECT_THAT(message("seamless", "1"), HasSubstr("expected true or false"));
    EXPECT_THAT(message("colour", "1"), HasSubstr("no option 'colour'; expected one of seamless"));
}

} // namespace
} // namespace tessera
