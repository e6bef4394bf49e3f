#include "interop/ring/frame_ring.hpp"

#include "vulkan/commands.hpp"

namespace tessera {
namespace {

void record_owner(const VulkanDevice &device, VkCommandBuffer commands, const RingFrame &frame,
                  std::uint32_t from, std::uint32_t to) {
    if (!frame.is_foreign) return;
    const bool takes = from == VK_QUEUE_FAMILY_EXTERNAL;
    VkBufferMemoryBarrier2 barrier{VK_STRUCTURE_TYPE_BUFFER_MEMORY_BARRIER_2};
    // The other half of each stage pair is the semaphore's.
    barrier.srcStageMask = VK_PIPELINE_STAGE_2_COPY_BIT;
    barrier.dstStageMask = VK_PIPELINE_STAGE_2_COPY_BIT;
    barrier.dstAccessMask = takes ? VK_ACCESS_2_TRANSFER_READ_BIT : VK_ACCESS_2_NONE;
    barrier.srcQueueFamilyIndex = from;
    barrier.dstQueueFamilyIndex = to;
    barrier.buffer = frame.pixels;
    barrier.offset = frame.offset_bytes;
    barrier.size = frame.size_bytes();
    record_barrier(device, commands, barrier);
}

Result<void> check_frame_size(const VulkanDevice &device, std::uint32_t width,
                              std::uint32_t height) {
    const std::uint32_t limit = device.properties().limits.maxImageDimension2D;
    if (width > 0 && height > 0 && width <= limit && height <= limit) return {};
    return make_error(Status::kInvalidArgument,
                      "frame of {} x {} pixels: both must be between 1 and {}", width, height,
                      limit);
}

} // namespace

Result<tessera_tensor> FrameRing::acquire(std::uint32_t width, std::uint32_t height) {
    if (auto fits = check_frame_size(device_, width, height); !fits) return fits.error();
    const auto slot = table_.acquire(complete_upto());
    if (!slot) {
        return make_error(Status::kBusy, "{}: all {} slots are in use", name_, table_.slot_count());
    }
    Place &place = places_[*slot];
    auto frame = begin(*slot, width, height, place);
    if (frame) {
        place.data = frame->data;
        place.width = width;
        place.height = height;
        return frame;
    }
    table_.abandon(*slot);
    return make_error(frame.error().status, "frame of {} x {} pixels: {}", width, height,
                      frame.error().message);
}

Result<std::uint32_t> FrameRing::slot_of(const tessera_tensor &frame) const {
    for (std::uint32_t i = 0; i < kRingSlots; ++i) {
        // The state first: the place is the producer's only while it writes.
        if (table_.state(i) == SlotTable::State::kWriting && places_[i].data == frame.data) {
            return i;
        }
    }
    return make_error(Status::kInvalidArgument,
                      "published frame is not one that was acquired from this ring");
}

Result<void> FrameRing::publish(const tessera_tensor &frame, const FrameInfo &info) {
    const auto slot = slot_of(frame);
    if (!slot) return slot.error();
    places_[*slot].info = info;
    // The signal first: should it fail, nobody has seen the frame.
    if (auto finished = finish(*slot, table_.next_sequence()); !finished) {
        table_.abandon(*slot);
        return finished;
    }
    table_.publish(*slot);
    return {};
}

void FrameRing::abandon(const tessera_tensor &frame) {
    if (const auto slot = slot_of(frame)) table_.abandon(*slot);
}

std::optional<RingFrame> FrameRing::take(std::uint64_t released, std::uint64_t produced) {
    table_.release(released);
    const auto taken = table_.take_newest(produced);
    if (!taken) return std::nullopt;
    const Place &place = places_[taken->slot];
    return RingFrame{.slot = taken->slot,
                     .release_value = taken->sequence,
                     .pixels = place.pixels,
                     .offset_bytes = place.offset_bytes,
                     .width = place.width,
                     .height = place.height,
                     .info = place.info,
                     .is_foreign = place.is_foreign};
}

void record_frame_taken(const VulkanDevice &device, VkCommandBuffer commands,
                        const RingFrame &frame) {
    record_owner(device, commands, frame, VK_QUEUE_FAMILY_EXTERNAL, device.queue_family());
}

void record_frame_given_back(const VulkanDevice &device, VkCommandBuffer commands,
                             const RingFrame &frame) {
    record_owner(device, commands, frame, device.queue_family(), VK_QUEUE_FAMILY_EXTERNAL);
}

tessera_tensor frame_tensor(void *data, tessera_memory memory, std::uint32_t width,
                            std::uint32_t height) {
    tessera_tensor frame{};
    frame.data = data;
    frame.dtype = TESSERA_DTYPE_U8;
    frame.memory = memory;
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

} // namespace tessera
