// The images of a window: acquire, present, and what to do when they no longer fit.
#pragma once

#include "sandbox/view/renderer.hpp"

#include <memory>
#include <variant>
#include <vector>

namespace tessera {

class Swapchain {
  public:
    // UNORM colours: what is drawn is sRGB-encoded already. The surface outlives the swapchain.
    [[nodiscard]] static Result<std::unique_ptr<Swapchain>>
    create(VulkanDevice &device, VkSurfaceKHR surface, VkExtent2D extent);
    ~Swapchain();
    Swapchain(const Swapchain &) = delete;
    Swapchain &operator=(const Swapchain &) = delete;

    struct Acquired {
        RenderTarget target;
        PresentSemaphores semaphores;
        std::uint32_t index = 0;
    };
    // Why there was no image: `kHidden`, the system hands out none now (a hidden window on
    // Wayland), which is no reason to rebuild; `kOutdated`, the images no longer fit.
    enum class Missed { kHidden, kOutdated };
    // `slot` from Renderer::wait_for_slot. Waits a tenth of a second at most.
    [[nodiscard]] Result<std::variant<Acquired, Missed>> acquire(std::uint32_t slot);
    // False: the images no longer fit.
    [[nodiscard]] Result<bool> present(const Acquired &acquired);
    // New images, for the window's size now. Waits for the device.
    [[nodiscard]] Result<void> rebuild(VkExtent2D extent);

    [[nodiscard]] VkFormat format() const { return format_.format; }
    [[nodiscard]] VkRenderPass pass() const { return pass_.get(); }
    [[nodiscard]] VkExtent2D extent() const { return extent_; }
    [[nodiscard]] std::uint32_t image_count() const {
        return static_cast<std::uint32_t>(images_.size());
    }

  private:
    struct Image {
        VulkanHandle<VkImageView> view;
        VulkanHandle<VkFramebuffer> framebuffer;
        VulkanHandle<VkSemaphore> finished;
    };
    Swapchain(VulkanDevice &device, VkSurfaceKHR surface) : device_(device), surface_(surface) {}
    Result<void> choose_format();
    Result<void> make_images();

    VulkanDevice &device_;
    VkSurfaceKHR surface_;
    VkSurfaceFormatKHR format_{};
    VkExtent2D extent_{};
    VulkanHandle<VkRenderPass> pass_;
    std::array<VulkanHandle<VkSemaphore>, kFramesInFlight> available_;
    VkSwapchainKHR swapchain_ = VK_NULL_HANDLE;
    std::vector<Image> images_;
};

} // namespace tessera
