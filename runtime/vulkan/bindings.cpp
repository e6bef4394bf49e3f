#include "vulkan/bindings.hpp"

#include "vulkan/result.hpp"

#include <vector>

namespace tessera {
namespace {

Result<void> make_set(const VulkanDevice &device,
                      std::span<const VkDescriptorSetLayoutBinding> bindings,
                      const std::string &name, ShaderBindings &made) {
    const VolkDeviceTable &vk = device.table();
    VkDescriptorSetLayoutCreateInfo layout_info{
        VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO};
    layout_info.bindingCount = static_cast<std::uint32_t>(bindings.size());
    layout_info.pBindings = bindings.data();
    VkDescriptorSetLayout layout = VK_NULL_HANDLE;
    VkResult result = vk.vkCreateDescriptorSetLayout(device.get(), &layout_info, nullptr, &layout);
    if (result < 0)
        return vulkan_error(result, fmt::format("vkCreateDescriptorSetLayout ({})", name));
    made.set_layout = device.own(layout, vk.vkDestroyDescriptorSetLayout);
    device.name(VK_OBJECT_TYPE_DESCRIPTOR_SET_LAYOUT, layout, name);

    std::vector<VkDescriptorPoolSize> sizes;
    sizes.reserve(bindings.size());
    for (const VkDescriptorSetLayoutBinding &binding : bindings) {
        sizes.push_back({binding.descriptorType, binding.descriptorCount});
    }
    VkDescriptorPoolCreateInfo pool_info{VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO};
    pool_info.maxSets = 1;
    pool_info.poolSizeCount = static_cast<std::uint32_t>(sizes.size());
    pool_info.pPoolSizes = sizes.data();
    VkDescriptorPool pool = VK_NULL_HANDLE;
    result = vk.vkCreateDescriptorPool(device.get(), &pool_info, nullptr, &pool);
    if (result < 0) return vulkan_error(result, fmt::format("vkCreateDescriptorPool ({})", name));
    made.pool = device.own(pool, vk.vkDestroyDescriptorPool);
    device.name(VK_OBJECT_TYPE_DESCRIPTOR_POOL, pool, name);

    VkDescriptorSetAllocateInfo allocation{VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO};
    allocation.descriptorPool = pool;
    allocation.descriptorSetCount = 1;
    allocation.pSetLayouts = made.set_layout.address();
    result = vk.vkAllocateDescriptorSets(device.get(), &allocation, &made.set);
    if (result < 0) return vulkan_error(result, fmt::format("vkAllocateDescriptorSets ({})", name));
    device.name(VK_OBJECT_TYPE_DESCRIPTOR_SET, made.set, name);
    return {};
}

} // namespace

Result<VulkanHandle<VkShaderModule>> make_shader(const VulkanDevice &device,
                                                 std::span<const std::uint32_t> code,
                                                 const std::string &name) {
    VkShaderModuleCreateInfo info{VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO};
    info.codeSize = code.size_bytes();
    info.pCode = code.data();
    VkShaderModule shader = VK_NULL_HANDLE;
    const VkResult result =
        device.table().vkCreateShaderModule(device.get(), &info, nullptr, &shader);
    if (result < 0) return vulkan_error(result, fmt::format("vkCreateShaderModule ({})", name));
    return device.own(shader, device.table().vkDestroyShaderModule);
}

Result<ShaderBindings> make_bindings(const VulkanDevice &device,
                                     std::span<const VkDescriptorSetLayoutBinding> bindings,
                                     const VkPushConstantRange &constants,
                                     const std::string &name) {
    ShaderBindings made;
    if (auto set = make_set(device, bindings, name, made); !set) return set.error();
    made.constants = constants;
    VkPipelineLayoutCreateInfo info{VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO};
    info.setLayoutCount = 1;
    info.pSetLayouts = made.set_layout.address();
    info.pushConstantRangeCount = 1;
    info.pPushConstantRanges = &made.constants;
    VkPipelineLayout layout = VK_NULL_HANDLE;
    const VkResult result =
        device.table().vkCreatePipelineLayout(device.get(), &info, nullptr, &layout);
    if (result < 0) return vulkan_error(result, fmt::format("vkCreatePipelineLayout ({})", name));
    made.layout = device.own(layout, device.table().vkDestroyPipelineLayout);
    device.name(VK_OBJECT_TYPE_PIPELINE_LAYOUT, layout, name);
    return made;
}

void record_bindings(const VulkanDevice &device, VkCommandBuffer commands,
                     VkPipelineBindPoint point, const ShaderBindings &bindings,
                     const void *constants) {
    const VolkDeviceTable &vk = device.table();
    vk.vkCmdBindDescriptorSets(commands, point, bindings.layout.get(), 0, 1, &bindings.set, 0,
                               nullptr);
    vk.vkCmdPushConstants(commands, bindings.layout.get(), bindings.constants.stageFlags, 0,
                          bindings.constants.size, constants);
}

} // namespace tessera
