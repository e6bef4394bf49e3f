#include "interop/vulkan_device.hpp"

#include "core/log.hpp"
#include "interop/vulkan_result.hpp"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

namespace tessera {
namespace {

struct Candidate {
    VkPhysicalDevice device = VK_NULL_HANDLE;
    std::uint32_t queue_family = 0;
    int rank = 0; // smaller is better
};

int rank_of(VkPhysicalDeviceType type) {
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return 0;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return 1;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return 2;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return 3;
    default:
        return 4;
    }
}

bool has_swapchain(VkPhysicalDevice device) {
    std::uint32_t count = 0;
    vkEnumerateDeviceExtensionProperties(device, nullptr, &count, nullptr);
    std::vector<VkExtensionProperties> extensions(count);
    vkEnumerateDeviceExtensionProperties(device, nullptr, &count, extensions.data());
    return std::any_of(extensions.begin(), extensions.end(), [](const VkExtensionProperties &e) {
        return std::string_view(e.extensionName) == VK_KHR_SWAPCHAIN_EXTENSION_NAME;
    });
}

std::optional<std::uint32_t> find_queue_family(VkPhysicalDevice device, VkSurfaceKHR surface) {
    std::uint32_t count = 0;
    vkGetPhysicalDeviceQueueFamilyProperties(device, &count, nullptr);
    std::vector<VkQueueFamilyProperties> families(count);
    vkGetPhysicalDeviceQueueFamilyProperties(device, &count, families.data());
    for (std::uint32_t i = 0; i < count; ++i) {
        if ((families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) == 0) continue;
        if (surface == VK_NULL_HANDLE) return i;
        VkBool32 can_present = VK_FALSE;
        vkGetPhysicalDeviceSurfaceSupportKHR(device, i, surface, &can_present);
        if (can_present == VK_TRUE) return i;
    }
    return std::nullopt;
}

// The candidate, or why the device cannot be used.
Result<Candidate> examine(VkPhysicalDevice device, const VkPhysicalDeviceProperties &properties,
                          VkSurfaceKHR surface) {
    if (properties.apiVersion < VK_API_VERSION_1_3) {
        return make_error(Status::kUnsupported, "Vulkan {}.{}, 1.3 is needed",
                          VK_API_VERSION_MAJOR(properties.apiVersion),
                          VK_API_VERSION_MINOR(properties.apiVersion));
    }
    VkPhysicalDeviceVulkan13Features features13{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES};
    VkPhysicalDeviceVulkan12Features features12{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, &features13};
    VkPhysicalDeviceFeatures2 features{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, &features12};
    vkGetPhysicalDeviceFeatures2(device, &features);
    if (!features12.timelineSemaphore) {
        return make_error(Status::kUnsupported, "no timeline semaphores");
    }
    if (!features13.synchronization2) {
        return make_error(Status::kUnsupported, "no synchronization2");
    }
    if (surface != VK_NULL_HANDLE && !has_swapchain(device)) {
        return make_error(Status::kUnsupported, "no {}", VK_KHR_SWAPCHAIN_EXTENSION_NAME);
    }
    const auto family = find_queue_family(device, surface);
    if (!family) {
        return make_error(Status::kUnsupported, "no graphics queue{}",
                          surface == VK_NULL_HANDLE ? "" : " that can show this window");
    }
    return Candidate{device, *family, rank_of(properties.deviceType)};
}

Result<Candidate> choose(VkInstance instance, VkSurfaceKHR surface) {
    std::uint32_t count = 0;
    auto counted = vulkan_check(vkEnumeratePhysicalDevices(instance, &count, nullptr),
                                "vkEnumeratePhysicalDevices");
    if (!counted) return counted.error();
    std::vector<VkPhysicalDevice> devices(count);
    vkEnumeratePhysicalDevices(instance, &count, devices.data());
    devices.resize(count);

    std::optional<Candidate> best;
    std::string reasons;
    for (std::size_t i = 0; i < devices.size(); ++i) {
        VkPhysicalDeviceProperties properties;
        vkGetPhysicalDeviceProperties(devices[i], &properties);
        const auto candidate = examine(devices[i], properties, surface);
        if (!candidate) {
            reasons += fmt::format("{}device {} ({}): {}", reasons.empty() ? "" : "; ", i,
                                   properties.deviceName, candidate.error().message);
        } else if (!best || candidate->rank < best->rank) {
            best = *candidate;
        }
    }
    if (best) return *best;
    if (devices.empty()) {
        return make_error(Status::kNotFound, "no Vulkan device; install the GPU's driver or, for "
                                             "software rendering, mesa-vulkan-drivers");
    }
    return make_error(Status::kUnsupported, "no usable Vulkan device: {}", reasons);
}

} // namespace

