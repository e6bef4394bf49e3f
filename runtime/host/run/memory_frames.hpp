// A FrameTarget in plain memory, for programs without a window and for tests.
#pragma once

#include "core/frame_target.hpp"

#include <cstdint>
#include <functional>
#include <list>
#include <vector>

namespace tessera {

class MemoryFrames : public FrameTarget {
  public:
    using OnFrame = std::function<Result<void>(const tessera_tensor &, const FrameInfo &)>;

    // `on_frame` sees every published frame, valid during the call; an error fails the job. Empty:
    // frames are dropped.
    explicit MemoryFrames(OnFrame on_frame = {});

    Result<tessera_tensor> acquire(std::uint32_t width, std::uint32_t height) override;
    Result<void> publish(const tessera_tensor &frame, const FrameInfo &info) override;
    void abandon(const tessera_tensor &frame) override;

  private:
    struct Slot {
        std::vector<std::uint8_t> pixels;
        bool acquired = false;
    };
    void release(const tessera_tensor &frame);

    OnFrame on_frame_;
    std::list<Slot> slots_; // reused, so that a run allocates few
};

} // namespace tessera
