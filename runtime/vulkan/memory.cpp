#include "vulkan/memory.hpp"

#include "vulkan/result.hpp"

#include <algorithm>
#include <optional>
#include <string>

namespace tessera {
namespace {

std::optional<std::uint32_t> find_memory_type(const VulkanDevice &device, std::uint32_t allowed,
                                              VkMemoryPropertyFlags wanted) {
    const VkPhysicalDeviceMemoryProperties &memory = device.memory();
    for (std::uint32_t i = 0; i < memory.memoryTypeCount; ++i) {
        const bool fits = (memory.memoryTypes[i].propertyFlags & wanted) == wanted;
        if ((allowed & (1U << i)) != 0 && fits) return i;
    }
    return std::nullopt;
}

Result<VulkanHandle<VkDeviceMemory>> allocate(const VulkanDevice &device,
                                              const VkMemoryRequirements &requirements,
                                              VkMemoryPropertyFlags wanted,
                                              VkMemoryPropertyFlags needed, const std::string &what,
                                              bool has_address = false) {
    auto type = find_memory_type(device, requirements.memoryTypeBits, wanted);
    if (!type) type = find_memory_type(device, requirements.memoryTypeBits, needed);
    if (!type) {
        return make_error(Status::kUnsupported, "{}: device {} has no fitting memory type", what,
                          device.properties().deviceName);
    }
    VkMemoryAllocateFlagsInfo flags{VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO};
    flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
    VkMemoryAllocateInfo info{VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO};
    info.pNext = has_address ? &flags : nullptr;
    info.allocationSize = requirements.size;
    info.memoryTypeIndex = *type;
    VkDeviceMemory memory = VK_NULL_HANDLE;
    const VkResult result = device.table().vkAllocateMemory(device.get(), &info, nullptr, &memory);
    if (result < 0) return vulkan_error(result, what);
    device.name(VK_OBJECT_TYPE_DEVICE_MEMORY, memory, what);
    return device.own(memory, device.table().vkFreeMemory);
}

} // namespace

namespace {

// A buffer in its own memory.
Result<DeviceBuffer> make_buffer(const VulkanDevice &device, VkDeviceSize size_bytes,
                                 VkBufferUsageFlags usage, VkMemoryPropertyFlags wanted,
                                 VkMemoryPropertyFlags needed,
                                 std::span<const std::uint32_t> families = {}) {
    const VolkDeviceTable &vk = device.table();
    const std::string what = fmt::format("buffer of {} bytes", size_bytes);
    VkBufferCreateInfo info{VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO};
    info.size = size_bytes;
    info.usage = usage;
    // Concurrent rather than handed over at each use: for buffers drivers make no difference.
    if (std::any_of(families.begin(), families.end(),
                    [&](std::uint32_t family) { return family != families.front(); })) {
        info.sharingMode = VK_SHARING_MODE_CONCURRENT;
        info.queueFamilyIndexCount = static_cast<std::uint32_t>(families.size());
        info.pQueueFamilyIndices = families.data();
    }
    VkBuffer buffer = VK_NULL_HANDLE;
    VkResult result = vk.vkCreateBuffer(device.get(), &info, nullptr, &buffer);
    if (result < 0) return vulkan_error(result, what);
    DeviceBuffer made;
    made.buffer = device.own(buffer, vk.vkDestroyBuffer);
    device.name(VK_OBJECT_TYPE_BUFFER, buffer, what); // until its owner gives a better one

    VkMemoryRequirements requirements;
    vk.vkGetBufferMemoryRequirements(device.get(), buffer, &requirements);
    const bool has_address = (usage & VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT) != 0;
    auto memory = allocate(device, requirements, wanted, needed, what, has_address);
    if (!memory) return memory.error();
    made.memory = std::move(*memory);
    result = vk.vkBindBufferMemory(device.get(), buffer, made.memory.get(), 0);
    if (result < 0) return vulkan_error(result, what);
    return made;
}

} // namespace

Result<MappedBuffer> make_mapped_buffer(const VulkanDevice &device, VkDeviceSize size_bytes,
                                        VkBufferUsageFlags usage, bool host_reads) {
    const VkMemoryPropertyFlags needed =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    VkMemoryPropertyFlags wanted = needed;
    if (host_reads) wanted |= VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    auto made = make_buffer(device, size_bytes, usage, wanted, needed);
    if (!made) return made.error();
    MappedBuffer mapped{std::move(made->memory), std::move(made->buffer), {}};
    void *data = nullptr;
    const VkResult result =
        device.table().vkMapMemory(device.get(), mapped.memory.get(), 0, VK_WHOLE_SIZE, 0, &data);
    if (result < 0) return vulkan_error(result, fmt::format("buffer of {} bytes", size_bytes));
    mapped.bytes = {static_cast<std::byte *>(data), static_cast<std::size_t>(size_bytes)};
    return mapped;
}

Result<DeviceBuffer> make_device_buffer(const VulkanDevice &device, VkDeviceSize size_bytes,
                                        VkBufferUsageFlags usage,
                                        std::span<const std::uint32_t> families) {
    return make_buffer(device, size_bytes, usage, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0, families);
}

VkDeviceAddress buffer_address(const VulkanDevice &device, VkBuffer buffer) {
    VkBufferDeviceAddressInfo info{VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO};
    info.buffer = buffer;
    return device.table().vkGetBufferDeviceAddress(device.get(), &info);
}

Result<Image2d> make_image(const VulkanDevice &device, std::uint32_t width, std::uint32_t height,
                           std::span<const VkFormat> view_formats, VkImageUsageFlags usage) {
    TESSERA_ASSERT(!view_formats.empty());
    const VolkDeviceTable &vk = device.table();
    const std::string what = fmt::format("image of {} x {} pixels", width, height);
    VkImageFormatListCreateInfo list{VK_STRUCTURE_TYPE_IMAGE_FORMAT_LIST_CREATE_INFO};
    list.viewFormatCount = static_cast<std::uint32_t>(view_formats.size());
    list.pViewFormats = view_formats.data();
    const bool is_mutable = view_formats.size() > 1;
    VkImageCreateInfo info{VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO};
    info.pNext = is_mutable ? &list : nullptr;
    if (is_mutable) info.flags = VK_IMAGE_CREATE_MUTABLE_FORMAT_BIT;
    info.imageType = VK_IMAGE_TYPE_2D;
    info.format = view_formats.front();
    info.extent = {width, height, 1};
    info.mipLevels = 1;
    info.arrayLayers = 1;
    info.samples = VK_SAMPLE_COUNT_1_BIT;
    info.tiling = VK_IMAGE_TILING_OPTIMAL;
    info.usage = usage;
    VkImage handle = VK_NULL_HANDLE;
    VkResult result = vk.vkCreateImage(device.get(), &info, nullptr, &handle);
    if (result < 0) return vulkan_error(result, what);
    Image2d image;
    image.image = device.own(handle, vk.vkDestroyImage);
    device.name(VK_OBJECT_TYPE_IMAGE, handle, what);
    image.format = info.format;
    image.width = width;
    image.height = height;

    VkMemoryRequirements requirements;
    vk.vkGetImageMemoryRequirements(device.get(), handle, &requirements);
    auto memory = allocate(device, requirements, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0, what);
    if (!memory) return memory.error();
    image.memory = std::move(*memory);
    result = vk.vkBindImageMemory(device.get(), handle, image.memory.get(), 0);
    if (result < 0) return vulkan_error(result, what);
    return image;
}

Result<VulkanHandle<VkImageView>> make_view(const VulkanDevice &device, VkImage image,
                                            VkFormat format, VkImageUsageFlags usage) {
    VkImageViewUsageCreateInfo view_usage{VK_STRUCTURE_TYPE_IMAGE_VIEW_USAGE_CREATE_INFO};
    view_usage.usage = usage;
    VkImageViewCreateInfo info{VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO, &view_usage};
    info.image = image;
    info.viewType = VK_IMAGE_VIEW_TYPE_2D;
    info.format = format;
    info.subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1};
    VkImageView view = VK_NULL_HANDLE;
    const VkResult result = device.table().vkCreateImageView(device.get(), &info, nullptr, &view);
    if (result < 0) return vulkan_error(result, "vkCreateImageView");
    return device.own(view, device.table().vkDestroyImageView);
}

} // namespace tessera
