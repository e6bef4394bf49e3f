// A named span of a command buffer, for captures and validation messages: ends with its scope.
#pragma once

#include "vulkan/device.hpp"

namespace tessera {

class DebugLabel {
  public:
    DebugLabel(const VulkanDevice &device, VkCommandBuffer commands, const char *text)
        : device_(device), commands_(commands) {
        device_.begin_label(commands_, text);
    }
    ~DebugLabel() { device_.end_label(commands_); }
    DebugLabel(const DebugLabel &) = delete;
    DebugLabel &operator=(const DebugLabel &) = delete;

  private:
    const VulkanDevice &device_;
    VkCommandBuffer commands_;
};

} // namespace tessera
