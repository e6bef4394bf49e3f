// A stop on the way from the generator to the view: copies every picture for the control thread and
// passes it on. Pictures in a device's memory are downloaded for that.
#pragma once

#include "assets/image_file.hpp"
#include "core/frame_target.hpp"

#include <deque>
#include <memory>
#include <mutex>
#include <vector>

namespace tessera {

struct RecordedPicture {
    FrameInfo info;
    std::shared_ptr<const Image> image; // RGBA
};

class RecordingTarget : public FrameTarget {
  public:
    // Pictures that wait for `take`; the oldest goes when there are more.
    static constexpr std::size_t kMaxWaiting = 64;
    // Pictures of requests with this tag are copied only, and not passed on.
    static constexpr std::uint64_t kNotShown = 1;

    // `next` outlives this.
    explicit RecordingTarget(FrameTarget &next) : next_(next) {}

    void use_device(const tessera_compute *compute) override;
    Result<tessera_tensor> acquire(std::uint32_t width, std::uint32_t height) override;
    Result<void> publish(const tessera_tensor &frame, const FrameInfo &info) override;
    void abandon(const tessera_tensor &frame) override;

    // [any] What was published since the last call, oldest first.
    [[nodiscard]] std::vector<RecordedPicture> take();

  private:
    FrameTarget &next_;
    const tessera_compute *compute_ = nullptr; // that makes the frames
    std::mutex mutex_;
    std::deque<RecordedPicture> waiting_;
};

} // namespace tessera
