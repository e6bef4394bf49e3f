// Who may touch which frame slot: the state machine between one producer and one consumer.
// It knows no memory, no Vulkan and no CUDA; sequence numbers stand for their timelines.
//
//            acquire            publish            take_newest
//     FREE ----------> WRITING ----------> READY ---------------> SHOWN
//      ^  \_______________/  ^______________/ |                     |
//      |       abandon        acquire (drop)  | older than taken,   | release, drop
//      |                                      | withdraw            |
//      +--------------------------------------+---------------------+
//
// All of it is one atomic word, so neither side ever waits for the other, whatever its priority.
// With slots = frames in flight + 2 the producer always finds one: the consumer holds at most one
// per frame in flight, one is being written, and one more is free or ready.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <optional>

namespace tessera {

class SlotTable {
  public:
    static constexpr std::uint32_t kMaxSlots = 8;
    static constexpr std::uint64_t kEverything = std::numeric_limits<std::uint64_t>::max();

    enum class State : std::uint8_t {
        kFree = 0,
        kWriting = 1, // the producer's
        kReady = 2,   // published; anyone may take it
        kShown = 3,   // the consumer's, until its device work is done
    };
    struct Taken {
        std::uint32_t slot = 0;
        std::uint64_t sequence = 0;
    };
    struct Counts {
        std::uint64_t published = 0;
        std::uint64_t taken = 0;
        std::uint64_t dropped = 0; // published, but replaced before anyone took them
    };

    explicit SlotTable(std::uint32_t slot_count);

    // [producer] A free slot, else a ready one, whose frame is then lost: the oldest that is
    // complete by `produced` (the timeline's value; kEverything when publishing means complete) and
    // has a newer complete one after it, else the newest that is only enqueued. So a producer that
    // runs ahead of its device never takes away the frame that will be complete first. Nothing only
    // when every other slot is being written or shown.
    [[nodiscard]] std::optional<std::uint32_t> acquire(std::uint64_t produced = kEverything);
    // [producer] The slot's frame is complete, or enqueued: it counts from 1. With a device
    // timeline the producer signals this value when the frame really is complete.
    std::uint64_t publish(std::uint32_t slot);
    // The value that the next publish returns.
    [[nodiscard]] std::uint64_t next_sequence() const { return next_sequence_; }
    // [producer] The slot's contents are worthless.
    void abandon(std::uint32_t slot);
    // [producer] Ready slots past `produced` become free: their device is gone, and the frames will
    // never be complete.
    void withdraw(std::uint64_t produced);

    // [consumer] The newest ready slot whose sequence is at most `produced`. Older ready slots
    // become free: a frame is never followed by an older one.
    [[nodiscard]] std::optional<Taken> take_newest(std::uint64_t produced = kEverything);
    // [consumer] Every shown slot with a sequence up to `released` becomes free.
    void release(std::uint64_t released);
    // [consumer] This shown slot becomes free at once: no device work uses it.
    void drop(std::uint32_t slot);

    [[nodiscard]] std::uint32_t slot_count() const { return slot_count_; }
    [[nodiscard]] State state(std::uint32_t slot) const;
    [[nodiscard]] bool has_ready() const; // any slot
    [[nodiscard]] Counts counts() const;

  private:
    [[nodiscard]] std::optional<std::uint32_t> replaceable(std::uint64_t word,
                                                           std::uint64_t produced) const;

    std::uint32_t slot_count_;
    // Two state bits per slot below, a version above: it makes every change of the word visible to
    // a compare-and-swap, also one that leads back to the same states.
    std::atomic<std::uint64_t> word_{0};
    std::array<std::atomic<std::uint64_t>, kMaxSlots> sequences_{};
    std::uint64_t next_sequence_ = 1; // the producer's
    std::atomic<std::uint64_t> published_{0};
    std::atomic<std::uint64_t> taken_{0};
    std::atomic<std::uint64_t> dropped_{0};
};

} // namespace tessera
