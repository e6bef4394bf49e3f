// The ring that carries frames from a generator to a view: its consumer's half. The producer's half
// is FrameTarget. Variants differ in who writes the memory: staging_ring.hpp (the CPU) and
// shared_ring.hpp (another device).
// A ring does not draw and does not submit.
#pragma once

#include "core/frame_target.hpp"
#include "vulkan/device.hpp"

#include <cstdint>
#include <optional>

namespace tessera {

// Render submissions that may be under way at once; a ring has two slots more: one is written, one
// is ready or free. Each submission may read a frame of its own, so with fewer the producer could
// find none, or only the one that is about to be shown.
inline constexpr std::uint32_t kFramesInFlight = 2;
inline constexpr std::uint32_t kRingSlots = kFramesInFlight + 2;

// A frame that the consumer holds. The submission that copies it waits for `ready_value` on `ready`
// when that is set, which has been reached already, and signals `release_value` on the ring's
// release timeline; both at the copy stage. Its commands have record_frame_taken before the copy
// and record_frame_given_back after it.
struct RingFrame {
    std::uint32_t slot = 0;
    std::uint64_t release_value = 0;
    VkBuffer pixels = VK_NULL_HANDLE; // RGBA8, tight rows
    VkDeviceSize offset_bytes = 0;    // of the frame in it
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    FrameInfo info;
    VkSemaphore ready = VK_NULL_HANDLE; // another device wrote the frame; null: the host did
    std::uint64_t ready_value = 0;

    [[nodiscard]] bool is_shared() const { return ready != VK_NULL_HANDLE; }
    [[nodiscard]] VkDeviceSize size_bytes() const { return VkDeviceSize{width} * height * 4; }
};

// All functions of this half are called on the thread that renders, and never wait.
class FrameRing : public FrameTarget {
  public:
    // The newest complete frame since the last call, if there is one.
    [[nodiscard]] virtual std::optional<RingFrame> take_newest() = 0;
    // Something was published that was not taken; a frame of another device may not be complete.
    [[nodiscard]] virtual bool has_frame() const = 0;
    // Instead of a submission: nothing will read the frame.
    virtual void drop(const RingFrame &frame) = 0;
    [[nodiscard]] virtual VkSemaphore release_timeline() const = 0;
};

// Round the copy of a frame: memory that another device writes changes hands. Nothing for frames
// that the host wrote.
void record_frame_taken(const VulkanDevice &device, VkCommandBuffer commands,
                        const RingFrame &frame);
void record_frame_given_back(const VulkanDevice &device, VkCommandBuffer commands,
                             const RingFrame &frame);

// For rings: whether the device can show such a frame, and the frame as a tensor.
[[nodiscard]] Result<void> check_frame_size(const VulkanDevice &device, std::uint32_t width,
                                            std::uint32_t height);
[[nodiscard]] tessera_tensor frame_tensor(void *data, tessera_memory memory, std::uint32_t width,
                                          std::uint32_t height);

} // namespace tessera
