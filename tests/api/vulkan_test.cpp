// Pictures on a program's images: layouts, mips, lost devices, and what is refused. The validation
// layers watch all of it.
#include "tests/api/vulkan_images.hpp"

namespace tessera::test {
namespace {

using testing::HasSubstr;

constexpr const char *kValues = R"({"size": 32, "steps": 2})";

using ApiVulkan = VulkanImages;

TEST_F(ApiVulkan, AnImageIsGreyUntilItsPictureIsThere) {
    Api api;
    const tessera_vulkan vulkan = open(api);
    make_image(6);
    const tessera_texture texture =
        open_texture(api.load("org.tessera.gradient"), 3, kValues, 0, 0, true);
    const auto bound = binding(texture, 6);
    ASSERT_EQ(tessera_vulkan_bind(vulkan, &bound), TESSERA_OK) << last_error();
    EXPECT_EQ(frame(vulkan), 1u);
    EXPECT_EQ(shown()[0], 5);
    EXPECT_EQ(shown()[3], 255);
    EXPECT_EQ(frame(vulkan), 0u);
    ASSERT_EQ(tessera_texture_pause(texture, 0), TESSERA_OK);
    ASSERT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK);
    EXPECT_EQ(frame(vulkan), 1u);
    EXPECT_EQ(shown(), pixels_of(texture));
    EXPECT_EQ(frame(vulkan), 0u);
    // The last level is the mean of all, in the numbers of this UNORM image.
    (void)frame(vulkan, 5);
    double mean = 0;
    for (std::size_t i = 0; i < kSide * kSide * 4; i += 4) mean += pixels_of(texture)[i];
    EXPECT_NEAR(shown()[0], mean / (kSide * kSide), 3);
    EXPECT_EQ(tessera_vulkan_close(vulkan, 0), TESSERA_OK);
}

TEST_F(ApiVulkan, MapsAreBoundAsColoursAre) {
    Api api;
    auto desc = sized<tessera_texture_desc>();
    desc.seed = 3;
    desc.values = kValues;
    desc.maps = 1;
    const tessera_model model = api.load("org.tessera.gradient");
    tessera_texture texture{};
    ASSERT_EQ(tessera_texture_open(model, &desc, &texture), TESSERA_OK);
    ASSERT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK) << last_error();
    struct Case {
        std::uint32_t map;
        VkFormat format;
        std::size_t bytes;
    };
    for (const Case &each : {Case{TESSERA_MAP_NORMAL, VK_FORMAT_R8G8B8A8_UNORM, 4},
                             Case{TESSERA_MAP_HEIGHT, VK_FORMAT_R16_UNORM, 2},
                             Case{TESSERA_MAP_ROUGHNESS, VK_FORMAT_R8_UNORM, 1}}) {
        const tessera_vulkan vulkan = open(api);
        make_image(1, each.format);
        auto bound = binding(texture, 1);
        bound.map = each.map;
        bound.format = VK_FORMAT_R8G8B8A8_SRGB;
        EXPECT_EQ(tessera_vulkan_bind(vulkan, &bound), TESSERA_ERROR_INVALID_ARGUMENT);
        EXPECT_THAT(last_error(), HasSubstr("UNORM"));
        bound.format = each.format;
        ASSERT_EQ(tessera_vulkan_bind(vulkan, &bound), TESSERA_OK) << last_error();
        EXPECT_EQ(frame(vulkan), 1u);
        auto pixels = sized<tessera_pixels>();
        std::vector<std::uint8_t> expected(kSide * kSide * each.bytes);
        pixels.map = each.map;
        pixels.data = expected.data();
        pixels.bytes = expected.size();
        ASSERT_EQ(tessera_texture_read(texture, &pixels), TESSERA_OK) << last_error();
        auto bytes = shown();
        bytes.resize(expected.size());
        EXPECT_EQ(bytes, expected) << each.map;
        EXPECT_EQ(frame(vulkan), 0u);
        EXPECT_EQ(tessera_vulkan_close(vulkan, 0), TESSERA_OK);
    }
}

