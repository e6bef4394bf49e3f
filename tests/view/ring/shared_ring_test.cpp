// The shared ring with a second Vulkan device at its far end: real shared memory, frames that are
// complete only after they were published, producers of every speed and fate.
#include "interop/ring/shared_ring.hpp"
#include "tests/view/open_files.hpp"
#include "tests/view/ring/frame_reader.hpp"
#include "tests/view/ring/second_device.hpp"
#include "tests/view/vulkan/vulkan_fixture.hpp"

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

namespace tessera {
namespace {

// What a consumer saw.
struct Seen {
    std::uint64_t count = 0;
    std::uint64_t torn = 0;
    std::uint64_t stepped_back = 0;
    std::uint32_t last = 0;

    void note(const RingFrame &frame, std::span<const std::uint32_t> words) {
        ++count;
        const auto number = hashed_number(words);
        torn += !number || *number != frame.info.step;
        stepped_back += frame.info.step <= last;
        last = frame.info.step;
    }
};

class SharedRingTest : public VulkanTest {
  protected:
    void SetUp() override {
        VulkanTest::SetUp();
        if (!device_) return;
        auto ring = SharedRing::create(*device_);
        if (!ring) GTEST_SKIP() << ring.error().message;
        ring_ = std::move(*ring);
        connect();
    }
    void TearDown() override {
        ring_.reset();
        VulkanTest::TearDown();
    }
    void connect() {
        auto writer = SecondDevice::create(ring_->link());
        ASSERT_TRUE(writer.ok()) << writer.error().message;
        writer_ = writer->get();
        ring_->connect(std::move(*writer));
    }
    // Enqueues a frame with this number.
    void produce(std::uint32_t number, std::uint32_t side = 16) {
        const auto frame = ring_->acquire(side, side);
        ASSERT_TRUE(frame.ok()) << frame.error().message;
        fill_hashed(*frame, number);
        const auto published = ring_->publish(*frame, {.step = number, .total_steps = number});
        ASSERT_TRUE(published.ok()) << published.error().message;
    }
    FrameReader::OnFrame noting() {
        return [this](const RingFrame &frame, std::span<const std::uint32_t> words) {
            seen_.note(frame, words);
        };
    }

