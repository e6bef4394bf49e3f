#include "vulkan/result.hpp"

namespace tessera {

std::string_view vulkan_result_name(VkResult result) {
    switch (result) {
    case VK_SUCCESS:
        return "success";
    case VK_NOT_READY:
        return "not ready";
    case VK_TIMEOUT:
        return "timeout";
    case VK_SUBOPTIMAL_KHR:
        return "suboptimal swapchain";
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return "out of host memory";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return "out of device memory";
    case VK_ERROR_INITIALIZATION_FAILED:
        return "initialization failed";
    case VK_ERROR_DEVICE_LOST:
        return "device lost";
    case VK_ERROR_MEMORY_MAP_FAILED:
        return "memory map failed";
    case VK_ERROR_LAYER_NOT_PRESENT:
        return "layer not present";
    case VK_ERROR_EXTENSION_NOT_PRESENT:
        return "extension not present";
    case VK_ERROR_FEATURE_NOT_PRESENT:
        return "feature not present";
    case VK_ERROR_INCOMPATIBLE_DRIVER:
        return "incompatible driver";
    case VK_ERROR_TOO_MANY_OBJECTS:
        return "too many objects";
    case VK_ERROR_FORMAT_NOT_SUPPORTED:
        return "format not supported";
    case VK_ERROR_FRAGMENTED_POOL:
        return "fragmented pool";
    case VK_ERROR_SURFACE_LOST_KHR:
        return "surface lost";
    case VK_ERROR_NATIVE_WINDOW_IN_USE_KHR:
        return "native window in use";
    case VK_ERROR_OUT_OF_DATE_KHR:
        return "swapchain out of date";
    default:
        return result < 0 ? "unknown Vulkan error" : "unknown Vulkan result";
    }
}

Error vulkan_error(VkResult result, std::string_view what) {
    const bool memory = result == VK_ERROR_OUT_OF_HOST_MEMORY ||
                        result == VK_ERROR_OUT_OF_DEVICE_MEMORY ||
                        result == VK_ERROR_FRAGMENTED_POOL;
    return make_error(memory ? Status::kOutOfMemory : Status::kFailed, "{}: {} ({})", what,
                      vulkan_result_name(result), static_cast<int>(result));
}

} // namespace tessera
