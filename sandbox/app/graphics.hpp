// What the sandbox has on one Vulkan device, from the swapchain to the user interface. When the
// device is lost all of it goes, and a new one comes in its place: nothing here is worth keeping.
#pragma once

#include "interop/ring/live_ring.hpp"
#include "sandbox/app/imgui_layer.hpp"
#include "sandbox/app/swapchain.hpp"
#include "sandbox/app/window.hpp"
#include "sandbox/view/offscreen.hpp"
#include "sandbox/view/pane.hpp"

#include <memory>
#include <string>

namespace tessera {

struct GraphicsConfig {
    const VulkanInstance *instance = nullptr; // outlives the graphics, as does the window
    const Window *window = nullptr;           // nullptr: an offscreen target of this size
    VkSurfaceKHR surface = VK_NULL_HANDLE;    // of the window
    std::string device;                       // as VulkanDeviceConfig::wanted
    VkExtent2D extent{};
    float scale = 1; // of the user interface
    MakeWriter make_writer;
};

class Graphics {
  public:
    // Main thread, as is everything but the end of what leave_window() left.
    [[nodiscard]] static Result<std::shared_ptr<Graphics>> create(const GraphicsConfig &config);
    ~Graphics();
    Graphics(const Graphics &) = delete;
    Graphics &operator=(const Graphics &) = delete;

    // The user interface in another size.
    [[nodiscard]] Result<void> rescale(float scale);
    [[nodiscard]] Result<void> open_swapchain(VkSurfaceKHR surface);
    // All goes but device and ring, which a generator may still write to.
    void leave_window();

    [[nodiscard]] VkExtent2D extent() const;
    [[nodiscard]] VkFormat format() const;

    // In the order of construction; destroyed from the end. Each needs some of those above it.
    std::unique_ptr<VulkanDevice> device;
    std::unique_ptr<LiveRing> ring; // what the generator makes
    std::unique_ptr<Renderer> renderer;
    std::unique_ptr<Swapchain> swapchain; // with a window; else
    std::unique_ptr<Offscreen> offscreen;
    std::unique_ptr<Pane> pane;
    std::unique_ptr<Pane> pinned; // the pinned run
    std::unique_ptr<ImGuiLayer> interface;

  private:
    explicit Graphics(const Window *window) : window_(window) {}
    [[nodiscard]] VkRenderPass pass() const;

    const Window *window_;
};

} // namespace tessera
