// What Tessera needs of a Vulkan device, in one place: for devices that it makes itself and, as a
// query, for an application that makes its own (VulkanDevice::adopt).
#pragma once

#include "core/result.hpp"
#include "vulkan/api.hpp"

#include <string>
#include <vector>

namespace tessera {

// To be enabled at vkCreateDevice. An application adds its own extensions and features to these.
struct VulkanRequirements {
    // Those of sharing memory and timelines, where the device has them; none is a must.
    std::vector<const char *> extensions;
    // What is VK_TRUE in these is a must; their pNext is null.
    VkPhysicalDeviceVulkan12Features features12{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
    VkPhysicalDeviceVulkan13Features features13{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES};
};

// Whether Tessera can compute on a device made with these: what that takes is in
// vulkan_requirements wherever the device has it. Empty: it can; else what is missing.
[[nodiscard]] std::string missing_for_compute(const VulkanRequirements &requirements);

// The error says why the device cannot be used. Functions of its instance are loaded, which
// VulkanInstance::create and adopt see to.
[[nodiscard]] Result<VulkanRequirements> vulkan_requirements(VkPhysicalDevice device);

[[nodiscard]] bool has_device_extension(VkPhysicalDevice device, const char *extension);

} // namespace tessera
