// A program with a Vulkan device and an image on it, whose frames record what is new, and what it
// hears of the library. The validation layers watch all of it.
#pragma once

#include "golden/synthetic.hpp"
#include "tests/api/api_fixture.hpp"
#include "tests/unit/temporary_folder.hpp"
#include "tests/view/vulkan/vulkan_fixture.hpp"
#include "vulkan/commands.hpp"
#include "vulkan/memory.hpp"

#include <tessera/runtime_vulkan.h>

#include <gmock/gmock.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

namespace tessera::test {

constexpr std::uint32_t kSide = 32;

// What the library says and takes, while it lives.
struct Witness {
    Witness() {
        callbacks.user = this;
        callbacks.log = [](void *self, std::int32_t, const char *, const char *line) {
            auto &witness = *static_cast<Witness *>(self);
            const std::lock_guard lock(witness.mutex);
            witness.text += std::string(line) + "\n";
        };
        callbacks.allocate = [](void *self, std::size_t bytes, std::size_t align) {
            ++static_cast<Witness *>(self)->allocations;
            return std::aligned_alloc(align, (bytes + align - 1) / align * align);
        };
        callbacks.deallocate = [](void *, void *memory, std::size_t) { std::free(memory); };
    }
    std::string log() {
        const std::lock_guard lock(mutex);
        return text;
    }
    tessera_callbacks callbacks = sized<tessera_callbacks>();
    std::mutex mutex;
    std::string text;
    std::atomic<int> allocations{0}; // of pictures
};

// A model of kSide pixels that computes where it is told to, in two steps.
class SmallMar {
  public:
    [[nodiscard]] bool write() const {
        golden::SyntheticMar shape;
        shape.img_size = kSide;
        shape.vae_stride = 8;
        golden::SyntheticFile file;
        file.tensors = shape.tensors();
        file.metadata["config"] = shape.config_json();
        file.metadata["kind"] = "mar_weights";
        file.metadata["tokenizer"] = "codec.safetensors";
        file.metadata["defaults"] = R"({"steps": 2, "denoise_steps": 2})";
        return golden::write_synthetic(path_, file) &&
               golden::write_synthetic(folder_.path() / "codec.safetensors",
                                       golden::synthetic_texture_codec(4, 8));
    }
    [[nodiscard]] const char *path() const { return path_.c_str(); }

  private:
    const TemporaryFolder folder_;
    const std::string path_ = (folder_.path() / "generator.safetensors").string();
};

class VulkanImages : public VulkanTest {
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

} // namespace tessera::test
