#include "host/edit/recording_target.hpp"

#include <cstring>
#include <iterator>
#include <utility>

namespace tessera {
namespace {

// (height, width, 4) U8 of the host's, with any row stride.
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

} // namespace

void RecordingTarget::redirect(std::shared_ptr<FrameTarget> next) {
    const std::lock_guard lock(mutex_);
    turn_ = std::move(next);
}

// To the way that was asked for, unless a frame of this one is out.
void RecordingTarget::take_turn() {
    if (lent_ > 0) return;
    std::shared_ptr<FrameTarget> next;
    {
        const std::lock_guard lock(mutex_);
        next = std::move(turn_);
    }
    if (next == nullptr) return;
    next_->use_device(nullptr);
    next_ = std::move(next);
    if (compute_ != nullptr) next_->use_device(compute_);
}

std::shared_ptr<const tessera_vulkan_device> RecordingTarget::vulkan_device() {
    take_turn();
    const auto device = next_->vulkan_device();
    if (device == nullptr) return nullptr;
    return {next_, device.get()};
}

void RecordingTarget::use_device(const tessera_compute *compute) {
    take_turn();
    compute_ = compute;
    next_->use_device(compute);
}

Result<tessera_tensor> RecordingTarget::acquire(std::uint32_t width, std::uint32_t height) {
    take_turn();
    auto frame = next_->acquire(width, height);
    if (frame) ++lent_;
    return frame;
}

Result<RecordedPicture> RecordingTarget::record(const tessera_tensor &frame,
                                                const FrameInfo &info) {
    RecordedPicture picture{info};
    if (frame.memory != TESSERA_MEMORY_HOST) {
        if (info.tag != kNotShown) picture.kept = store_.keep(frame);
        if (picture.kept != nullptr || compute_ == nullptr) return picture;
        const auto bytes = read_tensor(*compute_, frame);
        if (!bytes) return bytes.error();
        tessera_tensor read = frame;
        read.data = const_cast<std::byte *>(bytes->data());
        read.stride[0] = frame.shape[1] * 4;
        picture.image = std::make_shared<const Image>(copy_of(read));
        return picture;
    }
    picture.image = std::make_shared<const Image>(copy_of(frame));
    return picture;
}

Result<void> RecordingTarget::publish(const tessera_tensor &frame, const FrameInfo &info) {
    // Before it is published: after that the memory is the view's.
    auto picture = record(frame, info);
    if (!picture) {
        abandon(frame);
        return picture.error();
    }
    if (info.tag != kNotShown) {
        --lent_;
        if (auto published = next_->publish(frame, info); !published) return published;
    } else {
        abandon(frame);
    }
    if (picture->image == nullptr && picture->kept == nullptr)
        return {}; // of a device that has gone
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMaxWaiting) waiting_.pop_front();
    waiting_.push_back(std::move(*picture));
    return {};
}

void RecordingTarget::abandon(const tessera_tensor &frame) {
    --lent_;
    next_->abandon(frame);
}

std::vector<RecordedPicture> RecordingTarget::take() {
    const std::lock_guard lock(mutex_);
    std::vector<RecordedPicture> taken(std::make_move_iterator(waiting_.begin()),
                                       std::make_move_iterator(waiting_.end()));
    waiting_.clear();
    return taken;
}

} // namespace tessera
