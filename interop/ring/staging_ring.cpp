#include "interop/ring/staging_ring.hpp"

#include <algorithm>

namespace tessera {

Result<std::unique_ptr<StagingRing>> StagingRing::create(const VulkanDevice &device) {
    auto ring = std::unique_ptr<StagingRing>(new StagingRing(device));
    auto release = device.make_timeline(0);
    if (!release) return release.error();
    ring->release_ = std::move(*release);
    device.name(VK_OBJECT_TYPE_SEMAPHORE, ring->release_.get(), "staging ring: released");
    return ring;
}

Result<tessera_tensor> StagingRing::acquire(std::uint32_t width, std::uint32_t height) {
    if (auto fits = check_frame_size(device_, width, height); !fits) return fits.error();
    const auto index = table_.acquire();
    if (!index) {
        return make_error(Status::kBusy, "frame ring: all {} slots are in use",
                          table_.slot_count());
    }
    Slot &slot = slots_[*index];
    const VkDeviceSize size_bytes = VkDeviceSize{width} * height * 4;
    if (slot.buffer.bytes.size() < size_bytes) {
        auto buffer =
            make_mapped_buffer(device_, size_bytes, VK_BUFFER_USAGE_TRANSFER_SRC_BIT, true);
        if (!buffer) {
            table_.abandon(*index);
            return make_error(buffer.error().status, "frame of {} x {} pixels: {}", width, height,
                              buffer.error().message);
        }
        slot.buffer = std::move(*buffer);
        device_.name(VK_OBJECT_TYPE_BUFFER, slot.buffer.buffer.get(),
                     fmt::format("staging ring: slot {}", *index));
    }
    slot.width = width;
    slot.height = height;

    return frame_tensor(slot.buffer.bytes.data(), TESSERA_MEMORY_HOST, width, height);
}

std::optional<std::uint32_t> StagingRing::slot_of(const tessera_tensor &frame) const {
    for (std::uint32_t i = 0; i < kRingSlots; ++i) {
        // The state first: the other fields are the producer's only while it writes.
        if (table_.state(i) == SlotTable::State::kWriting &&
            slots_[i].buffer.bytes.data() == frame.data) {
            return i;
        }
    }
    return std::nullopt;
}

Result<void> StagingRing::publish(const tessera_tensor &frame, const FrameInfo &info) {
    const auto slot = slot_of(frame);
    if (!slot) {
        return make_error(Status::kInvalidArgument,
                          "published frame is not one that was acquired from this ring");
    }
    slots_[*slot].info = info;
    table_.publish(*slot);
    return {};
}

void StagingRing::abandon(const tessera_tensor &frame) {
    if (const auto slot = slot_of(frame)) table_.abandon(*slot);
}

std::optional<RingFrame> StagingRing::take_newest() {
    // When the device is lost there is nothing to release either; the next submission reports it.
    if (const auto released = device_.timeline_value(release_.get())) table_.release(*released);
    const auto taken = table_.take_newest();
    if (!taken) return std::nullopt;
    const Slot &slot = slots_[taken->slot];
    return RingFrame{.slot = taken->slot,
                     .release_value = taken->sequence,
                     .pixels = slot.buffer.buffer.get(),
                     .width = slot.width,
                     .height = slot.height,
                     .info = slot.info};
}

void StagingRing::drop(const RingFrame &frame) { table_.drop(frame.slot); }

} // namespace tessera
