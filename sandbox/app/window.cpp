#include "sandbox/app/window.hpp"

#include "vulkan/result.hpp"

#include <string_view>
#include <utility>

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

namespace tessera {
namespace {

std::string glfw_problem() {
    const char *text = nullptr;
    const int code = glfwGetError(&text);
    if (code == GLFW_NO_ERROR || text == nullptr) return "no reason given";
    return fmt::format("{} (GLFW error 0x{:x})", text, code);
}

} // namespace

Surface::~Surface() {
    if (surface_ != VK_NULL_HANDLE) vkDestroySurfaceKHR(instance_, surface_, nullptr);
}

Surface::Surface(Surface &&other) noexcept
    : instance_(other.instance_), surface_(std::exchange(other.surface_, VK_NULL_HANDLE)) {}

Surface &Surface::operator=(Surface &&other) noexcept {
    if (this != &other) {
        if (surface_ != VK_NULL_HANDLE) vkDestroySurfaceKHR(instance_, surface_, nullptr);
        instance_ = other.instance_;
        surface_ = std::exchange(other.surface_, VK_NULL_HANDLE);
    }
    return *this;
}

Result<std::unique_ptr<Window>> Window::create(const std::string &title, int width, int height) {
    auto window = std::unique_ptr<Window>(new Window);
    if (glfwInit() != GLFW_TRUE) {
        return make_error(Status::kUnsupported, "no window can be opened: {}", glfw_problem());
    }
    window->initialized_ = true;
    if (glfwVulkanSupported() != GLFW_TRUE) {
        return make_error(Status::kUnsupported, "no Vulkan for windows here: {}", glfw_problem());
    }
    std::uint32_t count = 0;
    const char **extensions = glfwGetRequiredInstanceExtensions(&count);
    if (extensions == nullptr) {
        return make_error(Status::kUnsupported,
                          "the Vulkan drivers on this machine show no windows: {}", glfw_problem());
    }
    window->extensions_ = {extensions, count};
    glfwWindowHint(GLFW_CLIENT_API, GLFW_NO_API);
    window->window_ = glfwCreateWindow(width, height, title.c_str(), nullptr, nullptr);
    if (window->window_ == nullptr) {
        return make_error(Status::kFailed, "window of {} x {}: {}", width, height, glfw_problem());
    }
    glfwSetWindowUserPointer(window->window_, window.get());
    glfwSetDropCallback(window->window_, [](GLFWwindow *glfw, int path_count, const char **paths) {
        auto *const self = static_cast<Window *>(glfwGetWindowUserPointer(glfw));
        self->dropped_.insert(self->dropped_.end(), paths, paths + path_count);
    });
    glfwSetWindowRefreshCallback(window->window_, [](GLFWwindow *glfw) {
        static_cast<Window *>(glfwGetWindowUserPointer(glfw))->needs_refresh_ = true;
    });
    return window;
}

std::vector<std::filesystem::path> Window::take_dropped() { return std::exchange(dropped_, {}); }

Window::~Window() {
    if (window_ != nullptr) glfwDestroyWindow(window_);
    if (initialized_) glfwTerminate();
}

Result<Surface> Window::make_surface(VkInstance instance) const {
    VkSurfaceKHR surface = VK_NULL_HANDLE;
    const VkResult result = glfwCreateWindowSurface(instance, window_, nullptr, &surface);
    if (result < 0) return vulkan_error(result, "glfwCreateWindowSurface");
    return Surface(instance, surface);
}

void Window::poll() const { glfwPollEvents(); }
void Window::wait(double timeout_s) const { glfwWaitEventsTimeout(timeout_s); }
bool Window::should_close() const { return glfwWindowShouldClose(window_) == GLFW_TRUE; }

VkExtent2D Window::pixels() const {
    int width = 0;
    int height = 0;
    glfwGetFramebufferSize(window_, &width, &height);
    if (glfwGetWindowAttrib(window_, GLFW_ICONIFIED) == GLFW_TRUE) return {0, 0};
    return {static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(height)};
}

void Window::resize(int width, int height) const { glfwSetWindowSize(window_, width, height); }

float Window::content_scale() const {
    float x = 1;
    float y = 1;
    glfwGetWindowContentScale(window_, &x, &y);
    return x > 0 ? x : 1;
}

} // namespace tessera
