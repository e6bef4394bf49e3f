// A device object that destroys itself. Move-only; the device outlives it.
#pragma once

#include "vulkan/api.hpp"

#include <utility>

namespace tessera {

template <class Handle>
class VulkanHandle {
  public:
    using Destroy = void(VKAPI_PTR *)(VkDevice, Handle, const VkAllocationCallbacks *);

    VulkanHandle() = default;
    VulkanHandle(VkDevice device, Handle handle, Destroy destroy)
        : device_(device), handle_(handle), destroy_(destroy) {}
    ~VulkanHandle() { reset(); }
    VulkanHandle(VulkanHandle &&other) noexcept
        : device_(other.device_), handle_(std::exchange(other.handle_, VK_NULL_HANDLE)),
          destroy_(other.destroy_) {}
    VulkanHandle &operator=(VulkanHandle &&other) noexcept {
        if (this != &other) {
            reset();
            device_ = other.device_;
            handle_ = std::exchange(other.handle_, VK_NULL_HANDLE);
            destroy_ = other.destroy_;
        }
        return *this;
    }

    void reset() {
        if (handle_ != VK_NULL_HANDLE) destroy_(device_, handle_, nullptr);
        handle_ = VK_NULL_HANDLE;
    }
    [[nodiscard]] Handle get() const { return handle_; }
    [[nodiscard]] const Handle *address() const { return &handle_; }
    explicit operator bool() const { return handle_ != VK_NULL_HANDLE; }

  private:
    VkDevice device_ = VK_NULL_HANDLE;
    Handle handle_ = VK_NULL_HANDLE;
    Destroy destroy_ = nullptr;
};

} // namespace tessera
