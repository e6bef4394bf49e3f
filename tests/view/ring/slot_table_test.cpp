// The slot table alone: every transition, then two threads at different speeds.
#include "interop/ring/slot_table.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

namespace tessera {
namespace {

using State = SlotTable::State;

std::uint32_t acquired(SlotTable &table) {
    const auto slot = table.acquire();
    EXPECT_TRUE(slot.has_value());
    return slot.value_or(0);
}

std::uint64_t produce(SlotTable &table) { return table.publish(acquired(table)); }

TEST(SlotTable, StartsFreeWithNothingToTake) {
    SlotTable table(4);
    for (std::uint32_t slot = 0; slot < 4; ++slot) EXPECT_EQ(table.state(slot), State::kFree);
    EXPECT_FALSE(table.take_newest());
}

TEST(SlotTable, WalksTheWholeCircle) {
    SlotTable table(4);
    const std::uint32_t slot = acquired(table);
    EXPECT_EQ(table.state(slot), State::kWriting);
    EXPECT_FALSE(table.take_newest()) << "a frame that is being written is nobody's";
    EXPECT_FALSE(table.has_ready());
    EXPECT_EQ(table.next_sequence(), 1U);
    EXPECT_EQ(table.publish(slot), 1U);
    EXPECT_EQ(table.state(slot), State::kReady);
    EXPECT_TRUE(table.has_ready());
    const auto taken = table.take_newest();
    ASSERT_TRUE(taken);
    EXPECT_FALSE(table.has_ready());
    EXPECT_EQ(taken->slot, slot);
    EXPECT_EQ(taken->sequence, 1U);
    EXPECT_EQ(table.state(slot), State::kShown);
    table.release(0);
    EXPECT_EQ(table.state(slot), State::kShown) << "its device work is not done";
    table.release(1);
    EXPECT_EQ(table.state(slot), State::kFree);
}

TEST(SlotTable, AbandonedFramesAreNeverTaken) {
    SlotTable table(4);
    const std::uint32_t slot = acquired(table);
    table.abandon(slot);
    EXPECT_EQ(table.state(slot), State::kFree);
    EXPECT_FALSE(table.take_newest());
    EXPECT_EQ(table.next_sequence(), 1U) << "abandoning uses no sequence number";
}

TEST(SlotTable, DroppedFramesAreFreeAtOnce) {
    SlotTable table(4);
    produce(table);
    const auto taken = table.take_newest();
    ASSERT_TRUE(taken);
    table.drop(taken->slot);
    EXPECT_EQ(table.state(taken->slot), State::kFree);
}

TEST(SlotTable, TakesTheNewestAndRecyclesTheOlder) {
    SlotTable table(4);
    produce(table);
    produce(table);
    const std::uint32_t newest = acquired(table);
    table.publish(newest);
    const auto taken = table.take_newest();
    ASSERT_TRUE(taken);
    EXPECT_EQ(taken->slot, newest);
    EXPECT_EQ(taken->sequence, 3U);
    std::uint32_t free = 0;
    for (std::uint32_t slot = 0; slot < 4; ++slot) free += table.state(slot) == State::kFree;
    EXPECT_EQ(free, 3U) << "the two older frames must not be shown later";
    EXPECT_FALSE(table.take_newest());
    EXPECT_EQ(table.counts().dropped, 2U);
}

TEST(SlotTable, ProducerOverwritesTheOldestReadyFrame) {
    SlotTable table(4);
    std::array<std::uint32_t, 4> slots{};
    for (std::uint32_t &slot : slots) {
        slot = acquired(table);
        table.publish(slot);
    }
    EXPECT_EQ(acquired(table), slots[0]);
    EXPECT_EQ(table.counts().dropped, 1U);
    EXPECT_EQ(acquired(table), slots[1]);
}

TEST(SlotTable, FrameThatIsNotCompleteIsNotTaken) {
    SlotTable table(4);
    const std::uint64_t first = produce(table);
    const std::uint64_t second = produce(table); // enqueued on a device, not finished
    const auto taken = table.take_newest(first);
    ASSERT_TRUE(taken);
    EXPECT_EQ(taken->sequence, first);
    EXPECT_FALSE(table.take_newest(first));
    const auto later = table.take_newest(second);
    ASSERT_TRUE(later);
    EXPECT_EQ(later->sequence, second);
}

TEST(SlotTable, ReleasesOnlyWhatTheTimelineHasPassed) {
    SlotTable table(4);
    produce(table);
    const auto first = table.take_newest();
    produce(table);
    const auto second = table.take_newest();
    ASSERT_TRUE(first && second);
    table.release(first->sequence);
    EXPECT_EQ(table.state(first->slot), State::kFree);
    EXPECT_EQ(table.state(second->slot), State::kShown);
}

TEST(SlotTable, ProducerNeverWaitsHoweverTheConsumerHolds) {
    // Two frames in flight are held by the consumer: two slots remain, which is enough for ever.
    SlotTable table(4);
    produce(table);
    ASSERT_TRUE(table.take_newest());
    produce(table);
    ASSERT_TRUE(table.take_newest());
    for (int i = 0; i < 100; ++i) produce(table);
    const auto taken = table.take_newest();
    ASSERT_TRUE(taken);
    EXPECT_EQ(taken->sequence, 102U);
}

TEST(SlotTable, SaysSoWhenEverythingIsInUse) {
    SlotTable table(2);
    acquired(table);
    acquired(table);
    EXPECT_FALSE(table.acquire());
}

TEST(SlotTable, ProducerAheadOfItsDeviceKeepsTheFrameThatIsCompleteFirst) {
    SlotTable table(3);
    for (int i = 0; i < 3; ++i) produce(table); // 1, 2, 3: enqueued, none complete
    for (int i = 0; i < 50; ++i) {
        const auto slot = table.acquire(0);
        ASSERT_TRUE(slot);
        table.publish(*slot);
    }
    const auto taken = table.take_newest(1);
    ASSERT_TRUE(taken) << "the first frame was there until the device had finished it";
    EXPECT_EQ(taken->sequence, 1U);
}

TEST(SlotTable, OfCompleteFramesTheOldestGoesButTheLastStays) {
    SlotTable table(4);
    for (int i = 0; i < 4; ++i) produce(table); // 1, 2 complete; 3, 4 enqueued
    const auto first = table.acquire(2);
    ASSERT_TRUE(first); // 1: there is a newer complete one
    const auto second = table.acquire(2);
    ASSERT_TRUE(second); // 4: 2 is the only complete one left
    table.abandon(*first);
    table.abandon(*second);
    const auto taken = table.take_newest(2);
    ASSERT_TRUE(taken);
    EXPECT_EQ(taken->sequence, 2U);
    const auto last = table.take_newest(3);
    ASSERT_TRUE(last);
    EXPECT_EQ(last->sequence, 3U);
    EXPECT_FALSE(table.take_newest());
}

TEST(SlotTable, WithdrawnFramesAreNeverTaken) {
    SlotTable table(4);
    produce(table); // 1, complete
    produce(table); // 2 and 3: their device is lost
    produce(table);
    table.withdraw(1);
    EXPECT_EQ(table.counts().dropped, 2U);
    const auto taken = table.take_newest();
    ASSERT_TRUE(taken);
    EXPECT_EQ(taken->sequence, 1U);
    EXPECT_FALSE(table.take_newest());
    EXPECT_EQ(produce(table), 4U) << "numbers are not used twice";
}

TEST(SlotTable, SlotsAreWrittenByOneSideAtATime) {
    SlotTable table(3);
    std::set<std::uint32_t> distinct;
    for (int i = 0; i < 3; ++i) distinct.insert(acquired(table));
    EXPECT_EQ(distinct.size(), 3U);
}

// What a producer writes into a slot, word by word; a torn frame would mix two sequences.
struct Payload {
    std::array<std::uint64_t, 64> words{};
    void fill(std::uint64_t sequence) {
        for (std::size_t i = 0; i < words.size(); ++i) words[i] = sequence * 2654435761U + i;
    }
    [[nodiscard]] bool holds(std::uint64_t sequence) const {
        for (std::size_t i = 0; i < words.size(); ++i) {
            if (words[i] != sequence * 2654435761U + i) return false;
        }
        return true;
    }
};

struct Race {
    const char *name;
    std::uint64_t frames;
    int producer_pause; // spins between frames
    int consumer_pause;
    std::uint64_t in_flight; // submissions after which the device work of a frame is done
};

void pause(int spins) {
    for (int i = 0; i < spins; ++i) std::atomic_signal_fence(std::memory_order_seq_cst);
    if (spins > 0) std::this_thread::yield();
}

class SlotTableRace : public testing::TestWithParam<Race> {};

TEST_P(SlotTableRace, NoFrameIsTornOlderOrLost) {
    const Race race = GetParam();
    SlotTable table(static_cast<std::uint32_t>(race.in_flight) + 2);
    std::vector<Payload> payloads(table.slot_count());
    std::atomic<bool> producer_failed{false};
    std::thread producer([&] {
        for (std::uint64_t i = 0; i < race.frames; ++i) {
            const auto slot = table.acquire();
            if (!slot) {
                producer_failed = true;
                return;
            }
            if (i % 17 == 16) { // a generator that gives up a frame now and then
                payloads[*slot].fill(0);
                table.abandon(*slot);
                continue;
            }
            payloads[*slot].fill(table.next_sequence());
            table.publish(*slot);
            pause(race.producer_pause);
        }
    });
    const std::uint64_t last_sequence = race.frames - race.frames / 17;
    std::vector<std::uint64_t> submissions; // sequences that the consumer's device work reads
    std::uint64_t shown = 0;
    std::uint64_t torn = 0;
    std::uint64_t stepped_back = 0;
    while (shown != last_sequence && !producer_failed) {
        if (submissions.size() >= race.in_flight) {
            table.release(submissions[submissions.size() - race.in_flight]);
        }
        if (const auto taken = table.take_newest()) {
            torn += !payloads[taken->slot].holds(taken->sequence);
            stepped_back += taken->sequence <= shown;
            shown = taken->sequence;
            submissions.push_back(taken->sequence);
        }
        pause(race.consumer_pause);
    }
    producer.join();
    EXPECT_FALSE(producer_failed) << "the producer found no slot";
    EXPECT_EQ(torn, 0U);
    EXPECT_EQ(stepped_back, 0U);
    const SlotTable::Counts counts = table.counts();
    EXPECT_EQ(counts.published, last_sequence);
    EXPECT_EQ(counts.taken + counts.dropped, counts.published);
    EXPECT_EQ(counts.taken, submissions.size());
}

// Three sides: the producer enqueues, a device completes the frames later, in order, and the
// consumer takes those that are complete. `produced` is the READY timeline.
TEST(SlotTableDevice, NoFrameIsTakenBeforeItIsWritten) {
    constexpr std::uint64_t kFrames = 30'000;
    constexpr std::uint32_t kSlots = 4;
    SlotTable table(kSlots);
    std::vector<Payload> payloads(kSlots);
    std::array<std::atomic<std::uint32_t>, 64> queue{}; // slots of enqueued frames, by sequence
    std::atomic<std::uint64_t> enqueued{0};
    std::atomic<std::uint64_t> produced{0};
    std::atomic<bool> producer_failed{false};
    std::thread device([&] {
        for (std::uint64_t sequence = 1; sequence <= kFrames; ++sequence) {
            while (enqueued < sequence) {
                if (producer_failed) return;
                std::this_thread::yield();
            }
            payloads[queue[sequence % queue.size()]].fill(sequence);
            produced = sequence;
        }
    });
    std::thread producer([&] {
        for (std::uint64_t sequence = 1; sequence <= kFrames; ++sequence) {
            while (sequence - produced >= queue.size()) std::this_thread::yield();
            const auto slot = table.acquire(produced);
            if (!slot) {
                producer_failed = true;
                return;
            }
            queue[sequence % queue.size()] = *slot;
            enqueued = sequence; // before it is published, as the signal is
            table.publish(*slot);
        }
    });
    std::uint64_t shown = 0;
    std::uint64_t before = 0;
    std::uint64_t torn = 0;
    std::uint64_t stepped_back = 0;
    while (shown != kFrames && !producer_failed) {
        table.release(before); // two submissions are under way
        const auto taken = table.take_newest(produced);
        if (!taken) {
            std::this_thread::yield();
            continue;
        }
        torn += !payloads[taken->slot].holds(taken->sequence);
        stepped_back += taken->sequence <= shown;
        before = shown;
        shown = taken->sequence;
    }
    producer.join();
    device.join();
    EXPECT_FALSE(producer_failed);
    EXPECT_EQ(torn, 0U);
    EXPECT_EQ(stepped_back, 0U);
    EXPECT_EQ(table.counts().taken + table.counts().dropped, kFrames);
}

INSTANTIATE_TEST_SUITE_P(Speeds, SlotTableRace,
                         testing::Values(Race{"both_fast", 50'000, 0, 0, 2},
                                         Race{"slow_consumer", 50'000, 0, 300, 2},
                                         Race{"slow_producer", 20'000, 300, 0, 2},
                                         Race{"one_in_flight", 50'000, 10, 10, 1},
                                         Race{"three_in_flight", 50'000, 10, 10, 3}),
                         [](const auto &test) { return test.param.name; });

} // namespace
} // namespace tessera
