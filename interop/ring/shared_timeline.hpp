// A timeline semaphore that a second device waits on or signals. Where the driver can share it, it
// is handed over as a file descriptor; elsewhere whoever writes to it signals it from the host.
// One writer each keeps the values monotonic.
#pragma once

#include "core/file_descriptor.hpp"
#include "vulkan/device.hpp"

#include <cstdint>
#include <string>

namespace tessera {

class SharedTimeline {
  public:
    // Ok, or why this device cannot hand timelines to another API.
    [[nodiscard]] static Result<void> can_export(const VulkanDevice &device);
    // Starts at 0; exportable where the device can.
    [[nodiscard]] static Result<SharedTimeline> create(const VulkanDevice &device,
                                                       const std::string &name);

    // Each call opens another descriptor. A successful import takes it over; after a failed one it
    // is still the caller's. To be imported as a timeline: as a plain semaphore it would be binary.
    [[nodiscard]] Result<FileDescriptor> export_timeline() const;

    [[nodiscard]] VkSemaphore get() const { return semaphore_.get(); }
    [[nodiscard]] Result<std::uint64_t> value() const {
        return device_->timeline_value(semaphore_.get());
    }
    // From the host, for a writer that the driver cannot share the semaphore with.
    [[nodiscard]] Result<void> signal(std::uint64_t value) const;
    // Until the value is reached; kBusy after the timeout.
    [[nodiscard]] Result<void> wait(std::uint64_t value, std::uint64_t timeout_ns) const;

  private:
    explicit SharedTimeline(const VulkanDevice &device) : device_(&device) {}

    const VulkanDevice *device_;
    VulkanHandle<VkSemaphore> semaphore_;
};

} // namespace tessera
