// The engine of the scene demo: a Vulkan device of its own, an image with a layer for each
// material, and a compute shader (shaders/scene.comp) that casts rays into a courtyard. It knows
// nothing of Tessera but where it lets the library record.
#pragma once

#include "assets/image_file.hpp"
#include "vulkan/bindings.hpp"
#include "vulkan/commands.hpp"
#include "vulkan/device.hpp"
#include "vulkan/memory.hpp"

#include <array>
#include <functional>
#include <memory>

namespace tessera {

struct Camera {
    std::array<float, 3> eye{};
    std::array<float, 3> target{};
    float zoom = 0.6F; // tangent of half the field of view
    float seconds = 0;
};

// In the order of the shader's materials.
inline constexpr std::array<const char *, 9> kCourtyardMaterials = {
    "cobblestone", "brick", "marble", "wood", "stone_wall", "grass", "metal", "bark", "plaster"};

// What is drawn along the lower edge: the last frames, and how far each material is.
struct Gauges {
    static constexpr std::size_t kFrames = 120;

    std::array<float, 2 * kFrames>
        frames{}; // milliseconds, then pictures that came in; oldest first
    std::array<float, kCourtyardMaterials.size()> progress{}; // 0 to 1

    void note_frame(float milliseconds, std::uint32_t pictures);
};

class Courtyard {
  public:
    static constexpr std::uint32_t kSide = 256; // of a material, pixels
    static constexpr std::uint32_t kMips = 9;

    [[nodiscard]] static Result<std::unique_ptr<Courtyard>>
    create(VulkanDevice &device, std::uint32_t width, std::uint32_t height);

    // (kSide, kSide) of R8G8B8A8_SRGB with kMips levels and a layer for each material, read by
    // compute shaders.
    [[nodiscard]] VkImage materials() const { return image_.get(); }

    // One frame: what `record` adds goes before the drawing. Waits for the device.
    [[nodiscard]] Result<void> draw(const Camera &camera, const Gauges &gauges,
                                    std::uint32_t samples,
                                    const std::function<Result<void>(VkCommandBuffer)> &record);
    [[nodiscard]] Image picture() const; // the last frame

  private:
    explicit Courtyard(VulkanDevice &device) : device_(device) {}
    Result<void> make_materials();
    Result<void> make_buffers();
    Result<void> make_pipeline();

    VulkanDevice &device_;
    std::uint32_t width_ = 0, height_ = 0, frame_ = 0;
    VulkanHandle<VkDeviceMemory> memory_;
    VulkanHandle<VkImage> image_;
    VulkanHandle<VkImageView> view_;
    VulkanHandle<VkSampler> sampler_;
    MappedBuffer pixels_;
    MappedBuffer gauges_;
    ShaderBindings bindings_;
    VulkanHandle<VkPipeline> pipeline_;
    Commands commands_;
};

} // namespace tessera
