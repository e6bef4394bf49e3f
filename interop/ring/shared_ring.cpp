#include "interop/ring/shared_ring.hpp"

#include "core/log.hpp"

#include <utility>

namespace tessera {
namespace {

constexpr VkDeviceSize kSlotAlignment = 64 * 1024; // what every API maps on its own

VkDeviceSize rounded_up(VkDeviceSize bytes) {
    return (bytes + kSlotAlignment - 1) / kSlotAlignment * kSlotAlignment;
}

} // namespace

Result<std::unique_ptr<SharedRing>> SharedRing::create(const VulkanDevice &device) {
    auto ready = SharedTimeline::create(device, "shared ring: ready");
    if (!ready) return ready.error();
    auto released = SharedTimeline::create(device, "shared ring: released");
    if (!released) return released.error();
    return std::unique_ptr<SharedRing>(
        new SharedRing(device, std::move(*ready), std::move(*released)));
}

SharedRing::~SharedRing() { disconnect(); }

void SharedRing::connect(std::unique_ptr<SharedWriter> writer) {
    const std::lock_guard lock(writer_mutex_);
    TESSERA_ASSERT(writer_ == nullptr);
    writer_ = std::move(writer);
}

void SharedRing::disconnect() {
    if (writer_ == nullptr) return;
    if (auto finished = writer_->synchronize(); !finished) {
        log::warning("frame ring", "{}: {}", writer_->description(), finished.error().message);
    }
    for (std::uint32_t i = 0; i < kRingSlots; ++i) {
        if (table_.state(i) == SlotTable::State::kWriting) table_.abandon(i);
        // The view may still read the buffer; the writer's side of it goes.
        if (slots_[i].store != nullptr) slots_[i].store->mapping.reset();
    }
    if (store_ != nullptr) store_->mapping.reset();
    store_.reset();
    {
        const std::lock_guard lock(writer_mutex_);
        writer_.reset();
    }
    // When the device is lost no frame is known to be complete.
    const auto produced = ready_.value();
    table_.withdraw(produced ? *produced : 0);
}

// Forgets memory that frames no longer lie in. The renderer is done with it; the writer's device
// may still be writing a frame that was dropped.
void SharedRing::leave(std::shared_ptr<Store> &store) {
    if (store != nullptr && store != store_ && store.use_count() == 1 && store->mapping) {
        if (auto finished = writer_->synchronize(); !finished) {
            log::warning("frame ring", "{}: {}", writer_->description(), finished.error().message);
        }
    }
    store.reset();
}

Result<void> SharedRing::make_room(VkDeviceSize size_bytes) {
    if (store_ != nullptr && store_->slot_bytes >= size_bytes) return {};
    const VkDeviceSize slot_bytes = rounded_up(size_bytes);
    auto buffer = writer_->is_here() ? SharedBuffer::create_here(device_, slot_bytes * kRingSlots)
                                     : SharedBuffer::create(device_, slot_bytes * kRingSlots);
    if (!buffer) return buffer.error();
    auto store = std::make_shared<Store>(std::move(*buffer));
    store->slot_bytes = slot_bytes;
    auto mapping = writer_->map(store->buffer);
    if (!mapping) return mapping.error();
    store->mapping = std::move(*mapping);
    std::shared_ptr<Store> old = std::exchange(store_, std::move(store));
    for (std::uint32_t i = 0; i < kRingSlots; ++i) { // a free slot is nobody's but ours
        if (table_.state(i) == SlotTable::State::kFree) leave(slots_[i].store);
    }
    leave(old);
    return {};
}

Result<tessera_tensor> SharedRing::acquire(std::uint32_t width, std::uint32_t height) {
    if (writer_ != nullptr) return FrameRing::acquire(width, height);
    return make_error(Status::kInvalidArgument, "shared ring: no device writes to it");
}

Result<tessera_tensor> SharedRing::begin(std::uint32_t index, std::uint32_t width,
                                         std::uint32_t height, Place &place) {
    Slot &slot = slots_[index];
    if (auto room = make_room(VkDeviceSize{width} * height * 4); !room) return room.error();
    if (slot.store != store_) {
        leave(slot.store);
        slot.store = store_;
    }
    slot.place = {index, index * store_->slot_bytes, width, height};
    place.pixels = store_->buffer.get();
    place.offset_bytes = slot.place.offset_bytes;
    place.is_foreign = store_->buffer.is_foreign();
    return store_->mapping->begin(slot.place, released_value_);
}

Result<void> SharedRing::finish(std::uint32_t index, std::uint64_t sequence) {
    return slots_[index].store->mapping->finish(slots_[index].place, sequence);
}

std::optional<RingFrame> SharedRing::take_newest() {
    if (const std::unique_lock lock(writer_mutex_, std::try_to_lock); lock && writer_) {
        writer_->carry();
    }
    // When the device is lost there is nothing to show either; the next submission reports it.
    const auto released = released_.value();
    const auto produced = ready_.value();
    if (!released || !produced) return std::nullopt;
    ready_value_ = *produced;
    released_value_ = *released; // before slots become free by it
    auto frame = take(*released, *produced);
    if (!frame) return std::nullopt;
    frame->ready = ready_.get();
    frame->ready_value = frame->release_value;
    return frame;
}

} // namespace tessera
