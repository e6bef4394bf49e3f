// One Vulkan device with one queue, and the functions of that device: our own, or one that an
// application made. Works headless.
// It makes no decisions about drawing: see sandbox/renderer.hpp.
#pragma once

#include "core/result.hpp"
#include "vulkan/api.hpp"
#include "vulkan/device_choice.hpp"
#include "vulkan/handle.hpp"
#include "vulkan/instance.hpp"

#include <tessera/ext/vulkan.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace tessera {

// A device that an application made with all that vulkan_requirements() names.
struct GivenDevice {
    VkPhysicalDevice physical = VK_NULL_HANDLE;
    VkDevice device = VK_NULL_HANDLE;
    std::uint32_t queue_family = 0; // with graphics, for a view
    VkQueue queue = VK_NULL_HANDLE;
    // Called round every use of the queue, from any thread, never nested. Both empty: only Tessera
    // uses it.
    std::function<void()> lock_queue;
    std::function<void()> unlock_queue;
    // For generators, used by nobody else. Null: they compute on `queue`, if it can.
    std::uint32_t compute_family = 0;
    VkQueue compute_queue = VK_NULL_HANDLE;
};

// Whoever uses the queue holds it: our mutex and, for an application's device, its lock.
class QueueLock {
  public:
    void lock() {
        mutex_.lock();
        if (given_lock_) given_lock_();
    }
    void unlock() {
        if (given_unlock_) given_unlock_();
        mutex_.unlock();
    }
    void use(std::function<void()> lock, std::function<void()> unlock) {
        given_lock_ = std::move(lock);
        given_unlock_ = std::move(unlock);
    }

  private:
    std::mutex mutex_;
    std::function<void()> given_lock_;
    std::function<void()> given_unlock_;
};

// A submission waits for it, or signals it, at these stages; the value is a timeline's.
[[nodiscard]] VkSemaphoreSubmitInfo semaphore_at(VkSemaphore semaphore, std::uint64_t value,
                                                 VkPipelineStageFlags2 stages);

class VulkanDevice {
  public:
    // The fastest kind of device that has all that is needed (Vulkan 1.3 with timeline semaphores,
    // synchronization2; a graphics queue that can present). The error lists why each one was not
    // taken. The instance outlives the device.
    [[nodiscard]] static Result<std::unique_ptr<VulkanDevice>>
    create(const VulkanInstance &instance, const VulkanDeviceConfig &config);
    // The application's device, which outlives this.
    [[nodiscard]] static Result<std::unique_ptr<VulkanDevice>> adopt(const VulkanInstance &instance,
                                                                     GivenDevice given);
    // The application's device for memory alone: it has no queue, and Vulkan 1.1 will do.
    [[nodiscard]] static Result<std::unique_ptr<VulkanDevice>>
    adopt_for_memory(const VulkanInstance &instance, VkPhysicalDevice physical, VkDevice device);
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
    [[nodiscard]] const DeviceUuid &uuid() const { return uuid_; }
    // For ImGui's backend, which submits nothing by itself.
    [[nodiscard]] VkQueue queue() const { return queue_; }
    // What a compute on this very device gets: a queue of its own of the lowest priority, where the
    // device has one, else this one. nullptr: it cannot compute. As long as the device.
    [[nodiscard]] const tessera_vulkan_device *for_compute() const {
        return for_compute_.device != nullptr ? &for_compute_ : nullptr;
    }

    // The queue is shared by whoever renders and whoever computes: these lock it, and so does
    // whoever hands it to a library that submits.
    [[nodiscard]] std::unique_lock<QueueLock> lock_queue() { return std::unique_lock(queue_lock_); }
    [[nodiscard]] Result<void> submit(VkCommandBuffer commands,
                                      std::span<const VkSemaphoreSubmitInfo> waits,
                                      std::span<const VkSemaphoreSubmitInfo> signals) {
        return submit(std::span(&commands, 1), waits, signals);
    }
    // Several, in their order.
    [[nodiscard]] Result<void> submit(std::span<const VkCommandBuffer> commands,
                                      std::span<const VkSemaphoreSubmitInfo> waits,
                                      std::span<const VkSemaphoreSubmitInfo> signals);
    [[nodiscard]] VkResult present(const VkPresentInfoKHR &info);
    // For all that was submitted to the queue.
    [[nodiscard]] Result<void> wait_idle();

    // The driver lost the device, which is for good: calls fail, and what lay on it is gone. Only a
    // new VulkanDevice helps. Any thread.
    [[nodiscard]] bool is_lost() const { return lost_; }
    // Passes the result on and remembers a lost device: for whoever calls by table() what can
    // report one (submitting, waiting, acquiring, presenting, making a swapchain).
    VkResult noted(VkResult result) const;

    // Wraps a new handle; a failed vkCreate* leaves it null, which is fine to wrap.
    template <class Handle>
    [[nodiscard]] VulkanHandle<Handle> own(Handle handle,
                                           typename VulkanHandle<Handle>::Destroy destroy) const {
        return VulkanHandle<Handle>(device_, handle, destroy);
    }
    [[nodiscard]] Result<VulkanHandle<VkSemaphore>> make_timeline(std::uint64_t initial) const;
    [[nodiscard]] Result<VulkanHandle<VkSemaphore>> make_semaphore() const;
    [[nodiscard]] Result<std::uint64_t> timeline_value(VkSemaphore timeline) const;
    // False: the value was not reached in time.
    [[nodiscard]] Result<bool> wait_for(VkSemaphore timeline, std::uint64_t value,
                                        std::uint64_t timeout_ns) const;

    // Name of an object, and of a span of commands (see debug_label.hpp), in captures and
    // validation messages; nothing when the instance has no VK_EXT_debug_utils.
    template <class Handle>
    void name(VkObjectType type, Handle handle, const std::string &text) const {
        set_name(type, reinterpret_cast<std::uint64_t>(handle), text);
    }
    void begin_label(VkCommandBuffer commands, const char *text) const;
    void end_label(VkCommandBuffer commands) const;

  private:
    VulkanDevice() = default;
    Result<void> open(const VulkanDeviceConfig &config);
    Result<void> make(VulkanRequirements &requirements,
                      std::span<const VkDeviceQueueCreateInfo> queues);
    void load(VkInstance instance);
    void offer_compute(std::uint32_t family, VkQueue queue);
    void set_name(VkObjectType type, std::uint64_t handle, const std::string &text) const;

    VkInstance instance_ = VK_NULL_HANDLE;
    VkPhysicalDevice physical_ = VK_NULL_HANDLE;
    VkDevice device_ = VK_NULL_HANDLE;
    VkQueue queue_ = VK_NULL_HANDLE;
    std::uint32_t queue_family_ = 0;
    bool owned_ = true;
    DeviceUuid uuid_{};
    VkPhysicalDeviceProperties properties_{};
    VkPhysicalDeviceMemoryProperties memory_{};
    VolkDeviceTable table_{};
    // Of this instance: volk's globals may be those of another one, without the extension.
    PFN_vkSetDebugUtilsObjectNameEXT set_name_ = nullptr;
    PFN_vkCmdBeginDebugUtilsLabelEXT begin_label_ = nullptr;
    PFN_vkCmdEndDebugUtilsLabelEXT end_label_ = nullptr;
    QueueLock queue_lock_;
    QueueLock compute_lock_; // of a queue of its own
    tessera_vulkan_device for_compute_{};
    mutable std::atomic<bool> lost_{false};
};

} // namespace tessera
