// Draws the newest frame of a ring into a render pass: zoom, pan, filter, background.
// The frame is copied once into a private image: a sampler then does the filtering, also on devices
// where the ring's memory is across a bus, and the slot is free again after one submission.
// Knows no window and no panel.
#pragma once

#include "interop/ring/frame_ring.hpp"
#include "sandbox/view/view_transform.hpp"
#include "vulkan/bindings.hpp"
#include "vulkan/device.hpp"
#include "vulkan/memory.hpp"

#include <array>
#include <memory>
#include <optional>

namespace tessera {

struct Colour {
    float red = 0; // sRGB-encoded, like everything that reaches the target
    float green = 0;
    float blue = 0;
};

struct ViewLook {
    bool smooth = true; // false: exact pixels
    bool checker = false;
    int tiles = 1; // how often the picture is repeated along each side; odd
    Colour background{0.102F, 0.106F, 0.114F};
    Colour checker_colour{0.137F, 0.141F, 0.149F};
    float checker_size = 12;  // screen pixels
    float shadow_radius = 24; // screen pixels round the picture; 0: none
};

class View {
  public:
    // Draws into passes that are compatible with `pass`. The device outlives the view.
    [[nodiscard]] static Result<std::unique_ptr<View>> create(VulkanDevice &device,
                                                              VkRenderPass pass);

    // Records the copy of a new frame; outside a render pass, before every draw.
    [[nodiscard]] Result<void> update(VkCommandBuffer commands,
                                      const std::optional<RingFrame> &frame);
    // Records the drawing, inside a render pass. Only pixels of `region` are touched.
    void draw(VkCommandBuffer commands, VkExtent2D target, const ViewRegion &region,
              const ViewTransform &transform, const ViewLook &look) const;

    [[nodiscard]] bool has_picture() const { return info_.has_value(); }
    [[nodiscard]] std::uint32_t width() const { return picture_.width; }
    [[nodiscard]] std::uint32_t height() const { return picture_.height; }
    // Of the frame that is shown.
    [[nodiscard]] const std::optional<FrameInfo> &info() const { return info_; }

  private:
    explicit View(VulkanDevice &device) : device_(device) {}
    Result<void> make_layouts();
    Result<void> make_pipelines(VkRenderPass pass);
    Result<void> make_picture(std::uint32_t width, std::uint32_t height);
    void write_descriptors();

    VulkanDevice &device_;
    ShaderBindings bindings_;
    std::array<VulkanHandle<VkPipeline>, 6> pipelines_; // one per part of view.frag
    VulkanHandle<VkSampler> nearest_;
    VulkanHandle<VkSampler> linear_;
    VulkanHandle<VkSampler> wrapping_; // linear, round the edges

    Image2d picture_; // 1 x 1 until there is one
    VulkanHandle<VkImageView> exact_view_;
    VulkanHandle<VkImageView> smooth_view_;
    bool picture_is_new_ = true; // its contents and layout are undefined
    std::optional<FrameInfo> info_;
};

} // namespace tessera
