// Memory that Vulkan allocates and whoever generates sees too. For another device or API: one
// dedicated allocation, handed over as an opaque file descriptor. A plain buffer: images would need
// layouts that the other side does not know, and a part of an allocation an offset that drivers got
// wrong. The descriptor may not be mapped with mmap; its layout is the driver's.
// For the same VkDevice: a buffer with an address, of the queue that draws and the one that
// computes.
#pragma once

#include "core/file_descriptor.hpp"
#include "vulkan/device.hpp"

#include <cstdint>

namespace tessera {

class SharedBuffer {
  public:
    // For other devices. Unsupported, with the reason, when this one cannot share memory.
    [[nodiscard]] static Result<SharedBuffer> create(const VulkanDevice &device,
                                                     VkDeviceSize size_bytes);
    // Whether it can, by the smallest piece.
    [[nodiscard]] static Result<void> can_export(const VulkanDevice &device);
    // For the device's own compute, VulkanDevice::for_compute().
    [[nodiscard]] static Result<SharedBuffer> create_here(const VulkanDevice &device,
                                                          VkDeviceSize size_bytes);

    // Each call opens another descriptor. A successful import takes it over; after a failed one it
    // is still the caller's.
    [[nodiscard]] Result<FileDescriptor> export_memory() const;

    [[nodiscard]] VkBuffer get() const { return buffer_.get(); }
    // Another device writes it: it changes hands.
    [[nodiscard]] bool is_foreign() const { return is_foreign_; }
    [[nodiscard]] VkDeviceSize size_bytes() const { return size_bytes_; }
    // Of the allocation, which is what an import has to name.
    [[nodiscard]] VkDeviceSize allocation_bytes() const { return allocation_bytes_; }
    [[nodiscard]] std::uint32_t memory_type() const { return memory_type_; }

  private:
    explicit SharedBuffer(const VulkanDevice &device) : device_(&device) {}

    const VulkanDevice *device_;
    VulkanHandle<VkDeviceMemory> memory_; // before the buffer: destroyed after it
    VulkanHandle<VkBuffer> buffer_;
    VkDeviceSize size_bytes_ = 0;
    VkDeviceSize allocation_bytes_ = 0;
    std::uint32_t memory_type_ = 0;
    bool is_foreign_ = true;
};

// The same memory on a second Vulkan device.
struct ImportedBuffer {
    VulkanHandle<VkDeviceMemory> memory;
    VulkanHandle<VkBuffer> buffer;
};
// Another VkDevice of the same physical device and driver.
[[nodiscard]] Result<ImportedBuffer> import_buffer(const VulkanDevice &device,
                                                   const SharedBuffer &shared);

} // namespace tessera