TEST_F(ApiVulkan, AMapIsFlatUntilItIsThere) {
    Api api;
    const tessera_vulkan vulkan = open(api);
    make_image(1);
    const tessera_texture texture =
        open_texture(api.load("org.tessera.gradient"), 3, kValues, 0, 0, true);
    auto bound = binding(texture, 1);
    bound.map = TESSERA_MAP_NORMAL;
    ASSERT_EQ(tessera_vulkan_bind(vulkan, &bound), TESSERA_OK) << last_error();
    EXPECT_EQ(frame(vulkan), 1u);
    EXPECT_NEAR(shown()[0], 128, 1);
    EXPECT_EQ(shown()[2], 255);
    EXPECT_EQ(tessera_vulkan_close(vulkan, 0), TESSERA_OK);
}

TEST_F(ApiVulkan, PicturesComeBackAfterALostDevice) {
    Api api;
    tessera_vulkan vulkan = open(api);
    make_image(1);
    const tessera_texture texture = open_texture(api.load("org.tessera.gradient"), 3, kValues);
    ASSERT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK);
    const auto bound = binding(texture, 1);
    // Closed as lost it frees nothing on the device, which is alive here: so nothing was recorded.
    ASSERT_EQ(tessera_vulkan_bind(vulkan, &bound), TESSERA_OK);
    ASSERT_EQ(tessera_vulkan_close(vulkan, 1), TESSERA_OK);
    EXPECT_EQ(tessera_vulkan_bind(vulkan, &bound), TESSERA_ERROR_NOT_FOUND);
    vulkan = open(api);
    ASSERT_EQ(tessera_vulkan_bind(vulkan, &bound), TESSERA_OK);
    EXPECT_EQ(frame(vulkan), 1u);
    EXPECT_EQ(shown(), pixels_of(texture));
    EXPECT_EQ(tessera_vulkan_close(vulkan, 0), TESSERA_OK);
}

TEST_F(ApiVulkan, SaysWhatIsMissing) {
    Api api;
    tessera_vulkan vulkan{};
    auto wrong = sized<tessera_vulkan_desc>();
    EXPECT_EQ(tessera_vulkan_open(api.runtime, &wrong, &vulkan), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("get_proc"));
    EXPECT_THAT(last_error(), HasSubstr("device"));
    wrong = desc();
    wrong.get_proc = [](VkInstance, const char *) -> PFN_vkVoidFunction { return nullptr; };
    EXPECT_EQ(tessera_vulkan_open(api.runtime, &wrong, &vulkan), TESSERA_ERROR_UNSUPPORTED);
    EXPECT_THAT(last_error(), HasSubstr("vkGetDeviceProcAddr"));
    wrong = desc();
    wrong.queue_family = 77;
    EXPECT_EQ(tessera_vulkan_open(api.runtime, &wrong, &vulkan), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("77"));
}

TEST_F(ApiVulkan, RefusesWhatItCannotFill) {
    Api api;
    const tessera_vulkan vulkan = open(api);
    make_image(1);
    const tessera_texture texture = open_texture(api.load("org.tessera.gradient"), 3, kValues);
    const auto refuse = [&](auto change, const char *text) {
        auto wrong = binding(texture, 1);
        change(wrong);
        EXPECT_NE(tessera_vulkan_bind(vulkan, &wrong), TESSERA_OK);
        EXPECT_THAT(last_error(), HasSubstr(text));
    };
    refuse([](auto &b) { b.format = VK_FORMAT_BC7_SRGB_BLOCK; }, "format");
    refuse([](auto &b) { b.map = 9; }, "map is 9");
    refuse([](auto &b) { b.mips = 7; }, "at most 6");
    refuse([](auto &b) { b.layout = VK_IMAGE_LAYOUT_UNDEFINED; }, "layout");
    refuse([](auto &b) { b.image = VK_NULL_HANDLE; }, "image");
    refuse([](auto &b) { b.stages = 0; }, "stages");
    refuse([](auto &b) { b.texture.id = 99; }, "99");
    // A picture of another size is said once, and the image keeps its layout.
    const tessera_texture other =
        open_texture(api.load("org.tessera.gradient"), 3, R"({"size": 64})");
    ASSERT_EQ(tessera_texture_wait(other, 10'000), TESSERA_OK);
    const auto bound = binding(other, 1);
    ASSERT_EQ(tessera_vulkan_bind(vulkan, &bound), TESSERA_OK);
    (void)frame(vulkan, 0, TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("64 x 64"));
    EXPECT_EQ(frame(vulkan), 0u);
    EXPECT_EQ(tessera_vulkan_close(vulkan, 0), TESSERA_OK);
}

} // namespace
} // namespace tessera::test
