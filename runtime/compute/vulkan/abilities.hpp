// What a Vulkan device offers a compute beyond what it needs.
#pragma once

#include "vulkan/api.hpp"

#include <cstdint>
#include <string>

namespace tessera::vulkan {

struct Abilities {
    std::string name;
    std::uint32_t version = 0; // VK_MAKE_API_VERSION
    VkPhysicalDeviceType type = VK_PHYSICAL_DEVICE_TYPE_OTHER;
    std::uint32_t subgroup_size = 0; // with shuffles; 0: without
    bool half_floats = false;        // 16-bit arithmetic and storage
    bool matrices = false;           // VK_KHR_cooperative_matrix
    bool own_queue = false;          // one that computes next to graphics
    bool budget = false;             // says how much memory is free
    std::uint32_t heap = 0;          // of its own memory
    std::uint64_t heap_bytes = 0;
    std::uint64_t largest_bytes = 0; // of an allocation

    // For people: "Vulkan 1.3, 7821 MiB, subgroups of 8, ...".
    [[nodiscard]] std::string text() const;
};

[[nodiscard]] Abilities abilities_of(VkPhysicalDevice device);

} // namespace tessera::vulkan
