#include "vulkan/commands.hpp"

#include "vulkan/result.hpp"

namespace tessera {

Result<Commands> Commands::create(const VulkanDevice &device, const std::string &name) {
    const VolkDeviceTable &vk = device.table();
    VkCommandPoolCreateInfo pool_info{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
    pool_info.flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT;
    pool_info.queueFamilyIndex = device.queue_family();
    VkCommandPool pool = VK_NULL_HANDLE;
    VkResult result = vk.vkCreateCommandPool(device.get(), &pool_info, nullptr, &pool);
    if (result < 0) return vulkan_error(result, fmt::format("vkCreateCommandPool ({})", name));
    Commands commands;
    commands.device_ = &device;
    commands.pool_ = device.own(pool, vk.vkDestroyCommandPool);
    VkCommandBufferAllocateInfo info{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
    info.commandPool = pool;
    info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    info.commandBufferCount = 1;
    result = vk.vkAllocateCommandBuffers(device.get(), &info, &commands.buffer_);
    if (result < 0) return vulkan_error(result, fmt::format("vkAllocateCommandBuffers ({})", name));
    device.name(VK_OBJECT_TYPE_COMMAND_POOL, pool, name);
    device.name(VK_OBJECT_TYPE_COMMAND_BUFFER, commands.buffer_, name);
    return commands;
}

Result<VkCommandBuffer> Commands::begin(VkCommandBufferUsageFlags usage) {
    const VolkDeviceTable &vk = device_->table();
    VkResult result = vk.vkResetCommandPool(device_->get(), pool_.get(), 0);
    if (result < 0) return vulkan_error(result, "vkResetCommandPool");
    VkCommandBufferBeginInfo info{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    info.flags = usage;
    result = vk.vkBeginCommandBuffer(buffer_, &info);
    if (result < 0) return vulkan_error(result, "vkBeginCommandBuffer");
    return buffer_;
}

Result<void> Commands::end() {
    return vulkan_check(device_->table().vkEndCommandBuffer(buffer_), "vkEndCommandBuffer");
}

void record_barrier(const VulkanDevice &device, VkCommandBuffer commands,
                    const MemoryBarrier &barrier) {
    VkMemoryBarrier2 info{VK_STRUCTURE_TYPE_MEMORY_BARRIER_2};
    info.srcStageMask = barrier.from_stage;
    info.srcAccessMask = barrier.from_access;
    info.dstStageMask = barrier.to_stage;
    info.dstAccessMask = barrier.to_access;
    VkDependencyInfo dependency{VK_STRUCTURE_TYPE_DEPENDENCY_INFO};
    dependency.memoryBarrierCount = 1;
    dependency.pMemoryBarriers = &info;
    device.table().vkCmdPipelineBarrier2(commands, &dependency);
}

void record_barrier(const VulkanDevice &device, VkCommandBuffer commands,
                    const VkBufferMemoryBarrier2 &barrier) {
    VkDependencyInfo dependency{VK_STRUCTURE_TYPE_DEPENDENCY_INFO};
    dependency.bufferMemoryBarrierCount = 1;
    dependency.pBufferMemoryBarriers = &barrier;
    device.table().vkCmdPipelineBarrier2(commands, &dependency);
}

void record_barrier(const VulkanDevice &device, VkCommandBuffer commands, VkImage image,
                    const ImageBarrier &barrier) {
    VkImageMemoryBarrier2 info{VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER_2};
    info.srcStageMask = barrier.from_stage;
    info.srcAccessMask = barrier.from_access;
    info.dstStageMask = barrier.to_stage;
    info.dstAccessMask = barrier.to_access;
    info.oldLayout = barrier.from_layout;
    info.newLayout = barrier.to_layout;
    info.srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED;
    info.dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED;
    info.image = image;
    info.subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1};
    VkDependencyInfo dependency{VK_STRUCTURE_TYPE_DEPENDENCY_INFO};
    dependency.imageMemoryBarrierCount = 1;
    dependency.pImageMemoryBarriers = &info;
    device.table().vkCmdPipelineBarrier2(commands, &dependency);
}

} // namespace tessera
