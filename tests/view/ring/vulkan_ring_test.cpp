// The ring with a Vulkan compute on the view's own device: frames are read where kernels wrote
// them, with the layers looking on.
#include "compute/registry.hpp"
#include "interop/ring/live_ring.hpp"
#include "tests/view/ring/frame_reader.hpp"
#include "tests/view/vulkan/losing_devices.hpp"
#include "tests/view/vulkan/vulkan_fixture.hpp"

#include <tessera/values/tensor.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace tessera {
namespace {

class VulkanRingTest : public VulkanTest {
  protected:
    void SetUp() override {
        setenv("TESSERA_VULKAN_MODULE", TESSERA_VULKAN, 1);
        VulkanTest::SetUp();
        if (!device_) return;
        if (device_->for_compute() == nullptr) GTEST_SKIP() << "the device does not compute";
        auto live = LiveRing::create(*device_);
        ASSERT_TRUE(live.ok()) << live.error().message;
        live_ = std::move(*live);
        open(live_->vulkan_device().get());
    }
    void TearDown() override {
        if (live_) live_->use_device(nullptr);
        compute_.reset();
        live_.reset();
        VulkanTest::TearDown();
    }
    // A compute on that device, or on one of its own.
    void open(const tessera_vulkan_device *device) {
        if (live_) live_->use_device(nullptr);
        ComputeOptions options;
        options.vulkan = device;
        auto compute = Compute::open("vulkan", options);
        ASSERT_TRUE(compute.ok()) << compute.error().message;
        compute_.emplace(std::move(*compute));
        live_->use_device(compute_->table());
    }
    // A frame with this number, which a kernel writes.
    void produce(std::uint32_t number, std::uint32_t side = 16) {
        const tessera_compute *const c = compute_->table();
        std::vector<std::uint32_t> words(std::size_t{side} * side);
        fill_hashed(frame_tensor(words.data(), TESSERA_MEMORY_HOST, side, side), number);
        const std::array count{static_cast<std::int64_t>(words.size())};
        const tessera_tensor host =
            values::contiguous_view(words.data(), TESSERA_DTYPE_F32, count, TESSERA_MEMORY_HOST);
        tessera_tensor made = host;
        made.data = nullptr;
        ASSERT_EQ(c->allocate(c, &made), TESSERA_OK);
        c->upload(c, &host, &made);
        const auto frame = live_->acquire(side, side);
        ASSERT_TRUE(frame.ok()) << frame.error().message;
        ASSERT_EQ(frame->memory, TESSERA_MEMORY_VULKAN);
        const tessera_tensor to =
            values::contiguous_view(frame->data, TESSERA_DTYPE_F32, count, frame->memory);
        c->copy(c, &made, &to);
        const auto published = live_->publish(*frame, {.step = number});
        ASSERT_TRUE(published.ok()) << published.error().message;
        c->release(c, &made);
    }
    void synchronize() { ASSERT_EQ((*compute_)->synchronize(compute_->table()), TESSERA_OK); }
    // Reads the frame that comes next.
    bool reads(FrameReader &reader) {
        for (int i = 0; i < 10'000; ++i) {
            if (reader.poll()) {
                reader.finish();
                return true;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        return false;
    }
    FrameReader::OnFrame noting() {
        return [this](const RingFrame &frame, std::span<const std::uint32_t> words) {
            ++seen_;
            torn_ += hashed_number(words) != std::optional(frame.info.step);
            stepped_back_ += frame.info.step <= last_;
            last_ = frame.info.step;
        };
    }

    std::unique_ptr<LiveRing> live_;
    std::optional<Compute> compute_;
    std::uint32_t seen_ = 0, torn_ = 0, stepped_back_ = 0, last_ = 0;
};

TEST_F(VulkanRingTest, AFrameIsReadWhereAKernelWroteIt) {
    ASSERT_TRUE(live_->is_shared());
    FrameReader reader(*device_, live_->current(), noting());
    EXPECT_FALSE(reader.poll()) << "nothing was published";
    produce(7, 33);
    EXPECT_TRUE(reads(reader));
    EXPECT_EQ(seen_, 1U);
    EXPECT_EQ(torn_, 0U);
    EXPECT_EQ(last_, 7U);
}

TEST_F(VulkanRingTest, MemoryOfTheSameDeviceChangesNoHands) {
    produce(1);
    synchronize();
    auto frame = live_->current().take_newest();
    while (!frame) frame = live_->current().take_newest();
    EXPECT_TRUE(frame->is_shared());
    EXPECT_FALSE(frame->is_foreign);
    if (std::getenv("TESSERA_SECOND_FAMILY") != nullptr) {
        EXPECT_GT(test::shared_buffers(), 0) << "by both families";
    }
    live_->current().drop(*frame);
}

// One thread generates frames of changing size, one reads what is newest.
TEST_F(VulkanRingTest, FramesComeWholeAndInOrder) {
    constexpr std::uint32_t kFrames = 300;
    std::atomic<bool> done{false};
    std::thread producer([&] {
        for (std::uint32_t number = 1; number <= kFrames; ++number) {
            produce(number, number % 50 < 25 ? 16 : 16 + number / 10);
            if (number % 16 == 0) synchronize();
        }
        live_->use_device(nullptr); // and so all of them are complete
        done = true;
    });
    FrameReader reader(*device_, live_->current(), noting());
    while (!done) {
        if (!reader.poll()) std::this_thread::yield();
    }
    producer.join();
    while (reader.poll()) {
    }
    EXPECT_EQ(last_, kFrames);
    EXPECT_GT(seen_, 1U);
    EXPECT_EQ(torn_, 0U);
    EXPECT_EQ(stepped_back_, 0U);
}

TEST_F(VulkanRingTest, TheLastFrameOfAComputeThatWentStays) {
    produce(1);
    live_->use_device(nullptr);
    compute_.reset();
    FrameReader reader(*device_, live_->current(), noting());
    EXPECT_TRUE(reader.poll()) << "it was complete before the compute went";
    reader.finish();
    EXPECT_EQ(last_, 1U);
    EXPECT_EQ(torn_, 0U);
    open(live_->vulkan_device().get());
    produce(2);
    EXPECT_TRUE(reads(reader));
    EXPECT_EQ(last_, 2U);
}

TEST_F(VulkanRingTest, AComputeOnADeviceOfItsOwnIsToldApart) {
    open(nullptr);
    EXPECT_FALSE(live_->is_shared());
    const auto writer = make_writer_for(*compute_->table(), {device_.get(), nullptr, nullptr});
    ASSERT_FALSE(writer.ok());
    EXPECT_EQ(writer.error().status, Status::kUnsupported);
    EXPECT_NE(writer.error().message.find("a device of its own"), std::string::npos);
}

// Whoever keeps a picture copies it out of a frame, as out of any memory of the compute.
TEST_F(VulkanRingTest, AFrameCanBeDownloaded) {
    const tessera_compute *const c = compute_->table();
    const auto frame = live_->acquire(4, 4);
    ASSERT_TRUE(frame.ok());
    std::vector<std::uint32_t> words(16), read(16);
    fill_hashed(frame_tensor(words.data(), TESSERA_MEMORY_HOST, 4, 4), 5);
    const tessera_tensor host = frame_tensor(words.data(), TESSERA_MEMORY_HOST, 4, 4);
    const tessera_tensor back = frame_tensor(read.data(), TESSERA_MEMORY_HOST, 4, 4);
    c->upload(c, &host, &*frame);
    c->download(c, &*frame, &back);
    synchronize();
    EXPECT_EQ(read, words);
    tessera_tensor beyond = *frame;
    beyond.data = static_cast<std::byte *>(beyond.data) + (std::ptrdiff_t{64} << 20);
    c->download(c, &beyond, &back);
    EXPECT_EQ(c->synchronize(c), TESSERA_ERROR_INVALID_ARGUMENT) << "not of that buffer";
    live_->abandon(*frame);
}

} // namespace
} // namespace tessera
