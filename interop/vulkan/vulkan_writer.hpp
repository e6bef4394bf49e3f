// The writer of a shared ring for a Vulkan compute on the very VkDevice that renders: kernels write
// the slot that the view reads. Nothing is exported and nothing imported.
#pragma once

#include "interop/ring/shared_writer.hpp"

#include <tessera/ext/vulkan.h>

#include <memory>

namespace tessera {

// The compute outlives the writer. Unsupported, with the reason, on another VkDevice.
[[nodiscard]] Result<std::unique_ptr<SharedWriter>>
make_vulkan_writer(const tessera_ext_vulkan &vulkan, const SharedLink &link);

} // namespace tessera
