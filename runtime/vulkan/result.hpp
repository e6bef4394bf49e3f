// VkResult as the runtime's Error: which call failed, and with what.
#pragma once

#include "core/result.hpp"
#include "vulkan/api.hpp"

#include <string_view>

namespace tessera {

[[nodiscard]] std::string_view vulkan_result_name(VkResult result);

// "vkCreateBuffer (65536 bytes for frame slot 2): out of device memory".
[[nodiscard]] Error vulkan_error(VkResult result, std::string_view what);

// Ok for every non-negative code that is not an error of the call (VK_SUBOPTIMAL_KHR and the like).
[[nodiscard]] inline Result<void> vulkan_check(VkResult result, std::string_view what) {
    if (result >= 0) return {};
    return vulkan_error(result, what);
}

} // namespace tessera
