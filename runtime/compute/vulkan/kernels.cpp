#include "compute/vulkan/kernels.hpp"

#include "vulkan/bindings.hpp"
#include "vulkan/result.hpp"

#include <span>

namespace tessera::vulkan {
namespace {

constexpr std::uint32_t kAttention[] = {
#include <compute/attention.comp.inc>
};
constexpr std::uint32_t kChoice[] = {
#include <compute/choice.comp.inc>
};
constexpr std::uint32_t kDenoise[] = {
#include <compute/denoise.comp.inc>
};
constexpr std::uint32_t kDepthwise[] = {
#include <compute/depthwise.comp.inc>
};
constexpr std::uint32_t kElementwise[] = {
#include <compute/elementwise.comp.inc>
};
constexpr std::uint32_t kGroupNorm[] = {
#include <compute/group_norm.comp.inc>
};
constexpr std::uint32_t kNorm[] = {
#include <compute/norm.comp.inc>
};
constexpr std::uint32_t kNormal[] = {
#include <compute/normal.comp.inc>
};
constexpr std::uint32_t kPixels[] = {
#include <compute/pixels.comp.inc>
};
constexpr std::uint32_t kProduct[] = {
#include <compute/product.comp.inc>
};
constexpr std::uint32_t kRows[] = {
#include <compute/rows.comp.inc>
};
// With TESSERA_SUBGROUPS.
constexpr std::uint32_t kAttentionSubgroups[] = {
#include <compute/attention.subgroups.comp.inc>
};
constexpr std::uint32_t kChoiceSubgroups[] = {
#include <compute/choice.subgroups.comp.inc>
};
constexpr std::uint32_t kGroupNormSubgroups[] = {
#include <compute/group_norm.subgroups.comp.inc>
};
constexpr std::uint32_t kNormSubgroups[] = {
#include <compute/norm.subgroups.comp.inc>
};

struct Code {
    const char *name;
    std::span<const std::uint32_t> plain;
    std::span<const std::uint32_t> subgroups{}; // empty: it joins nothing
};

// In the order of Shader.
constexpr Code kCode[] = {
    {"attention", kAttention, kAttentionSubgroups},
    {"choice", kChoice, kChoiceSubgroups},
    {"denoise", kDenoise},
    {"depthwise", kDepthwise},
    {"elementwise", kElementwise},
    {"group_norm", kGroupNorm, kGroupNormSubgroups},
    {"norm", kNorm, kNormSubgroups},
    {"normal", kNormal},
    {"pixels", kPixels},
    {"product", kProduct},
    {"rows", kRows},
};
static_assert(std::size(kCode) == static_cast<std::size_t>(Shader::kCount));

const Code &code_of(Shader shader) { return kCode[static_cast<std::size_t>(shader)]; }

} // namespace

Result<Kernels> Kernels::create(const VulkanDevice &device, bool subgroups) {
    Kernels kernels;
    kernels.device_ = &device;
    kernels.subgroups_ = subgroups;
    const VkPushConstantRange constants{VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(Launch)};
    VkPipelineLayoutCreateInfo info{VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO};
    info.pushConstantRangeCount = 1;
    info.pPushConstantRanges = &constants;
    VkPipelineLayout layout = VK_NULL_HANDLE;
    const VkResult result =
        device.table().vkCreatePipelineLayout(device.get(), &info, nullptr, &layout);
    if (result < 0) return vulkan_error(result, "vkCreatePipelineLayout (compute)");
    kernels.layout_ = device.own(layout, device.table().vkDestroyPipelineLayout);
    return kernels;
}

Result<VkShaderModule> Kernels::module(Shader shader) {
    VulkanHandle<VkShaderModule> &made = modules_[shader];
    if (!made) {
        const Code &code = code_of(shader);
        const bool other = subgroups_ && !code.subgroups.empty();
        auto module = make_shader(*device_, other ? code.subgroups : code.plain, code.name);
        if (!module) return module.error();
        made = std::move(*module);
    }
    return made.get();
}

Result<VkPipeline> Kernels::get(const Kernel &kernel) {
    if (const auto found = pipelines_.find(kernel); found != pipelines_.end())
        return found->second.get();
    const auto module = this->module(kernel.shader);
    if (!module) return module.error();
    std::array<VkSpecializationMapEntry, 3> entries{};
    for (std::uint32_t i = 0; i < entries.size(); ++i)
        entries[i] = {i, i * std::uint32_t{sizeof(std::uint32_t)}, sizeof(std::uint32_t)};
    VkSpecializationInfo constants{};
    constants.mapEntryCount = entries.size();
    constants.pMapEntries = entries.data();
    constants.dataSize = sizeof kernel.constants;
    constants.pData = kernel.constants.data();
    VkComputePipelineCreateInfo info{VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO};
    info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
    info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
    info.stage.module = *module;
    info.stage.pName = "main";
    info.stage.pSpecializationInfo = &constants;
    info.layout = layout_.get();
    VkPipeline pipeline = VK_NULL_HANDLE;
    const VkResult result = device_->noted(device_->table().vkCreateComputePipelines(
        device_->get(), VK_NULL_HANDLE, 1, &info, nullptr, &pipeline));
    const char *const name = code_of(kernel.shader).name;
    if (result < 0) return vulkan_error(result, fmt::format("the kernel {}", name));
    device_->name(VK_OBJECT_TYPE_PIPELINE, pipeline, name);
    pipelines_[kernel] = device_->own(pipeline, device_->table().vkDestroyPipeline);
    return pipeline;
}

} // namespace tessera::vulkan
