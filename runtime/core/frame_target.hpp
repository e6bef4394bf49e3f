// The seam between generators and whoever looks at their pictures: a ring for the view, memory for
// programs without a window. Readers have their own interface on the concrete class.
#pragma once

#include "core/result.hpp"

#include <tessera/base.h>
#include <tessera/compute.h>
#include <tessera/ext/vulkan.h>

#include <cstdint>
#include <memory>

namespace tessera {

// What is known of a picture when it is published.
struct FrameInfo {
    std::uint32_t image = 0; // which of the job's images, from 0
    std::uint32_t step = 0;  // steps done when it was made
    std::uint32_t total_steps = 0;
    bool final = false;
    std::uint64_t job = 0; // number of the job that made it, increasing
    std::uint64_t tag = 0; // of the request, as the caller gave it
};

// All functions are called on the thread that steps the generator.
class FrameTarget {
  public:
    virtual ~FrameTarget() = default;

    // The Vulkan device that shows the frames, for a compute that can be on it; nullptr: none. It
    // stays as long as somebody holds this.
    [[nodiscard]] virtual std::shared_ptr<const tessera_vulkan_device> vulkan_device() {
        return nullptr;
    }
    // The device that makes the frames from now on, between jobs; nullptr before it goes. Frames
    // may then lie in its memory.
    virtual void use_device(const tessera_compute * /*compute*/) {}
    // A writable frame (height, width, 4) U8 RGBA. It stays the caller's until publish or abandon.
    virtual Result<tessera_tensor> acquire(std::uint32_t width, std::uint32_t height) = 0;
    // The frame is complete (or its last write is enqueued on the device that made it).
    virtual Result<void> publish(const tessera_tensor &frame, const FrameInfo &info) = 0;
    // The frame will not be published; its contents are worthless.
    virtual void abandon(const tessera_tensor &frame) = 0;
};

} // namespace tessera
