#include "vulkan/device_choice.hpp"

#include "vulkan/result.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string_view>
#include <tuple>

#include <fmt/ranges.h>

namespace tessera {
namespace {

// Kinds in the order of preference.
struct Kind {
    int rank; // smaller is better
    const char *name;
};

Kind kind_of(VkPhysicalDeviceType type) {
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return {0, "discrete GPU"};
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return {1, "integrated GPU"};
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return {2, "virtual GPU"};
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return {3, "CPU"};
    default:
        return {4, "other"};
    }
}

VkPhysicalDeviceProperties properties_of(VkPhysicalDevice device) {
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(device, &properties);
    return properties;
}

Result<std::vector<VkPhysicalDevice>> physical_devices(VkInstance instance) {
    std::uint32_t count = 0;
    auto counted = vulkan_check(vkEnumeratePhysicalDevices(instance, &count, nullptr),
                                "vkEnumeratePhysicalDevices");
    if (!counted) return counted.error();
    std::vector<VkPhysicalDevice> devices(count);
    vkEnumeratePhysicalDevices(instance, &count, devices.data());
    devices.resize(count);
    if (devices.empty()) {
        return make_error(Status::kNotFound, "no Vulkan device; install the GPU's driver or, for "
                                             "software rendering, mesa-vulkan-drivers");
    }
    return devices;
}

std::vector<VkQueueFamilyProperties> queue_families(VkPhysicalDevice device) {
    std::uint32_t count = 0;
    vkGetPhysicalDeviceQueueFamilyProperties(device, &count, nullptr);
    std::vector<VkQueueFamilyProperties> families(count);
    vkGetPhysicalDeviceQueueFamilyProperties(device, &count, families.data());
    return families;
}

std::optional<std::uint32_t> find_queue_family(VkPhysicalDevice device, VkSurfaceKHR surface) {
    const auto families = queue_families(device);
    for (std::uint32_t i = 0; i < families.size(); ++i) {
        if ((families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) == 0) continue;
        if (surface == VK_NULL_HANDLE) return i;
        VkBool32 can_present = VK_FALSE;
        vkGetPhysicalDeviceSurfaceSupportKHR(device, i, surface, &can_present);
        if (can_present == VK_TRUE) return i;
    }
    return std::nullopt;
}

bool has_flag(VkPhysicalDevice device, std::uint32_t family, VkQueueFlags flag) {
    const auto families = queue_families(device);
    return family < families.size() && (families[family].queueFlags & flag) != 0;
}

// The choice, or why the device cannot be used.
Result<DeviceChoice> examine(VkPhysicalDevice device, const VulkanDeviceConfig &config) {
    const VkSurfaceKHR surface = config.surface;
    auto requirements = vulkan_requirements(device);
    if (!requirements) return requirements.error();
    if (config.computes) {
        const std::string missing = missing_for_compute(*requirements);
        if (!missing.empty()) return make_error(Status::kUnsupported, "{}", missing);
        const auto family = find_compute_family(device);
        if (!family) return make_error(Status::kUnsupported, "no compute queue");
        return DeviceChoice{device, family->family, std::move(*requirements)};
    }
    const bool shows = surface != VK_NULL_HANDLE;
    if (shows && !has_device_extension(device, VK_KHR_SWAPCHAIN_EXTENSION_NAME)) {
        return make_error(Status::kUnsupported, "no {}", VK_KHR_SWAPCHAIN_EXTENSION_NAME);
    }
    if (shows) requirements->extensions.push_back(VK_KHR_SWAPCHAIN_EXTENSION_NAME);
    const auto family = find_queue_family(device, surface);
    if (!family) {
        return make_error(Status::kUnsupported, "no graphics queue{}",
                          shows ? " that can show this window" : "");
    }
    return DeviceChoice{device, *family, std::move(*requirements)};
}

std::string lower(std::string_view text) {
    std::string result(text);
    for (char &c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return result;
}

// Digits that are no index may still be a part of a name ("4090").
std::optional<std::size_t> index_in(std::string_view text, std::size_t device_count) {
    std::size_t value = 0;
    const char *const end = text.data() + text.size();
    const auto [stop, problem] = std::from_chars(text.data(), end, value);
    if (problem != std::errc() || stop != end || value >= device_count) return std::nullopt;
    return value;
}

bool is_uuid(std::string_view text, const DeviceUuid &uuid) {
    std::string digits = lower(text);
    std::erase(digits, '-');
    return digits == uuid_text(uuid);
}

bool is_called(const VulkanDeviceInfo &info, std::string_view wanted, std::size_t device_count) {
    if (wanted.empty() || is_uuid(wanted, info.uuid)) return true;
    if (const auto index = index_in(wanted, device_count)) return *index == info.index;
    return lower(info.name).find(lower(wanted)) != std::string::npos;
}

// "0: NAME (discrete GPU, UUID ...); 1: ..."
std::string text_of(const std::vector<VulkanDeviceInfo> &devices) {
    std::string text;
    for (const VulkanDeviceInfo &device : devices) {
        text += fmt::format("{}{}: {} ({}, UUID {}{}{})", text.empty() ? "" : "; ", device.index,
                            device.name, device.kind, uuid_text(device.uuid),
                            device.missing.empty() ? "" : "; ", device.missing);
    }
    return text;
}

VulkanDeviceInfo describe(VkPhysicalDevice device, std::uint32_t index) {
    const VkPhysicalDeviceProperties properties = properties_of(device);
    return {
        index, properties.deviceName, kind_of(properties.deviceType).name, device_uuid(device), {}};
}

} // namespace

std::optional<ComputeFamily> find_compute_family(VkPhysicalDevice device) {
    const auto families = queue_families(device);
    std::optional<ComputeFamily> found;
    for (std::uint32_t i = 0; i < families.size(); ++i) {
        if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) == 0) continue;
        const bool is_apart = (families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) == 0;
        if (is_apart || !found) found = {i, families[i].queueCount};
        if (is_apart) break;
    }
    return found;
}

