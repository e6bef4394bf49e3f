// Frames in flight: command buffers, one submission per frame, and the release of ring slots.
// Draws a scene into a target; where the target comes from (swapchain.hpp, offscreen.hpp) is not
// its business.
#pragma once

#include "interop/ring/frame_ring.hpp"
#include "sandbox/view/view.hpp"
#include "vulkan/commands.hpp"
#include "vulkan/device.hpp"

#include <array>
#include <functional>
#include <memory>
#include <optional>

namespace tessera {

// What a frame is drawn into.
struct RenderTarget {
    VkRenderPass pass = VK_NULL_HANDLE;
    VkFramebuffer framebuffer = VK_NULL_HANDLE;
    VkExtent2D extent{};
};

// A picture next to the first one, drawn with the same look.
struct ScenePicture {
    View *view = nullptr;
    FrameRing *ring = nullptr; // nullptr: the view keeps its picture
    ViewRegion region;         // of the view
    ViewTransform transform;
};

// What is drawn, back to front.
struct Scene {
    View *view = nullptr;
    FrameRing *ring = nullptr; // nullptr: the view keeps its picture
    ViewRegion region;         // of the view
    ViewTransform *transform = nullptr;
    ViewLook look;
    std::optional<ScenePicture> pinned;
    std::function<void(VkCommandBuffer)> overlay; // inside the same pass; empty: none
};

// Semaphores round a submission that shows a window; null: none.
struct PresentSemaphores {
    VkSemaphore image_available = VK_NULL_HANDLE;
    VkSemaphore image_finished = VK_NULL_HANDLE;
};

class Renderer {
  public:
    [[nodiscard]] static Result<std::unique_ptr<Renderer>> create(VulkanDevice &device);
    ~Renderer();
    Renderer(const Renderer &) = delete;
    Renderer &operator=(const Renderer &) = delete;

    // A pass that clears its target and ends in `final_layout`. Passes of one
    // format are compatible with each other, whatever their final layout.
    [[nodiscard]] static Result<VulkanHandle<VkRenderPass>>
    make_pass(const VulkanDevice &device, VkFormat format, VkImageLayout final_layout);

    // Waits until fewer than kFramesInFlight submissions are under way. Returns which set of
    // per-frame objects is free: 0 to kFramesInFlight - 1.
    [[nodiscard]] Result<std::uint32_t> wait_for_slot();
    // Records and submits one frame; call wait_for_slot before. `after` is recorded after the pass.
    [[nodiscard]] Result<void> draw(const RenderTarget &target, const Scene &scene,
                                    const PresentSemaphores &semaphores,
                                    const std::function<void(VkCommandBuffer)> &after);
    // Records something else, submits it and waits for it.
    [[nodiscard]] Result<void> run_once(const std::function<void(VkCommandBuffer)> &record);
    // Blocks until everything that was submitted is done.
    [[nodiscard]] Result<void> finish();

  private:
    struct Frame {
        Commands commands;
        std::uint64_t submitted = 0; // value of done_ that ends its last submission
    };
    explicit Renderer(VulkanDevice &device) : device_(device) {}
    [[nodiscard]] Result<void> wait_for(std::uint64_t value);
    [[nodiscard]] Result<VkCommandBuffer> begin();
    // A frame of a ring that a submission reads, and then gives back.
    struct ReadFrame {
        FrameRing *ring = nullptr;
        RingFrame frame;
    };
    using ReadFrames = std::array<std::optional<ReadFrame>, 2>;
    // What was recorded since begin().
    [[nodiscard]] Result<void> submit(const PresentSemaphores &semaphores,
                                      const ReadFrames &frames);
    // Copies the newest frame of the ring, if there is one, into the view.
    [[nodiscard]] static Result<std::optional<ReadFrame>> update(VkCommandBuffer commands,
                                                                 View &view, FrameRing *ring);
    void record_pass(VkCommandBuffer commands, const RenderTarget &target, const Scene &scene);

    VulkanDevice &device_;
    std::array<Frame, kFramesInFlight> frames_;
    std::uint32_t current_ = 0;
    VulkanHandle<VkSemaphore> done_; // timeline: submissions finished
    std::uint64_t submitted_ = 0;
};

} // namespace tessera
