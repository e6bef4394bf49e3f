#include "host/edit/recording_target.hpp"

#include "core/log.hpp"
#include "core/tensor.hpp"

#include <cstring>
#include <iterator>
#include <utility>

namespace tessera {
namespace {

// (height, width, 4) U8 with any row stride.
Image copy_of(const tessera_tensor &frame) {
    Image image{static_cast<std::uint32_t>(frame.shape[1]),
                static_cast<std::uint32_t>(frame.shape[0]),
                4,
                {}};
    const std::size_t row_bytes = std::size_t{image.width} * 4;
    image.pixels.resize(row_bytes * image.height);
    const auto *from = static_cast<const std::uint8_t *>(frame.data);
    for (std::uint32_t y = 0; y < image.height; ++y, from += frame.stride[0]) {
        std::memcpy(image.pixels.data() + y * row_bytes, from, row_bytes);
    }
    return image;
}

// The same of a frame in the compute's memory. The wait is short: a job that emits a picture has
// waited for the work before it already.
Result<Image> downloaded(const tessera_compute &compute, const tessera_tensor &frame) {
    Image image{static_cast<std::uint32_t>(frame.shape[1]),
                static_cast<std::uint32_t>(frame.shape[0]),
                4,
                {}};
    image.pixels.resize(std::size_t{image.width} * image.height * 4);
    const auto host = make_view(image.pixels.data(), TESSERA_DTYPE_U8,
                                {image.height, image.width, image.channels});
    if (!host) return host.error();
    (void)log::take_last_error();
    compute.download(&compute, &frame, &*host);
    if (const tessera_status status = compute.synchronize(&compute); status != TESSERA_OK) {
        return make_error(static_cast<Status>(status), "a picture's download: {}",
                          log::take_last_error());
    }
    return image;
}

} // namespace

void RecordingTarget::use_device(const tessera_compute *compute) {
    compute_ = compute;
    next_.use_device(compute);
}

Result<tessera_tensor> RecordingTarget::acquire(std::uint32_t width, std::uint32_t height) {
    return next_.acquire(width, height);
}

Result<void> RecordingTarget::publish(const tessera_tensor &frame, const FrameInfo &info) {
    std::shared_ptr<const Image> image;
    // Before it is published: after that the memory is the view's.
    if (frame.memory == TESSERA_MEMORY_HOST) {
        image = std::make_shared<const Image>(copy_of(frame));
    } else if (compute_ != nullptr) {
        auto made = downloaded(*compute_, frame);
        if (!made) {
            next_.abandon(frame);
            return made.error();
        }
        image = std::make_shared<const Image>(std::move(*made));
    }
    if (info.tag != kNotShown) {
        if (auto published = next_.publish(frame, info); !published) return published;
    } else {
        next_.abandon(frame);
    }
    if (image == nullptr) return {};
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMaxWaiting) waiting_.pop_front();
    waiting_.push_back({info, std::move(image)});
    return {};
}

void RecordingTarget::abandon(const tessera_tensor &frame) { next_.abandon(frame); }

std::vector<RecordedPicture> RecordingTarget::take() {
    const std::lock_guard lock(mutex_);
    std::vector<RecordedPicture> taken(std::make_move_iterator(waiting_.begin()),
                                       std::make_move_iterator(waiting_.end()));
    waiting_.clear();
    return taken;
}

} // namespace tessera