bool can_compute(VkPhysicalDevice device, std::uint32_t family) {
    return has_flag(device, family, VK_QUEUE_COMPUTE_BIT);
}

bool can_draw(VkPhysicalDevice device, std::uint32_t family) {
    return has_flag(device, family, VK_QUEUE_GRAPHICS_BIT);
}

std::string uuid_text(const DeviceUuid &uuid) { return fmt::format("{:02x}", fmt::join(uuid, "")); }

DeviceUuid device_uuid(VkPhysicalDevice device) {
    VkPhysicalDeviceIDProperties id{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES};
    VkPhysicalDeviceProperties2 properties{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &id};
    vkGetPhysicalDeviceProperties2(device, &properties);
    DeviceUuid uuid{};
    std::copy(std::begin(id.deviceUUID), std::end(id.deviceUUID), uuid.begin());
    return uuid;
}

Result<std::vector<VulkanDeviceInfo>> list_devices(VkInstance instance,
                                                   const VulkanDeviceConfig &use) {
    const auto devices = physical_devices(instance);
    if (!devices) return devices.error();
    std::vector<VulkanDeviceInfo> infos;
    for (const VkPhysicalDevice device : *devices) {
        infos.push_back(describe(device, static_cast<std::uint32_t>(infos.size())));
        const auto usable = examine(device, use);
        if (!usable) infos.back().missing = usable.error().message;
    }
    return infos;
}

Result<DeviceChoice> choose_device(VkInstance instance, const VulkanDeviceConfig &config) {
    const auto devices = physical_devices(instance);
    if (!devices) return devices.error();

    std::vector<VulkanDeviceInfo> all;
    std::vector<VulkanDeviceInfo> called; // as the config wants
    std::optional<DeviceChoice> best;
    int best_rank = 0;
    for (const VkPhysicalDevice device : *devices) {
        VulkanDeviceInfo &info =
            all.emplace_back(describe(device, static_cast<std::uint32_t>(all.size())));
        if (!is_called(info, config.wanted, devices->size())) continue;
        auto choice = examine(device, config);
        if (!choice) {
            info.missing = choice.error().message;
        } else if (config.uuid && *config.uuid != info.uuid) {
            info.missing = fmt::format("not {}", uuid_text(*config.uuid));
        } else if (const int rank = kind_of(properties_of(device).deviceType).rank;
                   !best || rank < best_rank) {
            std::tie(best, best_rank) = std::tuple(std::move(*choice), rank);
        }
        called.push_back(info);
    }
    if (called.empty()) {
        return make_error(Status::kNotFound,
                          "Vulkan device '{}': expected an index, a part of a name or a UUID of "
                          "these: {}",
                          config.wanted, text_of(all));
    }
    if (!config.wanted.empty() && called.size() > 1) {
        return make_error(Status::kInvalidArgument,
                          "Vulkan device '{}': several have that name, give an index or a UUID: {}",
                          config.wanted, text_of(called));
    }
    if (best) return std::move(*best);
    return make_error(Status::kUnsupported, "no usable Vulkan device: {}", text_of(called));
}

} // namespace tessera
