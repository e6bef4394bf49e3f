// Dear ImGui on our device: context, fonts, style, and drawing in the renderer's pass.
// With a window it takes GLFW's input; without one it is drawn offscreen.
#pragma once

#include "sandbox/view/renderer.hpp"

#include <memory>

struct GLFWwindow;

namespace tessera {

class ImGuiLayer {
  public:
    // One per process. `pass` is what it draws into, or one compatible with it.
    [[nodiscard]] static Result<std::unique_ptr<ImGuiLayer>>
    create(VulkanDevice &device, Renderer &renderer, VkRenderPass pass, GLFWwindow *window,
           float scale);
    ~ImGuiLayer();
    ImGuiLayer(const ImGuiLayer &) = delete;
    ImGuiLayer &operator=(const ImGuiLayer &) = delete;

    // Widgets go between the two. The extent and the time matter only without a window.
    void begin_frame(VkExtent2D extent, float elapsed_s);
    void end_frame();
    // Draws what end_frame finished.
    void record(VkCommandBuffer commands);

  private:
    ImGuiLayer(VulkanDevice &device, GLFWwindow *window) : device_(device), window_(window) {}
    Result<void> start(Renderer &renderer, VkRenderPass pass, float scale);

    VulkanDevice &device_;
    GLFWwindow *window_;
    VulkanHandle<VkDescriptorPool> pool_;
    bool context_ = false;
    bool platform_ = false;
    bool backend_ = false;
};

} // namespace tessera
