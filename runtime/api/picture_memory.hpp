// Where pictures of a generator lie that computes on the program's own Vulkan device: buffers
// there, which `tessera_vulkan_record` copies into images. No pixel passes through the host until
// somebody reads one.
#pragma once

#include "core/result.hpp"

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
    // [any] What lies there now; waits for the device.
    [[nodiscard]] virtual Result<void> read(std::span<std::byte> to) const = 0;
};

// [any] for everything.
class PictureMemory {
  public:
    virtual ~PictureMemory() = default;
    PictureMemory() = default;
    PictureMemory(const PictureMemory &) = delete;
    PictureMemory &operator=(const PictureMemory &) = delete;

    // The device as a backend takes it.
    [[nodiscard]] virtual const tessera_vulkan_device &device() const = 0;
    [[nodiscard]] virtual Result<std::shared_ptr<const PicturePlace>>
    take(std::uint64_t size_bytes) = 0;
};

// Of the program's device, which outlives it; `device` as in <tessera/ext/vulkan.h>. Unsupported,
// with the reason, where it cannot compute, or in a build without Vulkan.
[[nodiscard]] Result<std::shared_ptr<PictureMemory>>
make_picture_memory(const tessera_vulkan_device &device, std::uint32_t family_that_reads);

} // namespace tessera::api
