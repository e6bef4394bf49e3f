#include "host/run/frame_guard.hpp"

#include <algorithm>
#include <cstring>
#include <span>

namespace tessera {
namespace {

constexpr std::byte kUntouched{0xA5};

std::size_t touched(std::span<const std::byte> row) {
    return static_cast<std::size_t>(
        std::count_if(row.begin(), row.end(), [](std::byte byte) { return byte != kUntouched; }));
}

} // namespace

FrameGuard::FrameGuard(const tessera_tensor &frame)
    : frame_(frame), given_(frame),
      memory_(row_bytes() * static_cast<std::size_t>(frame.shape[0] + 2), kUntouched) {
    given_.data = memory_.data() + row_bytes();
}

Result<void> FrameGuard::take_pixels() const {
    const std::span all(memory_);
    const std::size_t before = touched(all.first(row_bytes()));
    const std::size_t behind = touched(all.last(row_bytes()));
    if (before + behind > 0) {
        return make_error(Status::kFailed,
                          "a frame of {} x {}: {} bytes were written before it and {} behind it",
                          frame_.shape[1], frame_.shape[0], before, behind);
    }
    const std::size_t drawn = memory_.size() - 2 * row_bytes();
    std::memcpy(frame_.data, given_.data, drawn);
    return {};
}

} // namespace tessera
