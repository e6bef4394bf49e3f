// Which of a machine's Vulkan devices is used: what there is, what a person wrote, and why not.
#pragma once

#include "core/result.hpp"
#include "vulkan/api.hpp"
#include "vulkan/requirements.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

// Names a physical device across APIs and processes: VkPhysicalDeviceIDProperties::deviceUUID, the
// same bytes as CUDA's.
using DeviceUuid = std::array<std::uint8_t, VK_UUID_SIZE>;
[[nodiscard]] std::string uuid_text(const DeviceUuid &uuid); // "3f2a...", 32 digits
[[nodiscard]] DeviceUuid device_uuid(VkPhysicalDevice device);

struct VulkanDeviceConfig {
    VkSurfaceKHR surface = VK_NULL_HANDLE; // must be presentable; null: headless
    std::optional<DeviceUuid> uuid;        // this one and no other
    // As a person says it: an index of list_devices(), a part of one device's name in any case, or
    // a UUID with or without hyphens. Empty: the fastest kind that fits.
    std::string wanted;
    // A queue for computing, of the lowest priority and apart from graphics where the device has
    // one, in place of a queue with graphics.
    bool computes = false;
};

struct VulkanDeviceInfo {
    std::uint32_t index = 0;
    std::string name;
    std::string kind; // "discrete GPU", "integrated GPU", "virtual GPU", "CPU", "other"
    DeviceUuid uuid{};
    std::string missing; // why Tessera cannot use it; empty: it can
};

// All devices of an instance, in the loader's order, and whether each one would do for `use`.
[[nodiscard]] Result<std::vector<VulkanDeviceInfo>>
list_devices(VkInstance instance, const VulkanDeviceConfig &use = {});

// Where a device computes best: apart from graphics, else next to it.
struct ComputeFamily {
    std::uint32_t family = 0;
    std::uint32_t queue_count = 0;
};
[[nodiscard]] std::optional<ComputeFamily> find_compute_family(VkPhysicalDevice device);
[[nodiscard]] bool can_compute(VkPhysicalDevice device, std::uint32_t family);
[[nodiscard]] bool can_draw(VkPhysicalDevice device, std::uint32_t family);

struct DeviceChoice {
    VkPhysicalDevice device = VK_NULL_HANDLE;
    std::uint32_t queue_family = 0; // with graphics, presentable to the surface; or for computing
    VulkanRequirements requirements;
};

// The device that the config asks for. Errors list the devices and why each one was not taken:
// NotFound when nothing has that name or there is no device, InvalidArgument when several have it.
[[nodiscard]] Result<DeviceChoice> choose_device(VkInstance instance,
                                                 const VulkanDeviceConfig &config);

} // namespace tessera
