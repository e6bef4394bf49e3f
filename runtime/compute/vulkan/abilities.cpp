#include "compute/vulkan/abilities.hpp"

#include "vulkan/device_choice.hpp"
#include "vulkan/requirements.hpp"

#include <fmt/format.h>

namespace tessera::vulkan {
namespace {

bool computes_next_to_graphics(VkPhysicalDevice device) {
    const auto family = find_compute_family(device);
    std::uint32_t count = 0;
    vkGetPhysicalDeviceQueueFamilyProperties(device, &count, nullptr);
    return family && (count > 1 || family->queue_count > 1);
}

} // namespace

Abilities abilities_of(VkPhysicalDevice device) {
    VkPhysicalDeviceMaintenance3Properties sizes{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroups{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES, &sizes};
    VkPhysicalDeviceProperties2 properties{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                           &subgroups};
    vkGetPhysicalDeviceProperties2(device, &properties);
    VkPhysicalDeviceVulkan11Features features11{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES};
    VkPhysicalDeviceVulkan12Features features12{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, &features11};
    VkPhysicalDeviceFeatures2 features{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, &features12};
    vkGetPhysicalDeviceFeatures2(device, &features);
    VkPhysicalDeviceMemoryProperties memory;
    vkGetPhysicalDeviceMemoryProperties(device, &memory);

    Abilities abilities;
    abilities.name = properties.properties.deviceName;
    abilities.version = properties.properties.apiVersion;
    abilities.type = properties.properties.deviceType;
    const VkSubgroupFeatureFlags shuffles =
        VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    if ((subgroups.supportedOperations & shuffles) == shuffles &&
        (subgroups.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0)
        abilities.subgroup_size = subgroups.subgroupSize;
    abilities.half_floats = features12.shaderFloat16 && features11.storageBuffer16BitAccess;
    // The headers of Debian 12 do not know its name yet.
    abilities.matrices = has_device_extension(device, "VK_KHR_cooperative_matrix");
    abilities.own_queue = computes_next_to_graphics(device);
    abilities.budget = has_device_extension(device, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    for (std::uint32_t i = 0; i < memory.memoryTypeCount; ++i) {
        if ((memory.memoryTypes[i].propertyFlags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT) == 0)
            continue;
        abilities.heap = memory.memoryTypes[i].heapIndex;
        break;
    }
    abilities.heap_bytes = memory.memoryHeaps[abilities.heap].size;
    abilities.largest_bytes = sizes.maxMemoryAllocationSize;
    return abilities;
}

std::string Abilities::text() const {
    return fmt::format("Vulkan {}.{}, {} MiB, {}, {}, {}, {}", VK_API_VERSION_MAJOR(version),
                       VK_API_VERSION_MINOR(version), heap_bytes >> 20U,
                       subgroup_size != 0 ? fmt::format("subgroups of {}", subgroup_size)
                                          : std::string("no subgroups"),
                       half_floats ? "16-bit floats" : "no 16-bit floats",
                       matrices ? "cooperative matrices (not used)" : "no cooperative matrices",
                       own_queue ? "a queue next to graphics" : "one queue with graphics");
}

} // namespace tessera::vulkan
