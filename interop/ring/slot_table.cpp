#include "interop/ring/slot_table.hpp"

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

std::optional<std::uint32_t> SlotTable::replaceable(std::uint64_t word,
                                                    std::uint64_t produced) const {
    std::optional<Taken> oldest_complete;
    std::optional<Taken> newest_enqueued;
    std::uint32_t complete = 0;
    for (std::uint32_t slot = 0; slot < slot_count_; ++slot) {
        if (state_in(word, slot) != State::kReady) continue;
        const std::uint64_t sequence = sequences_[slot].load(std::memory_order_relaxed);
        if (sequence <= produced) {
            ++complete;
            if (!oldest_complete || sequence < oldest_complete->sequence) {
                oldest_complete = Taken{slot, sequence};
            }
        } else if (!newest_enqueued || sequence > newest_enqueued->sequence) {
            newest_enqueued = Taken{slot, sequence};
        }
    }
    if (newest_enqueued && complete < 2) return newest_enqueued->slot;
    if (oldest_complete) return oldest_complete->slot;
    return std::nullopt;
}

std::optional<std::uint32_t> SlotTable::acquire(std::uint64_t produced) {
    std::uint64_t seen = word_.load(std::memory_order_acquire);
    while (true) {
        std::optional<std::uint32_t> free;
        for (std::uint32_t slot = 0; slot < slot_count_ && !free; ++slot) {
            if (state_in(seen, slot) == State::kFree) free = slot;
        }
        const auto chosen = free ? free : replaceable(seen, produced);
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

void SlotTable::withdraw(std::uint64_t produced) {
    std::uint64_t seen = word_.load(std::memory_order_acquire);
    while (true) {
        std::uint64_t next = seen;
        std::uint64_t withdrawn = 0;
        for (std::uint32_t slot = 0; slot < slot_count_; ++slot) {
            if (state_in(seen, slot) != State::kReady) continue;
            if (sequences_[slot].load(std::memory_order_relaxed) <= produced) continue;
            next = with_state(next, slot, State::kFree);
            ++withdrawn;
        }
        if (withdrawn == 0) return;
        next += kVersionStep;
        if (!word_.compare_exchange_weak(seen, next, std::memory_order_acq_rel)) continue;
        dropped_.fetch_add(withdrawn, std::memory_order_relaxed);
        return;
    }
}

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

bool SlotTable::has_ready() const {
    const std::uint64_t word = word_.load(std::memory_order_acquire);
    for (std::uint32_t slot = 0; slot < slot_count_; ++slot) {
        if (state_in(word, slot) == State::kReady) return true;
    }
    return false;
}

SlotTable::Counts SlotTable::counts() const {
    return {published_.load(std::memory_order_relaxed), taken_.load(std::memory_order_relaxed),
            dropped_.load(std::memory_order_relaxed)};
}

} // namespace tessera
