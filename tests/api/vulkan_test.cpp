// Pictures on a program's images: layouts, mips, lost devices, and what is refused. The validation
// layers watch all of it.
#include "tests/api/api_fixture.hpp"
#include "tests/view/vulkan/vulkan_fixture.hpp"
#include "vulkan/commands.hpp"
#include "vulkan/memory.hpp"

#include <tessera/runtime_vulkan.h>

#include <gmock/gmock.h>

#include <cstring>

namespace tessera::test {
namespace {

using testing::HasSubstr;

constexpr std::uint32_t kSide = 32;
constexpr const char *kValues = R"({"size": 32, "steps": 2})";

class ApiVulkan : public VulkanTest {
  protected:
    VulkanDevice &device() { return *device_; }
    void TearDown() override { // before the device goes
        commands_ = {};
        pixels_ = {};
        image_ = {};
        memory_ = {};
        VulkanTest::TearDown();
    }
    tessera_vulkan_desc desc() {
        auto desc = sized<tessera_vulkan_desc>();
        desc.queue_family = device().queue_family();
        desc.get_proc = vkGetInstanceProcAddr;
        desc.instance = device().instance();
        desc.physical = device().physical();
        desc.device = device().get();
        return desc;
    }
    tessera_vulkan open(const Api &api) {
        const auto full = desc();
        tessera_vulkan vulkan{};
        EXPECT_EQ(tessera_vulkan_open(api.runtime, &full, &vulkan), TESSERA_OK) << last_error();
        return vulkan;
    }
    // An image of `mips` levels, read by copies.
    void make_image(std::uint32_t mips, VkFormat format = VK_FORMAT_R8G8B8A8_UNORM) {
        VkImageCreateInfo info{VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO};
        info.imageType = VK_IMAGE_TYPE_2D;
        info.format = format;
        info.extent = {kSide, kSide, 1};
        info.mipLevels = mips;
        info.arrayLayers = 1;
        info.samples = VK_SAMPLE_COUNT_1_BIT;
        info.usage = VK_IMAGE_USAGE_TRANSFER_DST_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT;
        const VolkDeviceTable &vk = device().table();
        VkImage image = VK_NULL_HANDLE;
        ASSERT_EQ(vk.vkCreateImage(device().get(), &info, nullptr, &image), VK_SUCCESS);
        image_ = device().own(image, vk.vkDestroyImage);
        VkMemoryRequirements needs{};
        vk.vkGetImageMemoryRequirements(device().get(), image, &needs);
        VkMemoryAllocateInfo allocation{VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO};
        allocation.allocationSize = needs.size;
        while ((needs.memoryTypeBits & (1u << allocation.memoryTypeIndex)) == 0) {
            ++allocation.memoryTypeIndex;
        }
        VkDeviceMemory memory = VK_NULL_HANDLE;
        ASSERT_EQ(vk.vkAllocateMemory(device().get(), &allocation, nullptr, &memory), VK_SUCCESS);
        memory_ = device().own(memory, vk.vkFreeMemory);
        ASSERT_EQ(vk.vkBindImageMemory(device().get(), image, memory, 0), VK_SUCCESS);
        auto pixels =
            make_mapped_buffer(device(), kSide * kSide * 4, VK_BUFFER_USAGE_TRANSFER_DST_BIT, true);
        ASSERT_TRUE(pixels) << pixels.error().message;
        pixels_ = std::move(*pixels);
        auto commands = Commands::create(device(), "api test");
        ASSERT_TRUE(commands);
        commands_ = std::move(*commands);
    }
    tessera_vulkan_binding binding(tessera_texture texture, std::uint32_t mips) {
        auto binding = sized<tessera_vulkan_binding>();
        binding.texture = texture;
        binding.image = image_.get();
        binding.format = VK_FORMAT_R8G8B8A8_UNORM;
        binding.width = binding.height = kSide;
        binding.mips = mips;
        binding.layout = VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL;
        binding.stages = VK_PIPELINE_STAGE_TRANSFER_BIT;
        binding.access = VK_ACCESS_TRANSFER_READ_BIT;
        return binding;
    }
    // A frame of the program: what is new, then a level of the image read back.
    std::uint32_t frame(tessera_vulkan vulkan, std::uint32_t mip = 0,
                        tessera_status expected = TESSERA_OK) {
        auto commands = commands_.begin();
        EXPECT_TRUE(commands);
        ++frame_;
        std::uint32_t updated = 0;
        EXPECT_EQ(tessera_vulkan_record(vulkan, *commands, 0, frame_, frame_ - 1, &updated),
                  expected)
            << last_error();
        VkBufferImageCopy copy{};
        copy.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, mip, 0, 1};
        copy.imageExtent = {kSide >> mip, kSide >> mip, 1};
        device().table().vkCmdCopyImageToBuffer(*commands, image_.get(),
                                                VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL,
                                                pixels_.buffer.get(), 1, &copy);
        record_barrier(device(), *commands, kCopyToHost);
        EXPECT_TRUE(commands_.end());
        EXPECT_TRUE(device().submit(*commands, {}, {}));
        EXPECT_TRUE(device().wait_idle());
        return updated;
    }
    [[nodiscard]] std::vector<std::uint8_t> shown() const {
        std::vector<std::uint8_t> bytes(pixels_.bytes.size());
        std::memcpy(bytes.data(), pixels_.bytes.data(), bytes.size());
        return bytes;
    }

    VulkanHandle<VkDeviceMemory> memory_;
    VulkanHandle<VkImage> image_;
    MappedBuffer pixels_;
    Commands commands_;
    std::uint64_t frame_ = 0;
};

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
