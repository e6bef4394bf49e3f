// A render target without a window, read back to the host: screenshots, tests, scripted runs.
#pragma once

#include "assets/image_file.hpp"
#include "sandbox/view/renderer.hpp"
#include "vulkan/memory.hpp"

#include <memory>

namespace tessera {

class Offscreen {
  public:
    // RGBA or BGRA with 8 bits a channel, UNORM.
    [[nodiscard]] static Result<std::unique_ptr<Offscreen>>
    create(VulkanDevice &device, std::uint32_t width, std::uint32_t height, VkFormat format);

    [[nodiscard]] RenderTarget target() const;
    // Draws the scene, waits for it and returns the pixels as RGBA.
    [[nodiscard]] Result<Image> draw(Renderer &renderer, const Scene &scene);

  private:
    explicit Offscreen(VulkanDevice &device) : device_(device) {}
    void record_copy(VkCommandBuffer commands) const;

    VulkanDevice &device_;
    Image2d image_;
    VulkanHandle<VkImageView> view_;
    VulkanHandle<VkRenderPass> pass_;
    VulkanHandle<VkFramebuffer> framebuffer_;
    MappedBuffer pixels_;
};

[[nodiscard]] Result<VulkanHandle<VkFramebuffer>> make_framebuffer(const VulkanDevice &device,
                                                                   VkRenderPass pass,
                                                                   VkImageView view,
                                                                   VkExtent2D extent);

} // namespace tessera
