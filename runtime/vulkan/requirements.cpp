#include "vulkan/requirements.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace tessera {

bool has_device_extension(VkPhysicalDevice device, const char *extension) {
    std::uint32_t count = 0;
    vkEnumerateDeviceExtensionProperties(device, nullptr, &count, nullptr);
    std::vector<VkExtensionProperties> extensions(count);
    vkEnumerateDeviceExtensionProperties(device, nullptr, &count, extensions.data());
    return std::any_of(extensions.begin(), extensions.end(), [&](const VkExtensionProperties &e) {
        return std::string_view(e.extensionName) == extension;
    });
}

Result<VulkanRequirements> vulkan_requirements(VkPhysicalDevice device) {
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(device, &properties);
    if (properties.apiVersion < VK_API_VERSION_1_3) {
        return make_error(Status::kUnsupported, "Vulkan {}.{}, 1.3 is needed",
                          VK_API_VERSION_MAJOR(properties.apiVersion),
                          VK_API_VERSION_MINOR(properties.apiVersion));
    }
    VulkanRequirements has;
    has.features12.pNext = &has.features13;
    VkPhysicalDeviceFeatures2 features{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                       &has.features12};
    vkGetPhysicalDeviceFeatures2(device, &features);
    if (!has.features12.timelineSemaphore) {
        return make_error(Status::kUnsupported, "no timeline semaphores");
    }
    if (!has.features13.synchronization2) {
        return make_error(Status::kUnsupported, "no synchronization2");
    }
    VulkanRequirements needed;
    needed.features12.timelineSemaphore = VK_TRUE;
    needed.features13.synchronization2 = VK_TRUE;
    // Of the compute backend, which looks whether they are all there.
    needed.features12.bufferDeviceAddress = has.features12.bufferDeviceAddress;
    needed.features12.scalarBlockLayout = has.features12.scalarBlockLayout;
    needed.features12.shaderInt8 = has.features12.shaderInt8;
    needed.features12.storageBuffer8BitAccess = has.features12.storageBuffer8BitAccess;
    constexpr std::array kSharing{VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME,
                                  VK_KHR_EXTERNAL_SEMAPHORE_FD_EXTENSION_NAME};
    for (const char *extension : kSharing) {
        if (has_device_extension(device, extension)) needed.extensions.push_back(extension);
    }
    return needed;
}

std::string missing_for_compute(const VulkanRequirements &requirements) {
    if (!requirements.features12.bufferDeviceAddress) return "no buffer device addresses";
    if (!requirements.features12.scalarBlockLayout) return "no scalar block layout";
    if (!requirements.features12.shaderInt8 || !requirements.features12.storageBuffer8BitAccess)
        return "no storage of single bytes";
    return {};
}

} // namespace tessera
