// Commands that are recorded for a submission, or for many, and the barriers between them.
#pragma once

#include "core/result.hpp"
#include "vulkan/device.hpp"

#include <string>

namespace tessera {

// A command buffer with a pool of its own. Whoever records waits for the last submission before.
class Commands {
  public:
    [[nodiscard]] static Result<Commands> create(const VulkanDevice &device,
                                                 const std::string &name);

    // Forgets what was recorded before. `usage`: for one submission, or SIMULTANEOUS_USE for
    // several that may be under way at the same time.
    [[nodiscard]] Result<VkCommandBuffer>
    begin(VkCommandBufferUsageFlags usage = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT);
    [[nodiscard]] Result<void> end();
    [[nodiscard]] VkCommandBuffer get() const { return buffer_; }

    Commands() = default; // nothing to record into

  private:
    const VulkanDevice *device_ = nullptr;
    VulkanHandle<VkCommandPool> pool_;
    VkCommandBuffer buffer_ = VK_NULL_HANDLE;
};

// All memory.
struct MemoryBarrier {
    VkPipelineStageFlags2 from_stage = VK_PIPELINE_STAGE_2_NONE;
    VkAccessFlags2 from_access = VK_ACCESS_2_NONE;
    VkPipelineStageFlags2 to_stage = VK_PIPELINE_STAGE_2_NONE;
    VkAccessFlags2 to_access = VK_ACCESS_2_NONE;
};
void record_barrier(const VulkanDevice &device, VkCommandBuffer commands,
                    const MemoryBarrier &barrier);
// Copied bytes are read by the host when the submission is done.
inline constexpr MemoryBarrier kCopyToHost{VK_PIPELINE_STAGE_2_COPY_BIT,
                                           VK_ACCESS_2_TRANSFER_WRITE_BIT,
                                           VK_PIPELINE_STAGE_2_HOST_BIT, VK_ACCESS_2_HOST_READ_BIT};

// A part of one buffer, which may change its owner.
void record_barrier(const VulkanDevice &device, VkCommandBuffer commands,
                    const VkBufferMemoryBarrier2 &barrier);

// One image, colour aspect.
struct ImageBarrier {
    VkPipelineStageFlags2 from_stage = VK_PIPELINE_STAGE_2_NONE;
    VkAccessFlags2 from_access = VK_ACCESS_2_NONE;
    VkPipelineStageFlags2 to_stage = VK_PIPELINE_STAGE_2_NONE;
    VkAccessFlags2 to_access = VK_ACCESS_2_NONE;
    VkImageLayout from_layout = VK_IMAGE_LAYOUT_UNDEFINED;
    VkImageLayout to_layout = VK_IMAGE_LAYOUT_UNDEFINED;
};
void record_barrier(const VulkanDevice &device, VkCommandBuffer commands, VkImage image,
                    const ImageBarrier &barrier);

} // namespace tessera
