// The Vulkan instance, with the validation layers on demand: our own, or one that an application
// made. Needs no window and no display.
#pragma once

#include "core/result.hpp"
#include "vulkan/api.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace tessera {

struct VulkanInstanceConfig {
    // Core and synchronization validation. Their messages go to the log and are kept for tests.
    bool validation = false;
    std::span<const char *const> extensions; // for windows; empty: headless
};

class VulkanInstance {
  public:
    // NotFound when there is no loader, no driver or no validation layer: the text says which.
    [[nodiscard]] static Result<std::unique_ptr<VulkanInstance>>
    create(const VulkanInstanceConfig &config);
    // An instance of the application, of Vulkan 1.3 at least, which outlives this. It may have made
    // it with or without wanted_extensions(). Its validation messages are its own. With `get_proc`
    // every function comes from there, and no loader is opened; any version will do.
    [[nodiscard]] static Result<std::unique_ptr<VulkanInstance>>
    adopt(VkInstance instance, PFN_vkGetInstanceProcAddr get_proc = nullptr);
    // Instance extensions that this machine offers and that Tessera makes use of: names and labels
    // in captures. None is a must.
    [[nodiscard]] static Result<std::vector<const char *>> wanted_extensions();
    ~VulkanInstance();
    VulkanInstance(const VulkanInstance &) = delete;
    VulkanInstance &operator=(const VulkanInstance &) = delete;

    [[nodiscard]] VkInstance get() const { return instance_; }
    [[nodiscard]] bool validation() const { return messenger_ != VK_NULL_HANDLE; }
    // Warnings and errors of the layers so far; thread-safe.
    [[nodiscard]] std::vector<std::string> validation_messages() const;

  private:
    struct Messages;
    VulkanInstance();
    static VkBool32 VKAPI_PTR on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                         VkDebugUtilsMessageTypeFlagsEXT types,
                                         const VkDebugUtilsMessengerCallbackDataEXT *data,
                                         void *user_data);

    [[nodiscard]] VkDebugUtilsMessengerCreateInfoEXT messenger_info() const;

    std::unique_ptr<Messages> messages_;
    VkInstance instance_ = VK_NULL_HANDLE;
    bool owned_ = true;
    VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
    // Of this instance: volk's global may be that of another one, without the extension.
    PFN_vkDestroyDebugUtilsMessengerEXT destroy_messenger_ = nullptr;
};

} // namespace tessera
