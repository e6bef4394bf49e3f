// One Vulkan device with one queue, and the functions of that device. Works headless.
// It makes no decisions about drawing: see sandbox/renderer.hpp.
#pragma once

#include "core/result.hpp"
#include "interop/vulkan_api.hpp"
#include "interop/vulkan_handle.hpp"
#include "interop/vulkan_instance.hpp"

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>

namespace tessera {

struct VulkanDeviceConfig {
    VkSurfaceKHR surface = VK_NULL_HANDLE; // must be presentable; null: headless
};

class VulkanDevice {
  public:
    // The fastest kind of device that has all that is needed (Vulkan 1.3 with timeline semaphores,
    // synchronization2; a graphics queue that can present). The error lists why each one was not
    // taken. The instance outlives the device.
    [[nodiscard]] static Result<std::unique_ptr<VulkanDevice>>
    create(const VulkanInstance &instance, const VulkanDeviceConfig &config);
    ~VulkanDevice();
    VulkanDevice(const VulkanDevice &) = delete;
    VulkanDevice &operator=(const VulkanDevice &) = delete;

    [[nodiscard]] const VolkDeviceTable &table() const { return table_; }
    [[nodiscard]] VkDevice get() const { return device_; }
    [[nodiscard]] VkPhysicalDevice physical() const { return physical_; }
    [[nodiscard]] VkInstance instance() const { return instance_; }
    [[nodiscard]] std::uint32_t queue_family() const { return queue_family_; }
    [[nodiscard]] const VkPhysicalDeviceProperties &properties() const { return properties_; }
    [[nodiscard]] const VkPhysicalDeviceMemoryProperties &memory() const { return memory_; }
    // For ImGui's backend, which submits nothing by itself.
    [[nodiscard]] VkQueue queue() const { return queue_; }

    // The queue is shared by whoever renders and whoever computes: these three lock it.
    [[nodiscard]] Result<void> submit(const VkSubmitInfo2 &info, VkFence fence);
    [[nodiscard]] VkResult present(const VkPresentInfoKHR &info);
    [[nodiscard]] Result<void> wait_idle();

    // Wraps a new handle; a failed vkCreate* leaves it null, which is fine to wrap.
    template <class Handle>
    [[nodiscard]] VulkanHandle<Handle> own(Handle handle,
                                           typename VulkanHandle<Handle>::Destroy destroy) const {
        return VulkanHandle<Handle>(device_, handle, destroy);
    }
    [[nodiscard]] Result<VulkanHandle<VkSemaphore>> make_timeline(std::uint64_t initial) const;
    [[nodiscard]] Result<VulkanHandle<VkSemaphore>> make_semaphore() const;
    [[nodiscard]] Result<std::uint64_t> timeline_value(VkSemaphore timeline) const;

    // Name of an object in captures and validation messages; nothing without validation.
    void name(VkObjectType type, std::uint64_t handle, const std::string &text) const;

  private:
    VulkanDevice() = default;
    Result<void> open(const VulkanDeviceConfig &config);

    VkInstance instance_ = VK_NULL_HANDLE;
    VkPhysicalDevice physical_ = VK_NULL_HANDLE;
    VkDevice device_ = VK_NULL_HANDLE;
    VkQueue queue_ = VK_NULL_HANDLE;
    std::uint32_t queue_family_ = 0;
    bool debug_names_ = false;
    VkPhysicalDeviceProperties properties_{};
    VkPhysicalDeviceMemoryProperties memory_{};
    VolkDeviceTable table_{};
    std::mutex queue_mutex_;
};

} // namespace tessera
