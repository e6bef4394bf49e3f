// The far end of a shared ring: whoever writes memory which Vulkan allocated. vulkan_writer.hpp is
// the one of a compute on the same VkDevice, cuda_writer.hpp that of the CUDA backend; tests have
// one that is a second Vulkan device.
// [producer] for everything but carry. Work is enqueued in order; nothing here waits but
// synchronize and the destructors.
#pragma once

#include "interop/ring/shared_timeline.hpp"
#include "vulkan/shared_buffer.hpp"

#include <tessera/base.h>

#include <cstdint>
#include <memory>
#include <string>

namespace tessera {

// The ring's own, which outlive the writer.
struct SharedLink {
    const VulkanDevice *device = nullptr;
    const SharedTimeline *ready = nullptr;    // signalled by the writer and nobody else
    const SharedTimeline *released = nullptr; // signalled by who renders
};

// Where in the shared memory a frame goes.
struct FramePlace {
    std::uint32_t slot = 0;
    VkDeviceSize offset_bytes = 0;
    std::uint32_t width = 0;
    std::uint32_t height = 0;
};

// A shared buffer as the writer's device sees it, until this goes.
class SharedMapping {
  public:
    virtual ~SharedMapping() = default;

    // The frame's memory. What is enqueued from now on runs after `released` has its value, which
    // it has been seen to have: the wait only makes the renderer's reads visible to the device.
    // A slot that was begun and not finished may be begun again.
    virtual Result<tessera_tensor> begin(const FramePlace &place, std::uint64_t released) = 0;
    // Enqueues that `ready` gets this value, after all that was enqueued for the frame.
    virtual Result<void> finish(const FramePlace &place, std::uint64_t ready) = 0;
};

class SharedWriter {
  public:
    virtual ~SharedWriter() = default;

    [[nodiscard]] virtual std::string description() const = 0;
    // It is on the ring's own VkDevice: buffers are of SharedBuffer::create_here.
    [[nodiscard]] virtual bool is_here() const { return false; }
    // The mapping goes before the writer and the buffer do.
    virtual Result<std::unique_ptr<SharedMapping>> map(const SharedBuffer &buffer) = 0;
    // Waits for all that was enqueued; afterwards `ready` has its last value.
    virtual Result<void> synchronize() = 0;
    // [consumer] For drivers that cannot share timelines: reads the device's own and signals
    // `ready`, from the host. Does not wait, and is never called while another function is that
    // ends the writer.
    virtual void carry() {}
};

} // namespace tessera