    std::unique_ptr<SharedRing> ring_;
    SecondDevice *writer_ = nullptr;
    Seen seen_;
};

TEST_F(SharedRingTest, AFrameCrossesTheDevices) {
    FrameReader reader(*device_, *ring_, noting());
    EXPECT_FALSE(reader.poll()) << "nothing was published";
    produce(7, 33);
    ASSERT_TRUE(writer_->synchronize().ok());
    EXPECT_TRUE(reader.poll());
    reader.finish();
    EXPECT_EQ(seen_.count, 1U);
    EXPECT_EQ(seen_.torn, 0U);
    EXPECT_EQ(seen_.last, 7U);
    EXPECT_FALSE(reader.poll()) << "a frame is taken once";
}

TEST_F(SharedRingTest, StalledProducerHoldsUpNobody) {
    FrameReader reader(*device_, *ring_, noting());
    produce(1);
    ASSERT_TRUE(writer_->synchronize().ok());
    writer_->stall();
    // The device works off its queue later; the generator goes on, and so does the consumer.
    for (std::uint32_t number = 2; number <= 40; ++number) produce(number);
    EXPECT_TRUE(reader.poll());
    for (int i = 0; i < 10; ++i) EXPECT_FALSE(reader.poll()) << "not complete, so not taken";
    reader.finish();
    EXPECT_EQ(seen_.last, 1U);
    ASSERT_TRUE(writer_->go_on().ok());
    ASSERT_TRUE(writer_->synchronize().ok());
    EXPECT_TRUE(reader.poll());
    reader.finish();
    EXPECT_EQ(seen_.last, 40U);
    EXPECT_EQ(seen_.torn, 0U);
}

// Of a device that works off more frames than there are slots, the view sees some all the time.
TEST_F(SharedRingTest, DeviceFarBehindIsStillSeen) {
    FrameReader reader(*device_, *ring_, noting());
    writer_->stall();
    for (std::uint32_t number = 1; number <= 3; ++number) produce(number);
    ASSERT_TRUE(writer_->go_on().ok()); // these three are complete soon
    ASSERT_TRUE(writer_->synchronize().ok());
    writer_->stall();
    for (std::uint32_t number = 4; number <= 60; ++number) produce(number);
    EXPECT_TRUE(reader.poll()) << "complete frames were dropped for ones that are not";
    reader.finish();
    EXPECT_EQ(seen_.last, 3U);
    EXPECT_EQ(seen_.torn, 0U);
    ASSERT_TRUE(writer_->go_on().ok());
}

TEST_F(SharedRingTest, LostProducerLeavesWhatIsComplete) {
    FrameReader reader(*device_, *ring_, noting());
    produce(1);
    ASSERT_TRUE(writer_->synchronize().ok());
    writer_->lose();
    produce(2);                                       // never arrives
    const auto half_written = ring_->acquire(16, 16); // in the middle of a frame
    ASSERT_TRUE(half_written.ok());
    ring_->disconnect();
    EXPECT_FALSE(ring_->acquire(16, 16).ok()) << "nobody writes any more";
    EXPECT_FALSE(ring_->publish(*half_written, {}).ok());
    ring_->abandon(*half_written); // nothing happens

    EXPECT_TRUE(reader.poll());
    EXPECT_FALSE(reader.poll());
    reader.finish();
    EXPECT_EQ(seen_.last, 1U);
    EXPECT_EQ(ring_->slots().counts().dropped, 1U);

    connect(); // another device takes its place
    for (std::uint32_t number = 3; number <= 12; ++number) produce(number);
    ASSERT_TRUE(writer_->synchronize().ok());
    EXPECT_TRUE(reader.poll());
    reader.finish();
    EXPECT_EQ(seen_.last, 12U);
    EXPECT_EQ(seen_.torn, 0U);
    EXPECT_EQ(seen_.stepped_back, 0U);
}

TEST_F(SharedRingTest, NamesWhatIsWrong) {
    const auto empty = ring_->acquire(0, 10);
    ASSERT_FALSE(empty.ok());
    EXPECT_NE(empty.error().message.find("0 x 10"), std::string::npos);
    tessera_tensor foreign{};
    EXPECT_FALSE(ring_->publish(foreign, {}).ok());
    for (std::uint32_t i = 0; i < kRingSlots; ++i) EXPECT_TRUE(ring_->acquire(4, 4).ok());
    const auto none = ring_->acquire(4, 4);
    ASSERT_FALSE(none.ok());
    EXPECT_EQ(none.error().status, Status::kBusy);
}

// Frames change size at every turn while they are read; memory of old sizes goes.
TEST_F(SharedRingTest, ResizesWhileRunning) {
    const std::size_t files_before = open_files();
    {
        FrameReader reader(*device_, *ring_, noting());
        std::uint32_t number = 0;
        for (const std::uint32_t side : {16U, 300U, 17U, 600U, 40U, 900U, 16U, 901U}) {
            for (int i = 0; i < 7; ++i) {
                produce(++number, side);
                reader.poll();
            }
        }
        ASSERT_TRUE(writer_->synchronize().ok());
        reader.poll();
        reader.finish();
        EXPECT_EQ(seen_.last, number);
    }
    EXPECT_EQ(seen_.torn, 0U);
    EXPECT_EQ(seen_.stepped_back, 0U);
    ring_.reset();
    EXPECT_LE(open_files(), files_before);
}

struct Pace {
    const char *name;
    std::uint32_t frames;
    std::uint32_t producer_pause_us;
    std::uint32_t consumer_pause_us;
    std::uint32_t max_ahead; // frames that the producer is ahead of what was seen; 0: any number
};

// Producer and consumer on threads of their own.
void race(const Pace &pace, SharedRing &ring, VulkanDevice &device, Seen &seen) {
    std::atomic<bool> failed{false};
    std::atomic<std::uint32_t> last_seen{0};
    std::thread producer([&] {
        for (std::uint32_t number = 1; number <= pace.frames && !failed; ++number) {
            while (pace.max_ahead > 0 && number > last_seen + pace.max_ahead) {
                std::this_thread::yield();
            }
            const std::uint32_t side = 8 + number / 500 % 5 * 4; // resizes now and then
            const auto frame = ring.acquire(side, side);
            if (!frame) {
                ADD_FAILURE() << frame.error().message;
                failed = true;
                return;
            }
            fill_hashed(*frame, number);
            if (number % 97 == 0) { // a generator that gives up a frame now and then
                ring.abandon(*frame);
                continue;
            }
            if (!ring.publish(*frame, {.step = number, .total_steps = pace.frames})) failed = true;
            if (pace.producer_pause_us > 0) {
                std::this_thread::sleep_for(std::chrono::microseconds(pace.producer_pause_us));
            }
        }
    });
    {
        FrameReader reader(device, ring, [&](const RingFrame &frame, auto words) {
            seen.note(frame, words);
            last_seen = seen.last;
        });
        const std::uint32_t last = pace.frames % 97 == 0 ? pace.frames - 1 : pace.frames;
        while (seen.last != last && !failed) {
            if (!reader.poll()) std::this_thread::yield();
            if (pace.consumer_pause_us > 0) {
                std::this_thread::sleep_for(std::chrono::microseconds(pace.consumer_pause_us));
            }
        }
    }
    producer.join();
    EXPECT_FALSE(failed);
}

class SharedRingRace : public SharedRingTest, public testing::WithParamInterface<Pace> {};

TEST_P(SharedRingRace, NoFrameIsTornOrOutOfOrder) {
    race(GetParam(), *ring_, *device_, seen_);
    EXPECT_EQ(seen_.torn, 0U);
    EXPECT_EQ(seen_.stepped_back, 0U);
    const SlotTable::Counts counts = ring_->slots().counts();
    EXPECT_EQ(counts.taken + counts.dropped, counts.published);
    EXPECT_EQ(counts.taken, seen_.count);
}

INSTANTIATE_TEST_SUITE_P(Paces, SharedRingRace,
                         testing::Values(Pace{"both_fast", 3'000, 0, 0, 0},
                                         Pace{"slow_producer", 300, 1'000, 0, 0},
                                         Pace{"slow_consumer", 2'000, 0, 1'000, 0}),
                         [](const auto &pace) { return pace.param.name; });

// Without the layers, which would take most of the time.
TEST(SharedRingMarathon, AHundredThousandFrames) {
    auto instance = VulkanInstance::create({});
    if (!instance) GTEST_SKIP() << instance.error().message;
    auto device = VulkanDevice::create(**instance, {});
    ASSERT_TRUE(device.ok()) << device.error().message;
    const std::size_t files_before = open_files();
    {
        auto ring = SharedRing::create(**device);
        if (!ring) GTEST_SKIP() << ring.error().message;
        auto writer = SecondDevice::create((*ring)->link());
        ASSERT_TRUE(writer.ok()) << writer.error().message;
        (*ring)->connect(std::move(*writer));
        Seen seen;
        race({"marathon", 100'000, 0, 0, 5}, **ring, **device, seen);
        EXPECT_EQ(seen.torn, 0U);
        EXPECT_EQ(seen.stepped_back, 0U);
        const SlotTable::Counts counts = (*ring)->slots().counts();
        EXPECT_EQ(counts.published, 100'000U - 100'000U / 97);
        EXPECT_EQ(counts.taken + counts.dropped, counts.published);
        EXPECT_EQ(counts.taken, seen.count);
        EXPECT_GE(seen.count, 100'000U / 50);
        RecordProperty("frames_read", static_cast<int>(seen.count));
    }
    EXPECT_EQ(open_files(), files_before);
}

TEST(SharedRingFiles, AHundredRingsLeaveNoFileOpen) {
    auto instance = VulkanInstance::create({});
    if (!instance) GTEST_SKIP() << instance.error().message;
    auto device = VulkanDevice::create(**instance, {});
    ASSERT_TRUE(device.ok()) << device.error().message;
    std::size_t files_before = 0;
    for (int round = 0; round < 100; ++round) {
        if (round == 1) files_before = open_files(); // what the driver opens once is open
        auto ring = SharedRing::create(**device);
        if (!ring) GTEST_SKIP() << ring.error().message;
        auto writer = SecondDevice::create((*ring)->link());
        ASSERT_TRUE(writer.ok()) << writer.error().message;
        (*ring)->connect(std::move(*writer));
        const auto frame = (*ring)->acquire(64, 64);
        ASSERT_TRUE(frame.ok()) << frame.error().message;
        if (round % 2 == 0) {
            EXPECT_TRUE((*ring)->publish(*frame, {}).ok());
        }
    }
    EXPECT_EQ(open_files(), files_before);
}

} // namespace
} // namespace tessera
