#include "interop/staging_ring.hpp"

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
    const std::uint32_t limit = device_.properties().limits.maxImageDimension2D;
    if (width == 0 || height == 0 || width > limit || height > limit) {
        return make_error(Status::kInvalidArgument,
                          "frame of {} x {} pixels: both must be between 1 and {}", width, height,
                          limit);
    }
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

    tessera_tensor frame{};
    frame.data = slot.buffer.bytes.data();
    frame.dtype = TESSERA_DTYPE_U8;
    frame.memory = TESSERA_MEMORY_HOST;
    frame.layout = TESSERA_LAYOUT_STRIDED;
    frame.rank = 3; // (height, width, 4)
    frame.shape[0] = height;
    frame.shape[1] = width;
    frame.shape[2] = 4;
    frame.shape[3] = 1;
    frame.stride[0] = std::int64_t{width} * 4;
    frame.stride[1] = 4;
    frame.stride[2] = 1;
    return frame;
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
    return RingFrame{taken->slot, taken->sequence, slot.buffer.buffer.get(),
                     slot.width,  slot.height,     slot.info};
}

void StagingRing::drop(const RingFrame &frame) { table_.drop(frame.slot); }

} // namespace tessera
