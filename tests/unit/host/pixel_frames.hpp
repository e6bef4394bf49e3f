// Frames of the test plugins, as far as tests look at them.
#pragma once

#include "host/run/memory_frames.hpp"

#include <cstdint>
#include <mutex>
#include <vector>

namespace tessera::test {

// The first pixel of every published frame: seed, class, activations (255: a mask was there), and
// what the generator was activated with.
class PixelFrames : public MemoryFrames {
  public:
    struct Seen {
        std::uint8_t seed, class_index, activations, device_size;
        FrameInfo info;
    };
    PixelFrames()
        : MemoryFrames([this](const tessera_tensor &frame, const FrameInfo &info) {
              const auto *const pixel = static_cast<const std::uint8_t *>(frame.data);
              const std::lock_guard lock(mutex_);
              seen_.push_back({pixel[0], pixel[1], pixel[2], pixel[3], info});
              return Result<void>();
          }) {}
    std::vector<Seen> seen() const {
        const std::lock_guard lock(mutex_);
        return seen_;
    }

  private:
    mutable std::mutex mutex_;
    std::vector<Seen> seen_;
};

} // namespace tessera::test
