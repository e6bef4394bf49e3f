#include "interop/ring/frame_ring.hpp"

#include "vulkan/commands.hpp"

namespace tessera {
namespace {

void record_owner(const VulkanDevice &device, VkCommandBuffer commands, const RingFrame &frame,
                  std::uint32_t from, std::uint32_t to) {
    if (!frame.is_shared()) return;
    const bool takes = from == VK_QUEUE_FAMILY_EXTERNAL;
    VkBufferMemoryBarrier2 barrier{VK_STRUCTURE_TYPE_BUFFER_MEMORY_BARRIER_2};
    // The other half of each stage pair is the semaphore's.
    barrier.srcStageMask = VK_PIPELINE_STAGE_2_COPY_BIT;
    barrier.dstStageMask = VK_PIPELINE_STAGE_2_COPY_BIT;
    barrier.dstAccessMask = takes ? VK_ACCESS_2_TRANSFER_READ_BIT : VK_ACCESS_2_NONE;
    barrier.srcQueueFamilyIndex = from;
    barrier.dstQueueFamilyIndex = to;
    barrier.buffer = frame.pixels;
    barrier.offset = frame.offset_bytes;
    barrier.size = frame.size_bytes();
    record_barrier(device, commands, barrier);
}

} // namespace

void record_frame_taken(const VulkanDevice &device, VkCommandBuffer commands,
                        const RingFrame &frame) {
    record_owner(device, commands, frame, VK_QUEUE_FAMILY_EXTERNAL, device.queue_family());
}

void record_frame_given_back(const VulkanDevice &device, VkCommandBuffer commands,
                             const RingFrame &frame) {
    record_owner(device, commands, frame, device.queue_family(), VK_QUEUE_FAMILY_EXTERNAL);
}

Result<void> check_frame_size(const VulkanDevice &device, std::uint32_t width,
                              std::uint32_t height) {
    const std::uint32_t limit = device.properties().limits.maxImageDimension2D;
    if (width > 0 && height > 0 && width <= limit && height <= limit) return {};
    return make_error(Status::kInvalidArgument,
                      "frame of {} x {} pixels: both must be between 1 and {}", width, height,
                      limit);
}

tessera_tensor frame_tensor(void *data, tessera_memory memory, std::uint32_t width,
                            std::uint32_t height) {
    tessera_tensor frame{};
    frame.data = data;
    frame.dtype = TESSERA_DTYPE_U8;
    frame.memory = memory;
    frame.layout = TESSERA_LAYOUT_STRIDED;
    frame.rank = 3; // (height, width, 4)
    frame.shape[0] = height;
    frame.shape[1] = width;
    frame.shape[2] = 4;
    frame.shape[3] = 1;
    frame.stride[0] = std::int64_t{width} * 4;
    frame.stride[1] = 4;
    frame.stride[2] = 1;
    return frame;
}

} // namespace tessera