Result<std::unique_ptr<VulkanDevice>> VulkanDevice::create(const VulkanInstance &instance,
                                                           const VulkanDeviceConfig &config) {
    auto device = std::unique_ptr<VulkanDevice>(new VulkanDevice);
    device->instance_ = instance.get();
    device->debug_names_ = instance.validation();
    const auto opened = device->open(config);
    if (!opened) return opened.error();
    return device;
}

Result<void> VulkanDevice::open(const VulkanDeviceConfig &config) {
    const auto chosen = choose(instance_, config.surface);
    if (!chosen) return chosen.error();
    physical_ = chosen->device;
    queue_family_ = chosen->queue_family;
    vkGetPhysicalDeviceProperties(physical_, &properties_);
    vkGetPhysicalDeviceMemoryProperties(physical_, &memory_);

    const float priority = 1.0F;
    VkDeviceQueueCreateInfo queue{VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
    queue.queueFamilyIndex = queue_family_;
    queue.queueCount = 1;
    queue.pQueuePriorities = &priority;

    VkPhysicalDeviceVulkan13Features features13{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES};
    features13.synchronization2 = VK_TRUE;
    VkPhysicalDeviceVulkan12Features features12{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, &features13};
    features12.timelineSemaphore = VK_TRUE;

    const char *swapchain = VK_KHR_SWAPCHAIN_EXTENSION_NAME;
    VkDeviceCreateInfo info{VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, &features12};
    info.queueCreateInfoCount = 1;
    info.pQueueCreateInfos = &queue;
    info.enabledExtensionCount = config.surface == VK_NULL_HANDLE ? 0 : 1;
    info.ppEnabledExtensionNames = &swapchain;
    auto made = vulkan_check(vkCreateDevice(physical_, &info, nullptr, &device_), "vkCreateDevice");
    if (!made) {
        device_ = VK_NULL_HANDLE;
        return made;
    }
    volkLoadDeviceTable(&table_, device_);
    table_.vkGetDeviceQueue(device_, queue_family_, 0, &queue_);
    log::info("vulkan", "using {}", properties_.deviceName);
    return {};
}

VulkanDevice::~VulkanDevice() {
    if (device_ == VK_NULL_HANDLE) return;
    table_.vkDeviceWaitIdle(device_);
    table_.vkDestroyDevice(device_, nullptr);
}

Result<void> VulkanDevice::submit(const VkSubmitInfo2 &info, VkFence fence) {
    const std::lock_guard lock(queue_mutex_);
    return vulkan_check(table_.vkQueueSubmit2(queue_, 1, &info, fence), "vkQueueSubmit2");
}

VkResult VulkanDevice::present(const VkPresentInfoKHR &info) {
    const std::lock_guard lock(queue_mutex_);
    return table_.vkQueuePresentKHR(queue_, &info);
}

Result<void> VulkanDevice::wait_idle() {
    const std::lock_guard lock(queue_mutex_);
    return vulkan_check(table_.vkDeviceWaitIdle(device_), "vkDeviceWaitIdle");
}

Result<VulkanHandle<VkSemaphore>> VulkanDevice::make_timeline(std::uint64_t initial) const {
    VkSemaphoreTypeCreateInfo type{VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO};
    type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
    type.initialValue = initial;
    const VkSemaphoreCreateInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, &type};
    VkSemaphore semaphore = VK_NULL_HANDLE;
    const VkResult result = table_.vkCreateSemaphore(device_, &info, nullptr, &semaphore);
    if (result < 0) return vulkan_error(result, "vkCreateSemaphore (timeline)");
    return own(semaphore, table_.vkDestroySemaphore);
}

Result<VulkanHandle<VkSemaphore>> VulkanDevice::make_semaphore() const {
    const VkSemaphoreCreateInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO};
    VkSemaphore semaphore = VK_NULL_HANDLE;
    const VkResult result = table_.vkCreateSemaphore(device_, &info, nullptr, &semaphore);
    if (result < 0) return vulkan_error(result, "vkCreateSemaphore");
    return own(semaphore, table_.vkDestroySemaphore);
}

Result<std::uint64_t> VulkanDevice::timeline_value(VkSemaphore timeline) const {
    std::uint64_t value = 0;
    const VkResult result = table_.vkGetSemaphoreCounterValue(device_, timeline, &value);
    if (result < 0) return vulkan_error(result, "vkGetSemaphoreCounterValue");
    return value;
}

void VulkanDevice::name(VkObjectType type, std::uint64_t handle, const std::string &text) const {
    if (!debug_names_ || vkSetDebugUtilsObjectNameEXT == nullptr) return;
    VkDebugUtilsObjectNameInfoEXT info{VK_STRUCTURE_TYPE_DEBUG_UTILS_OBJECT_NAME_INFO_EXT};
    info.objectType = type;
    info.objectHandle = handle;
    info.pObjectName = text.c_str();
    vkSetDebugUtilsObjectNameEXT(device_, &info);
}

} // namespace tessera
