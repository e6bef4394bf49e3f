#include "vulkan/shared_buffer.hpp"

#include "vulkan/memory.hpp"
#include "vulkan/result.hpp"

#include <array>
#include <bit>
#include <string>

namespace tessera {
namespace {

constexpr VkExternalMemoryHandleTypeFlagBits kHandle = VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT;
constexpr VkBufferUsageFlags kUsage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                      VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                      VK_BUFFER_USAGE_TRANSFER_DST_BIT;

Result<void> check_support(const VulkanDevice &device, VkExternalMemoryFeatureFlags wanted) {
    const char *const name = device.properties().deviceName;
    if (device.table().vkGetMemoryFdKHR == nullptr) {
        return make_error(Status::kUnsupported, "device {} has no {}, or it is not enabled", name,
                          VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME);
    }
    VkPhysicalDeviceExternalBufferInfo info{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO};
    info.usage = kUsage;
    info.handleType = kHandle;
    VkExternalBufferProperties properties{VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES};
    vkGetPhysicalDeviceExternalBufferProperties(device.physical(), &info, &properties);
    const auto features = properties.externalMemoryProperties.externalMemoryFeatures;
    if ((features & wanted) == wanted) return {};
    return make_error(Status::kUnsupported,
                      "device {} cannot share buffers by file descriptor (features {:#x}, {:#x} "
                      "wanted)",
                      name, features, wanted);
}

// For shared memory, which is bound to it later.
Result<VulkanHandle<VkBuffer>> make_bare_buffer(const VulkanDevice &device,
                                                VkDeviceSize size_bytes) {
    VkExternalMemoryBufferCreateInfo external{VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO};
    external.handleTypes = kHandle;
    VkBufferCreateInfo info{VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, &external};
    info.size = size_bytes;
    info.usage = kUsage;
    info.sharingMode = VK_SHARING_MODE_EXCLUSIVE;
    VkBuffer buffer = VK_NULL_HANDLE;
    const VkResult result = device.table().vkCreateBuffer(device.get(), &info, nullptr, &buffer);
    if (result < 0) {
        return vulkan_error(result, fmt::format("shared buffer of {} bytes", size_bytes));
    }
    return device.own(buffer, device.table().vkDestroyBuffer);
}

// Device-local, else the first that fits.
std::uint32_t choose_memory_type(const VulkanDevice &device, std::uint32_t allowed) {
    const VkPhysicalDeviceMemoryProperties &memory = device.memory();
    for (std::uint32_t i = 0; i < memory.memoryTypeCount; ++i) {
        const auto flags = memory.memoryTypes[i].propertyFlags;
        const bool local = (flags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT) != 0;
        if (local && (allowed & (1U << i)) != 0) return i;
    }
    return static_cast<std::uint32_t>(std::countr_zero(allowed));
}

// Dedicated to the buffer, with `chained` saying whether it is exported or imported.
Result<VulkanHandle<VkDeviceMemory>> allocate(const VulkanDevice &device, VkBuffer buffer,
                                              VkDeviceSize size_bytes, std::uint32_t type,
                                              const void *chained) {
    VkMemoryDedicatedAllocateInfo dedicated{VK_STRUCTURE_TYPE_MEMORY_DEDICATED_ALLOCATE_INFO,
                                            chained};
    dedicated.buffer = buffer;
    VkMemoryAllocateInfo info{VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, &dedicated};
    info.allocationSize = size_bytes;
    info.memoryTypeIndex = type;
    VkDeviceMemory memory = VK_NULL_HANDLE;
    const VkResult result = device.table().vkAllocateMemory(device.get(), &info, nullptr, &memory);
    if (result < 0) {
        return vulkan_error(result, fmt::format("shared memory of {} bytes", size_bytes));
    }
    return device.own(memory, device.table().vkFreeMemory);
}

} // namespace

Result<SharedBuffer> SharedBuffer::create(const VulkanDevice &device, VkDeviceSize size_bytes) {
    if (auto can = check_support(device, VK_EXTERNAL_MEMORY_FEATURE_EXPORTABLE_BIT); !can) {
        return can.error();
    }
    SharedBuffer shared(device);
    auto buffer = make_bare_buffer(device, size_bytes);
    if (!buffer) return buffer.error();
    shared.buffer_ = std::move(*buffer);
    VkMemoryRequirements requirements;
    device.table().vkGetBufferMemoryRequirements(device.get(), shared.get(), &requirements);
    shared.size_ = {size_bytes, requirements.size,
                    choose_memory_type(device, requirements.memoryTypeBits)};

    VkExportMemoryAllocateInfo exported{VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO};
    exported.handleTypes = kHandle;
    auto memory =
        allocate(device, shared.get(), requirements.size, shared.size_.memory_type, &exported);
    if (!memory) return memory.error();
    shared.memory_ = std::move(*memory);
    const VkResult bound =
        device.table().vkBindBufferMemory(device.get(), shared.get(), shared.memory_.get(), 0);
    if (bound < 0) return vulkan_error(bound, "vkBindBufferMemory (shared)");
    device.name(VK_OBJECT_TYPE_BUFFER, shared.get(), "shared buffer");
    device.name(VK_OBJECT_TYPE_DEVICE_MEMORY, shared.memory_.get(), "shared buffer");
    return shared;
}

Result<void> SharedBuffer::can_export(const VulkanDevice &device) {
    constexpr VkDeviceSize kSmallest = 64 * 1024; // what every API maps on its own
    const auto probe = create(device, kSmallest);
    return probe ? Result<void>() : Result<void>(probe.error());
}

Result<SharedBuffer> SharedBuffer::create_here(const VulkanDevice &device,
                                               VkDeviceSize size_bytes) {
    const tessera_vulkan_device *const compute = device.for_compute();
    if (compute == nullptr) {
        return make_error(Status::kUnsupported, "device {} does not compute",
                          device.properties().deviceName);
    }
    const std::array families{device.queue_family(), compute->queue_family};
    auto made = make_device_buffer(device, size_bytes,
                                   kUsage | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT, families);
    if (!made) return made.error();
    SharedBuffer shared(device);
    shared.buffer_ = std::move(made->buffer);
    shared.memory_ = std::move(made->memory);
    shared.size_.bytes = size_bytes;
    shared.is_foreign_ = false;
    device.name(VK_OBJECT_TYPE_BUFFER, shared.get(), "buffer for frames");
    return shared;
}

Result<FileDescriptor> SharedBuffer::export_memory() const {
    VkMemoryGetFdInfoKHR info{VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR};
    info.memory = memory_.get();
    info.handleType = kHandle;
    int fd = -1;
    const VkResult result = device_->table().vkGetMemoryFdKHR(device_->get(), &info, &fd);
    if (result < 0) return vulkan_error(result, "vkGetMemoryFdKHR");
    return FileDescriptor(fd);
}

Result<ImportedBuffer> import_buffer(const VulkanDevice &device, FileDescriptor fd,
                                     const SharedBufferSize &size) {
    if (auto can = check_support(device, VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT); !can) {
        return can.error();
    }
    ImportedBuffer imported;
    auto buffer = make_bare_buffer(device, size.bytes);
    if (!buffer) return buffer.error();
    imported.buffer = std::move(*buffer);
    VkImportMemoryFdInfoKHR info{VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR};
    info.handleType = kHandle;
    info.fd = fd.get();
    auto memory =
        allocate(device, imported.buffer.get(), size.allocation_bytes, size.memory_type, &info);
    if (!memory) return memory.error();
    fd.release(); // the driver's now
    imported.memory = std::move(*memory);
    const VkResult bound = device.table().vkBindBufferMemory(device.get(), imported.buffer.get(),
                                                             imported.memory.get(), 0);
    if (bound < 0) return vulkan_error(bound, "vkBindBufferMemory (imported)");
    device.name(VK_OBJECT_TYPE_BUFFER, imported.buffer.get(), "imported buffer");
    device.name(VK_OBJECT_TYPE_DEVICE_MEMORY, imported.memory.get(), "imported buffer");
    return imported;
}

} // namespace tessera
