// Buffers and images with their own memory. Few and long-lived here: one allocation each.
#pragma once

#include "core/result.hpp"
#include "vulkan/device.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace tessera {

// Host-visible, coherent and always mapped.
struct MappedBuffer {
    VulkanHandle<VkDeviceMemory> memory; // before the buffer: destroyed after it
    VulkanHandle<VkBuffer> buffer;
    std::span<std::byte> bytes;
};

// `host_reads`: the CPU reads it too, so cached memory is wanted.
[[nodiscard]] Result<MappedBuffer> make_mapped_buffer(const VulkanDevice &device,
                                                      VkDeviceSize size_bytes,
                                                      VkBufferUsageFlags usage, bool host_reads);

// Where the device reads and writes fastest; not mapped.
struct DeviceBuffer {
    VulkanHandle<VkDeviceMemory> memory;
    VulkanHandle<VkBuffer> buffer;
};

// `families`: queue families that use it at the same time, maybe one of them twice; empty: one.
[[nodiscard]] Result<DeviceBuffer> make_device_buffer(const VulkanDevice &device,
                                                      VkDeviceSize size_bytes,
                                                      VkBufferUsageFlags usage,
                                                      std::span<const std::uint32_t> families = {});

// Where shaders find a buffer of usage SHADER_DEVICE_ADDRESS.
[[nodiscard]] VkDeviceAddress buffer_address(const VulkanDevice &device, VkBuffer buffer);

// A device-local 2-D image with one mip level.
struct Image2d {
    VulkanHandle<VkDeviceMemory> memory;
    VulkanHandle<VkImage> image;
    VkFormat format = VK_FORMAT_UNDEFINED;
    std::uint32_t width = 0;
    std::uint32_t height = 0;
};

// Views of the image may use any of `view_formats`, when there are two or more.
[[nodiscard]] Result<Image2d> make_image(const VulkanDevice &device, std::uint32_t width,
                                         std::uint32_t height,
                                         std::span<const VkFormat> view_formats,
                                         VkImageUsageFlags usage);

[[nodiscard]] Result<VulkanHandle<VkImageView>> make_view(const VulkanDevice &device, VkImage image,
                                                          VkFormat format, VkImageUsageFlags usage);

} // namespace tessera
