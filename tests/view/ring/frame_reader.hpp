// The consumer's end of a ring in tests: copies frames to the host in submissions of its own, as
// many under way as the renderer has, each waiting and signalling as a RingFrame wants it.
#pragma once

#include "interop/ring/frame_ring.hpp"
#include "vulkan/commands.hpp"
#include "vulkan/memory.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

namespace tessera {

class FrameReader {
  public:
    using OnFrame = std::function<void(const RingFrame &, std::span<const std::uint32_t>)>;

    // `on_frame` gets every frame that was read, in order, with its pixels as words.
    FrameReader(VulkanDevice &device, FrameRing &ring, OnFrame on_frame);
    ~FrameReader();
    FrameReader(const FrameReader &) = delete;
    FrameReader &operator=(const FrameReader &) = delete;

    // Takes the newest frame, if there is one, and submits its copy. False: there is none, and
    // all that was submitted before is done.
    bool poll();
    // Waits for what was submitted.
    void finish();

  private:
    struct Read {
        Commands commands;
        MappedBuffer pixels;
        std::uint64_t value = 0; // of done_ when the copy is
        std::optional<RingFrame> frame;
    };
    void collect(Read &read);
    void submit(Read &read, const RingFrame &frame);

    VulkanDevice &device_;
    FrameRing &ring_;
    OnFrame on_frame_;
    VulkanHandle<VkSemaphore> done_;
    std::array<Read, kFramesInFlight> reads_;
    std::uint64_t submitted_ = 0;
};

// A frame that proves itself: words that follow from the number, and their hash at the end.
void fill_hashed(const tessera_tensor &frame, std::uint32_t number);
// The number when the hash fits; nothing for a torn frame.
[[nodiscard]] std::optional<std::uint32_t> hashed_number(std::span<const std::uint32_t> words);

} // namespace tessera
