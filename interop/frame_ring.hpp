// The ring that carries frames from a generator to a view: its consumer's half. The producer's half
// is FrameTarget. Variants differ in who writes the memory: staging_ring.hpp (the CPU).
// A ring does not draw and does not submit.
#pragma once

#include "core/frame_target.hpp"
#include "interop/vulkan_api.hpp"

#include <cstdint>
#include <optional>

namespace tessera {

// Render submissions that may be under way at once; a ring has two slots more.
inline constexpr std::uint32_t kFramesInFlight = 2;
inline constexpr std::uint32_t kRingSlots = kFramesInFlight + 2;

// A frame that the consumer holds. The submission that reads it signals `release_value` on the
// ring's release timeline, from the stage of the last read on.
struct RingFrame {
    std::uint32_t slot = 0;
    std::uint64_t release_value = 0;
    VkBuffer pixels = VK_NULL_HANDLE; // RGBA8, tight rows
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    FrameInfo info;
};

// All functions of this half are called on the thread that renders, and never wait.
class FrameRing : public FrameTarget {
  public:
    // The newest complete frame since the last call, if there is one.
    [[nodiscard]] virtual std::optional<RingFrame> take_newest() = 0;
    // Instead of a submission: nothing will read the frame.
    virtual void drop(const RingFrame &frame) = 0;
    [[nodiscard]] virtual VkSemaphore release_timeline() const = 0;
};

} // namespace tessera
