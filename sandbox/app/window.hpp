// A GLFW window and its Vulkan surface. The only file that talks to GLFW, apart from ImGui's.
#pragma once

#include "core/result.hpp"
#include "vulkan/api.hpp"

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

struct GLFWwindow;

namespace tessera {

// A surface that destroys itself; the instance outlives it.
class Surface {
  public:
    Surface() = default;
    Surface(VkInstance instance, VkSurfaceKHR surface) : instance_(instance), surface_(surface) {}
    ~Surface();
    Surface(Surface &&other) noexcept;
    Surface &operator=(Surface &&other) noexcept;
    [[nodiscard]] VkSurfaceKHR get() const { return surface_; }

  private:
    VkInstance instance_ = VK_NULL_HANDLE;
    VkSurfaceKHR surface_ = VK_NULL_HANDLE;
};

class Window {
  public:
    // Main thread only; one window per process. Unsupported when there is no display.
    [[nodiscard]] static Result<std::unique_ptr<Window>> create(const std::string &title, int width,
                                                                int height);
    ~Window();
    Window(const Window &) = delete;
    Window &operator=(const Window &) = delete;

    // Instance extensions that surfaces of this window need.
    [[nodiscard]] std::span<const char *const> vulkan_extensions() const { return extensions_; }
    [[nodiscard]] Result<Surface> make_surface(VkInstance instance) const;

    void poll() const;
    void wait(double timeout_s) const; // for events
    [[nodiscard]] bool should_close() const;
    [[nodiscard]] VkExtent2D pixels() const; // 0 x 0 while minimised
    // Files that were dropped on the window since the last call.
    [[nodiscard]] std::vector<std::filesystem::path> take_dropped();
    // The system lost what was shown, since the last call.
    [[nodiscard]] bool take_refresh() { return std::exchange(needs_refresh_, false); }
    void resize(int width, int height) const;
    [[nodiscard]] float content_scale() const;
    [[nodiscard]] GLFWwindow *glfw() const { return window_; }

  private:
    Window() = default;
    GLFWwindow *window_ = nullptr;
    std::vector<std::filesystem::path> dropped_;
    bool needs_refresh_ = false;
    bool initialized_ = false;
    std::span<const char *const> extensions_;
};

} // namespace tessera
