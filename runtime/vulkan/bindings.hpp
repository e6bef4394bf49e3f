// What the shaders of one pipeline layout see: a descriptor set and a block of push constants.
#pragma once

#include "core/result.hpp"
#include "vulkan/device.hpp"

#include <cstdint>
#include <span>
#include <string>

namespace tessera {

[[nodiscard]] Result<VulkanHandle<VkShaderModule>> make_shader(const VulkanDevice &device,
                                                               std::span<const std::uint32_t> code,
                                                               const std::string &name);

// One set, with a pool of its own.
struct ShaderBindings {
    VulkanHandle<VkDescriptorSetLayout> set_layout;
    VulkanHandle<VkDescriptorPool> pool;
    VulkanHandle<VkPipelineLayout> layout;
    VkDescriptorSet set = VK_NULL_HANDLE;
    VkPushConstantRange constants{}; // from byte 0 on
};

[[nodiscard]] Result<ShaderBindings>
make_bindings(const VulkanDevice &device, std::span<const VkDescriptorSetLayoutBinding> bindings,
              const VkPushConstantRange &constants, const std::string &name);

// The set, and push constants of the size that the bindings were made for.
void record_bindings(const VulkanDevice &device, VkCommandBuffer commands,
                     VkPipelineBindPoint point, const ShaderBindings &bindings,
                     const void *constants);

} // namespace tessera
