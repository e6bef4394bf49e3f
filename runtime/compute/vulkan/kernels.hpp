// The compute shaders of shaders/compute as pipelines, made when they are first used.
#pragma once

#include "core/result.hpp"
#include "vulkan/device.hpp"

#include <array>
#include <cstdint>
#include <map>

namespace tessera::vulkan {

constexpr std::uint32_t kThreads = 128; // of a group, in every kernel

// As the files are called.
enum class Shader {
    kAttention,
    kChoice,
    kDenoise,
    kDepthwise,
    kElementwise,
    kGroupNorm,
    kNorm,
    kNormal,
    kPixels,
    kProduct,
    kRows,
    kCount
};

// A shader with its specialization constants.
struct Kernel {
    Shader shader;
    std::array<std::uint32_t, 3> constants{};
    auto operator<=>(const Kernel &) const = default;
};

// What a launch pushes: KERNEL(Params) of shaders/compute/kernel.glsl.
struct Launch {
    VkDeviceAddress params;
    std::uint32_t first_group;
    std::uint32_t unused = 0;
};

class Kernels {
  public:
    // `subgroups`: threads are joined by subgroup operations, as shaders/compute/group.glsl says.
    [[nodiscard]] static Result<Kernels> create(const VulkanDevice &device, bool subgroups);

    // The first call of a kernel compiles it.
    [[nodiscard]] Result<VkPipeline> get(const Kernel &kernel);
    // Push constants: those of a Launch.
    [[nodiscard]] VkPipelineLayout layout() const { return layout_.get(); }

  private:
    [[nodiscard]] Result<VkShaderModule> module(Shader shader);

    const VulkanDevice *device_ = nullptr;
    bool subgroups_ = false;
    VulkanHandle<VkPipelineLayout> layout_;
    std::map<Shader, VulkanHandle<VkShaderModule>> modules_;
    std::map<Kernel, VulkanHandle<VkPipeline>> pipelines_;
};

} // namespace tessera::vulkan
