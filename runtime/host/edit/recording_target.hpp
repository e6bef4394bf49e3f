// A stop on the way from the generator to the view: keeps a copy of every picture for the control
// thread and passes it on. Pictures in a device's memory are kept there, until somebody wants one.
#pragma once

#include "assets/image_file.hpp"
#include "core/frame_target.hpp"
#include "host/run/device_store.hpp"

#include <deque>
#include <memory>
#include <mutex>
#include <vector>

namespace tessera {

struct RecordedPicture {
    FrameInfo info;
    std::shared_ptr<const Image> image = nullptr;     // RGBA; or
    std::shared_ptr<const KeptTensor> kept = nullptr; // (height, width, 4) U8 on the device
};

class RecordingTarget : public FrameTarget {
  public:
    // Pictures that wait for `take`; the oldest goes when there are more.
    static constexpr std::size_t kMaxWaiting = 64;
    // Pictures of requests with this tag are read at once, and not passed on.
    static constexpr std::uint64_t kNotShown = 1;

    // `next` outlives this. `device_bytes` of a device's memory are taken for what is kept there.
    RecordingTarget(FrameTarget &next, std::size_t device_bytes)
        : next_(next), store_(device_bytes) {}

    // For SessionConfig::store, so that features are kept in the same place.
    [[nodiscard]] DeviceStore &store() { return store_; }

    void use_device(const tessera_compute *compute) override;
    Result<tessera_tensor> acquire(std::uint32_t width, std::uint32_t height) override;
    Result<void> publish(const tessera_tensor &frame, const FrameInfo &info) override;
    void abandon(const tessera_tensor &frame) override;

    // [any] What was published since the last call, oldest first.
    [[nodiscard]] std::vector<RecordedPicture> take();

  private:
    Result<RecordedPicture> record(const tessera_tensor &frame, const FrameInfo &info);

    FrameTarget &next_;
    DeviceStore store_;
    const tessera_compute *compute_ = nullptr; // that makes the frames
    std::mutex mutex_;
    std::deque<RecordedPicture> waiting_;
};

} // namespace tessera
