// Vulkan made to believe that timelines can be exported, which a software driver cannot, with every
// call of sharing counted and failing on demand.
#pragma once

#include "vulkan/device.hpp"

#include <cstdint>
#include <string>

namespace tessera {

// Replaces functions of the device, and of volk, as long as it lives. One at a time.
class FaultyVulkan {
  public:
    explicit FaultyVulkan(const VulkanDevice &device);
    ~FaultyVulkan();
    FaultyVulkan(const FaultyVulkan &) = delete;
    FaultyVulkan &operator=(const FaultyVulkan &) = delete;

    // Counts from 1 again; that call fails. 0: none does.
    void fail(std::uint64_t call);
    [[nodiscard]] std::uint64_t calls() const;
    [[nodiscard]] const std::string &failed() const; // its name

  private:
    VolkDeviceTable &table_;
    VolkDeviceTable saved_;
    PFN_vkGetPhysicalDeviceExternalSemaphoreProperties saved_properties_;
};

} // namespace tessera
