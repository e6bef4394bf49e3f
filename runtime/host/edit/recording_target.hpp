// A stop on the way from the generator to the view: keeps a copy of every picture for the control
// thread and passes it on. Pictures in a device's memory are kept there, until somebody wants one.
#pragma once

#include "assets/image_file.hpp"
#include "core/frame_target.hpp"
#include "host/run/device_store.hpp"

#include <deque>
#include <memory>
#include <mutex>
#include <utility>
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

    // `device_bytes` of a device's memory are taken for what is kept there.
    RecordingTarget(std::shared_ptr<FrameTarget> next, std::size_t device_bytes)
        : next_(std::move(next)), store_(device_bytes) {}
    // `next` outlives this.
    RecordingTarget(FrameTarget &next, std::size_t device_bytes)
        : RecordingTarget({std::shared_ptr<void>(), &next}, device_bytes) {}

    // [any] Pictures take another way on, as when the view's device was lost: from the next one
    // that is begun while none is being made. The way so far is left and let go then, by the thread
    // that steps the generator.
    void redirect(std::shared_ptr<FrameTarget> next);

    // For SessionConfig::store, so that features are kept in the same place.
    [[nodiscard]] DeviceStore &store() { return store_; }

    [[nodiscard]] std::shared_ptr<const tessera_vulkan_device> vulkan_device() override;
    void use_device(const tessera_compute *compute) override;
    Result<tessera_tensor> acquire(std::uint32_t width, std::uint32_t height) override;
    Result<void> publish(const tessera_tensor &frame, const FrameInfo &info) override;
    void abandon(const tessera_tensor &frame) override;

    // [any] What was published since the last call, oldest first.
    [[nodiscard]] std::vector<RecordedPicture> take();

  private:
    Result<RecordedPicture> record(const tessera_tensor &frame, const FrameInfo &info);
    void take_turn();

    std::shared_ptr<FrameTarget> next_;
    std::size_t lent_ = 0; // frames of next_
    DeviceStore store_;
    const tessera_compute *compute_ = nullptr; // that makes the frames
    std::mutex mutex_;                         // for what follows
    std::shared_ptr<FrameTarget> turn_;        // in the place of next_; null: none
    std::deque<RecordedPicture> waiting_;
};

} // namespace tessera
