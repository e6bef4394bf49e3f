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

// What an import has to know.
struct SharedBufferSize {
    VkDeviceSize bytes = 0;
    VkDeviceSize allocation_bytes = 0;
    std::uint32_t memory_type = 0;
};

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
    [[nodiscard]] const SharedBufferSize &size() const { return size_; }

  private:
    explicit SharedBuffer(const VulkanDevice &device) : device_(&device) {}

    const VulkanDevice *device_;
    VulkanHandle<VkDeviceMemory> memory_; // before the buffer: destroyed after it
    VulkanHandle<VkBuffer> buffer_;
    SharedBufferSize size_;
    bool is_foreign_ = true;
};

// The same memory on a second Vulkan device.
struct ImportedBuffer {
    VulkanHandle<VkDeviceMemory> memory;
    VulkanHandle<VkBuffer> buffer;
};
// Another VkDevice of the same physical device and driver, which takes the descriptor over.
[[nodiscard]] Result<ImportedBuffer> import_buffer(const VulkanDevice &device, FileDescriptor fd,
                                                   const SharedBufferSize &size);

} // namespace tessera
