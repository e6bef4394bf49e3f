// Where pictures lie that the program's Vulkan device is to show and that a GPU has made: buffers
// on that device, which `tessera_vulkan_record` copies into images. A Vulkan compute on a queue of
// the program's writes them, or CUDA, into memory that the device exports. No pixel passes through
// the host until somebody reads one.
#pragma once

#include "core/result.hpp"

#include <tessera/ext/cuda.h>
#include <tessera/ext/vulkan.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace tessera::api {

class PictureMemory;

// A part of that memory; free again when it goes.
class PicturePlace {
  public:
    virtual ~PicturePlace() = default;
    PicturePlace() = default;
    PicturePlace(const PicturePlace &) = delete;
    PicturePlace &operator=(const PicturePlace &) = delete;

    [[nodiscard]] virtual const PictureMemory &memory() const = 0;
    [[nodiscard]] virtual std::uint64_t buffer() const = 0; // VkBuffer; the picture is at its begin
    [[nodiscard]] virtual std::uint64_t size_bytes() const = 0;
    // Where CUDA writes it, and the buffer changes hands round each use by Vulkan; nullptr: it does
    // not.
    [[nodiscard]] virtual void *cuda_data() const = 0;
    // [any] What lies there now; waits for the device.
    [[nodiscard]] virtual Result<void> read(std::span<std::byte> to) const = 0;
};

// The program's device, which outlives the memory and all places in it.
struct ProgramVulkan {
    void *get_proc = nullptr;       // vkGetInstanceProcAddr: every function comes from there
    tessera_vulkan_device device{}; // its queue may be null
    std::uint32_t reader = 0;       // queue family that copies pictures
};

// [any] for everything.
class PictureMemory {
  public:
    virtual ~PictureMemory() = default;
    PictureMemory() = default;
    PictureMemory(const PictureMemory &) = delete;
    PictureMemory &operator=(const PictureMemory &) = delete;

    // Once, at first: models may compute on its queue. Unsupported, with the reason, where they
    // cannot.
    [[nodiscard]] virtual Result<void> open_queue() = 0;
    // The device as a backend takes it; nullptr: no queue was opened.
    [[nodiscard]] virtual const tessera_vulkan_device *for_compute() const = 0;
    // For a compute on that queue.
    [[nodiscard]] virtual Result<std::shared_ptr<const PicturePlace>>
    take(std::uint64_t size_bytes) = 0;
    // [worker] For CUDA. Unsupported, with the reason, where it is on another device, or the
    // program made its own without VK_KHR_external_memory_fd.
    [[nodiscard]] virtual Result<std::shared_ptr<const PicturePlace>>
    take_shared(std::uint64_t size_bytes, const tessera_ext_cuda &cuda) = 0;

    [[nodiscard]] virtual std::uint64_t bytes() const = 0; // of buffers on the device
    // Nobody holds a place.
    [[nodiscard]] virtual bool is_idle() const = 0;
    // Lets go of what no place needs; may wait for CUDA. Some is kept for the next picture, and of
    // memory that is shared with CUDA all, until there is one.
    virtual void trim() = 0;
};

// Touches no Vulkan yet.
[[nodiscard]] std::shared_ptr<PictureMemory> make_picture_memory(const ProgramVulkan &program);

} // namespace tessera::api
