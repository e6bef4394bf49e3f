#include "sandbox/app/graphics.hpp"

#include <utility>

namespace tessera {
namespace {

constexpr VkFormat kOffscreenFormat = VK_FORMAT_B8G8R8A8_UNORM;

// Moves a result's value into `target`, or returns its error.
template <class T>
Result<void> assign(T &target, Result<T> made) {
    if (!made) return made.error();
    target = std::move(*made);
    return {};
}

} // namespace

Result<std::shared_ptr<Graphics>> Graphics::create(const GraphicsConfig &config) {
    auto graphics = std::shared_ptr<Graphics>(new Graphics(config.window));
    Graphics &made = *graphics;
    auto done = assign(made.device,
                       VulkanDevice::create(*config.instance,
                                            {.surface = config.surface, .wanted = config.device}));
    if (done) done = assign(made.ring, LiveRing::create(*made.device, config.make_writer));
    if (done) done = assign(made.renderer, Renderer::create(*made.device));
    if (done && config.window != nullptr) {
        done = made.open_swapchain(config.surface);
    } else if (done) {
        done = assign(made.offscreen, Offscreen::create(*made.device, config.extent.width,
                                                        config.extent.height, kOffscreenFormat));
    }
    if (done) done = assign(made.pane, Pane::create(*made.device, made.pass()));
    if (done) done = assign(made.pinned, Pane::create(*made.device, made.pass()));
    if (done) done = made.rescale(config.scale);
    if (!done) return done.error();
    return graphics;
}

Graphics::~Graphics() {
    if (device) static_cast<void>(device->wait_idle());
}

VkRenderPass Graphics::pass() const {
    return window_ != nullptr ? swapchain->pass() : offscreen->target().pass;
}

VkExtent2D Graphics::extent() const {
    return window_ != nullptr ? swapchain->extent() : offscreen->target().extent;
}

VkFormat Graphics::format() const {
    return window_ != nullptr ? swapchain->format() : kOffscreenFormat;
}

Result<void> Graphics::rescale(float scale) {
    interface.reset(); // one context per process
    GLFWwindow *const glfw = window_ != nullptr ? window_->glfw() : nullptr;
    return assign(interface, ImGuiLayer::create(*device, *renderer, pass(), glfw, scale));
}

Result<void> Graphics::open_swapchain(VkSurfaceKHR surface) {
    return assign(swapchain, Swapchain::create(*device, surface, window_->pixels()));
}

void Graphics::leave_window() {
    interface.reset();
    pinned.reset();
    pane.reset();
    offscreen.reset();
    swapchain.reset();
    renderer.reset();
}

} // namespace tessera
