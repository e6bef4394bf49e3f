// Pictures of textures recorded into a program's command buffers: see tessera/runtime_vulkan.h.
#pragma once

#include "api/runtime.hpp"

#include <tessera/runtime_vulkan.h>

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace tessera::api {

// The functions that are used, all of them of Vulkan 1.0.
struct VulkanFunctions {
    PFN_vkGetDeviceProcAddr GetDeviceProcAddr = nullptr;
    PFN_vkGetPhysicalDeviceMemoryProperties GetPhysicalDeviceMemoryProperties = nullptr;
    PFN_vkGetPhysicalDeviceQueueFamilyProperties GetPhysicalDeviceQueueFamilyProperties = nullptr;
    PFN_vkGetPhysicalDeviceFormatProperties GetPhysicalDeviceFormatProperties = nullptr;
    PFN_vkCreateBuffer CreateBuffer = nullptr;
    PFN_vkDestroyBuffer DestroyBuffer = nullptr;
    PFN_vkGetBufferMemoryRequirements GetBufferMemoryRequirements = nullptr;
    PFN_vkAllocateMemory AllocateMemory = nullptr;
    PFN_vkFreeMemory FreeMemory = nullptr;
    PFN_vkBindBufferMemory BindBufferMemory = nullptr;
    PFN_vkMapMemory MapMemory = nullptr;
    PFN_vkCmdPipelineBarrier CmdPipelineBarrier = nullptr;
    PFN_vkCmdCopyBufferToImage CmdCopyBufferToImage = nullptr;
    PFN_vkCmdBlitImage CmdBlitImage = nullptr;
    PFN_vkCmdClearColorImage CmdClearColorImage = nullptr;
};

class Vulkan {
  public:
    [[nodiscard]] static Result<std::shared_ptr<Vulkan>> open(std::shared_ptr<Runtime> runtime,
                                                              const tessera_vulkan_desc &desc);
    ~Vulkan();
    Vulkan(const Vulkan &) = delete;
    Vulkan &operator=(const Vulkan &) = delete;

    [[nodiscard]] const Runtime &runtime() const { return *runtime_; }
    // Models leave the device. `lost`: touches none of its own objects from now on.
    [[nodiscard]] Result<void> close(bool lost);
    // `texture` nullptr: the image is forgotten.
    [[nodiscard]] Result<void> bind(const tessera_vulkan_binding &binding,
                                    std::shared_ptr<Texture> texture);
    [[nodiscard]] Result<std::uint32_t> record(VkCommandBuffer commands, std::uint64_t max_bytes,
                                               std::uint64_t frame, std::uint64_t done);

  private:
    struct Binding {
        tessera_vulkan_binding is{};
        std::shared_ptr<Texture> texture;
        bool in_layout = false;  // the first record was
        std::uint64_t shown = 0; // picture in it
    };
    // Memory that the host writes and one submission reads.
    struct Staging {
        VkBuffer buffer = VK_NULL_HANDLE;
        VkDeviceMemory memory = VK_NULL_HANDLE;
        std::byte *mapped = nullptr;
        std::uint64_t bytes = 0;
        std::uint64_t used_by = 0; // frame
        bool in_use = false;
    };

    Vulkan(std::shared_ptr<Runtime> runtime, const tessera_vulkan_desc &desc)
        : runtime_(std::move(runtime)), desc_(desc) {}
    Result<void> load();
    Result<void> offer_device();
    Result<void> check_queue();
    [[nodiscard]] Result<void> check_binding(const tessera_vulkan_binding &binding) const;
    Result<Staging *> staging(std::uint64_t bytes, std::uint64_t frame, std::uint64_t done);
    Result<void> allocate(Staging &staging);
    void destroy(Staging &staging);
    void barrier(VkCommandBuffer commands, const Binding &binding, std::uint32_t mip,
                 std::uint32_t mips, VkImageLayout from, VkImageLayout to,
                 VkPipelineStageFlags from_stages, VkAccessFlags from_access,
                 VkPipelineStageFlags to_stages, VkAccessFlags to_access) const;
    void begin_write(VkCommandBuffer commands, const Binding &binding) const;
    void clear(VkCommandBuffer commands, Binding &binding) const;
    // Both leave what they copy from for copy().
    Result<VkBuffer> stage(const Pixels &pixels, std::uint64_t frame, std::uint64_t done);
    VkBuffer show(VkCommandBuffer commands, std::shared_ptr<const Picture> picture,
                  std::uint64_t frame);
    // Memory that CUDA writes changes hands round the copy.
    void hand_over(VkCommandBuffer commands, const PicturePlace &place, bool to_us) const;
    void copy(VkCommandBuffer commands, Binding &binding, const Pixels &pixels,
              VkBuffer from) const;
    void blit_mips(VkCommandBuffer commands, const Binding &binding) const;

    std::shared_ptr<Runtime> runtime_;
    tessera_vulkan_desc desc_;
    VulkanFunctions vk_;
    VkQueueFlags queue_flags_ = 0;
    bool lost_ = false;
    std::mutex mutex_; // of what follows
    std::vector<Binding> bindings_;
    std::vector<Staging> staging_;
    std::shared_ptr<PictureMemory> memory_; // on the device
    // What submissions copy from, with the frame of each.
    std::vector<std::pair<std::shared_ptr<const Picture>, std::uint64_t>> shown_;
};

} // namespace tessera::api
