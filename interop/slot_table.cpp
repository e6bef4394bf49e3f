#include "interop/slot_table.hpp"

#include "core/result.hpp"

namespace tessera {
namespace {

constexpr std::uint32_t kBitsPerSlot = 2;
constexpr std::uint64_t kVersionStep = 1ULL << (SlotTable::kMaxSlots * kBitsPerSlot);

SlotTable::State state_in(std::uint64_t word, std::uint32_t slot) {
    return static_cast<SlotTable::State>((word >> (slot * kBitsPerSlot)) & 3U);
}

std::uint64_t with_state(std::uint64_t word, std::uint32_t slot, SlotTable::State state) {
    const std::uint32_t shift = slot * kBitsPerSlot;
    return (word & ~(3ULL << shift)) | (static_cast<std::uint64_t>(state) << shift);
}

// One slot leaves `from`, which only its present owner can do.
void change(std::atomic<std::uint64_t> &word, std::uint32_t slot, SlotTable::State from,
            SlotTable::State to) {
    std::uint64_t seen = word.load(std::memory_order_acquire);
    std::uint64_t next = 0;
    do {
        TESSERA_ASSERT(state_in(seen, slot) == from);
        next = with_state(seen, slot, to) + kVersionStep;
    } while (!word.compare_exchange_weak(seen, next, std::memory_order_acq_rel));
}

} // namespace

SlotTable::SlotTable(std::uint32_t slot_count) : slot_count_(slot_count) {
    TESSERA_ASSERT(slot_count >= 2 && slot_count <= kMaxSlots);
}

std::optional<std::uint32_t> SlotTable::acquire() {
    std::uint64_t seen = word_.load(std::memory_order_acquire);
    while (true) {
        std::optional<std::uint32_t> free;
        std::optional<std::uint32_t> oldest_ready;
        std::uint64_t oldest = kEverything;
        for (std::uint32_t slot = 0; slot < slot_count_; ++slot) {
            const State state = state_in(seen, slot);
            if (state == State::kFree && !free) free = slot;
            if (state != State::kReady) continue;
            const std::uint64_t sequence = sequences_[slot].load(std::memory_order_relaxed);
            if (sequence >= oldest) continue;
            oldest = sequence;
            oldest_ready = slot;
        }
        const auto chosen = free ? free : oldest_ready;
        if (!chosen) return std::nullopt;
        const std::uint64_t next = with_state(seen, *chosen, State::kWriting) + kVersionStep;
        if (!word_.compare_exchange_weak(seen, next, std::memory_order_acq_rel)) continue;
        if (!free) dropped_.fetch_add(1, std::memory_order_relaxed);
        return chosen;
    }
}

std::uint64_t SlotTable::publish(std::uint32_t slot) {
    const std::uint64_t sequence = next_sequence_++;
    sequences_[slot].store(sequence, std::memory_order_relaxed); // made visible by the next line
    change(word_, slot, State::kWriting, State::kReady);
    published_.fetch_add(1, std::memory_order_relaxed);
    return sequence;
}

void SlotTable::abandon(std::uint32_t slot) { change(word_, slot, State::kWriting, State::kFree); }

std::optional<SlotTable::Taken> SlotTable::take_newest(std::uint64_t produced) {
    std::uint64_t seen = word_.load(std::memory_order_acquire);
    while (true) {
        std::array<std::uint64_t, kMaxSlots> sequences{};
        std::optional<Taken> newest;
        for (std::uint32_t slot = 0; slot < slot_count_; ++slot) {
            if (state_in(seen, slot) != State::kReady) continue;
            sequences[slot] = sequences_[slot].load(std::memory_order_relaxed);
            const bool newer = !newest || sequences[slot] > newest->sequence;
            if (sequences[slot] <= produced && newer) newest = Taken{slot, sequences[slot]};
        }
        if (!newest) return std::nullopt;

        std::uint64_t next = with_state(seen, newest->slot, State::kShown);
        std::uint64_t recycled = 0;
        for (std::uint32_t slot = 0; slot < slot_count_; ++slot) {
            if (state_in(next, slot) != State::kReady) continue;
            if (sequences[slot] > newest->sequence) continue; // enqueued, not complete
            next = with_state(next, slot, State::kFree);
            ++recycled;
        }
        next += kVersionStep;
        if (!word_.compare_exchange_weak(seen, next, std::memory_order_acq_rel)) continue;
        taken_.fetch_add(1, std::memory_order_relaxed);
        dropped_.fetch_add(recycled, std::memory_order_relaxed);
        return newest;
    }
}

void SlotTable::release(std::uint64_t released) {
    for (std::uint32_t slot = 0; slot < slot_count_; ++slot) {
        if (state(slot) != State::kShown) continue; // only the consumer ends that state
        if (sequences_[slot].load(std::memory_order_relaxed) > released) continue;
        change(word_, slot, State::kShown, State::kFree);
    }
}

void SlotTable::drop(std::uint32_t slot) { change(word_, slot, State::kShown, State::kFree); }

SlotTable::State SlotTable::state(std::uint32_t slot) const {
    return state_in(word_.load(std::memory_order_acquire), slot);
}

SlotTable::Counts SlotTable::counts() const {
    return {published_.load(std::memory_order_relaxed), taken_.load(std::memory_order_relaxed),
            dropped_.load(std::memory_order_relaxed)};
}

} // namespace tessera
