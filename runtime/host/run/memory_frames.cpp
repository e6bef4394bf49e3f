#include "host/run/memory_frames.hpp"

#include "core/tensor.hpp"

#include <utility>

namespace tessera {

MemoryFrames::MemoryFrames(OnFrame on_frame) : on_frame_(std::move(on_frame)) {}

Result<tessera_tensor> MemoryFrames::acquire(std::uint32_t width, std::uint32_t height) {
    Slot *slot = nullptr;
    for (Slot &candidate : slots_) {
        if (!candidate.acquired) slot = &candidate;
    }
    if (slot == nullptr) slot = &slots_.emplace_back();
    slot->pixels.resize(std::size_t{width} * height * 4);
    slot->acquired = true;
    return make_view(slot->pixels.data(), TESSERA_DTYPE_U8, {height, width, 4});
}

Result<void> MemoryFrames::publish(const tessera_tensor &frame, const FrameInfo &info) {
    Result<void> result;
    if (on_frame_) result = on_frame_(frame, info);
    release(frame);
    return result;
}

void MemoryFrames::abandon(const tessera_tensor &frame) { release(frame); }

void MemoryFrames::release(const tessera_tensor &frame) {
    for (Slot &slot : slots_) {
        if (slot.pixels.data() == frame.data) slot.acquired = false;
    }
}

} // namespace tessera
