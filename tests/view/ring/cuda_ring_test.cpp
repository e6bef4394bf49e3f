// Frames from a real CUDA device to a real Vulkan device through shared memory and timelines: the
// same bytes as a download. Skipped without a GPU that has both.
#include "compute/registry.hpp"
#include "interop/ring/live_ring.hpp"
#include "tests/view/open_files.hpp"
#include "tests/view/ring/frame_reader.hpp"

#include <tessera/ext/cuda.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

namespace tessera {
namespace {

// Pixels of frame `number`, as to_rgba8 takes them: (side, side, 3) F32.
std::vector<float> pixels_of(std::uint32_t number, std::uint32_t side) {
    std::vector<float> pixels(std::size_t{side} * side * 3);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
        pixels[i] = static_cast<float>((i * 7919 + number * 104729) % 256) / 127.5F - 1;
    }
    return pixels;
}

class CudaRingTest : public testing::Test {
  protected:
    void SetUp() override {
        auto compute = Compute::open("cuda");
        if (!compute) GTEST_SKIP() << compute.error().message;
        compute_.emplace(std::move(*compute));
        const auto *cuda = static_cast<const tessera_ext_cuda *>(
            table().get_extension(&table(), TESSERA_EXT_CUDA));
        ASSERT_NE(cuda, nullptr);
        auto instance = VulkanInstance::create({});
        if (!instance) GTEST_SKIP() << instance.error().message;
        instance_ = std::move(*instance);
        VulkanDeviceConfig config;
        config.uuid.emplace();
        std::copy(std::begin(cuda->uuid), std::end(cuda->uuid), config.uuid->begin());
        auto device = VulkanDevice::create(*instance_, config);
        if (!device) GTEST_SKIP() << device.error().message;
        device_ = std::move(*device);
    }
    [[nodiscard]] const tessera_compute &table() const { return *compute_->table(); }
    // A tensor of the device with these pixels; the caller releases it.
    tessera_tensor upload(std::vector<float> &pixels, std::uint32_t side) const {
        tessera_tensor host{};
        host.data = pixels.data();
        host.dtype = TESSERA_DTYPE_F32;
        host.rank = 3; // (side, side, 3)
        host.shape[0] = host.shape[1] = side;
        host.shape[2] = 3;
        host.shape[3] = 1;
        host.stride[0] = std::int64_t{side} * 3;
        host.stride[1] = 3;
        host.stride[2] = 1;
        tessera_tensor device = host;
        EXPECT_EQ(table().allocate(&table(), &device), TESSERA_OK);
        table().upload(&table(), &host, &device);
        return device;
    }
    // What a frame's pixels are by the way of a download.
    std::vector<std::uint32_t> downloaded(std::uint32_t number, std::uint32_t side) const {
        auto pixels = pixels_of(number, side);
        tessera_tensor picture = upload(pixels, side);
        std::vector<std::uint32_t> words(std::size_t{side} * side);
        const tessera_tensor host = frame_tensor(words.data(), TESSERA_MEMORY_HOST, side, side);
        tessera_tensor bytes = host;
        EXPECT_EQ(table().allocate(&table(), &bytes), TESSERA_OK);
        table().to_rgba8(&table(), &picture, &bytes);
        table().download(&table(), &bytes, &host);
        EXPECT_EQ(table().synchronize(&table()), TESSERA_OK);
        table().release(&table(), &bytes);
        table().release(&table(), &picture);
        return words;
    }
    void produce(LiveRing &ring, std::uint32_t number, std::uint32_t side) const {
        auto pixels = pixels_of(number, side);
        tessera_tensor picture = upload(pixels, side);
        const auto frame = ring.acquire(side, side);
        ASSERT_TRUE(frame.ok()) << frame.error().message;
        ASSERT_EQ(frame->memory, TESSERA_MEMORY_CUDA);
        table().to_rgba8(&table(), &picture, &*frame);
        const auto published = ring.publish(*frame, {.step = number});
        EXPECT_TRUE(published.ok()) << published.error().message;
        EXPECT_EQ(table().synchronize(&table()), TESSERA_OK); // before the picture goes
        table().release(&table(), &picture);
    }

    std::optional<Compute> compute_;
    std::unique_ptr<VulkanInstance> instance_;
    std::unique_ptr<VulkanDevice> device_;
};

TEST_F(CudaRingTest, SharedFramesAreTheBytesOfADownload) {
    const std::size_t files_before = open_files();
    {
        auto ring = LiveRing::create(*device_);
        ASSERT_TRUE(ring.ok()) << ring.error().message;
        (*ring)->use_device(&table());
        if (!(*ring)->is_shared()) GTEST_SKIP() << "this GPU shares no memory with Vulkan";
        std::uint32_t read = 0;
        FrameReader reader(*device_, (*ring)->current(), [&](const RingFrame &frame, auto words) {
            const auto expected = downloaded(frame.info.step, frame.width);
            ASSERT_EQ(words.size(), expected.size());
            EXPECT_EQ(std::memcmp(words.data(), expected.data(), words.size_bytes()), 0)
                << "frame " << frame.info.step;
            read = frame.info.step;
        });
        std::uint32_t number = 0;
        unsigned long long bytes = 0;
        for (const std::uint32_t side : {64U, 256U, 512U, 128U}) { // one resize after the other
            for (int i = 0; i < 50; ++i) {
                produce(**ring, ++number, side);
                bytes += 4ULL * side * side;
                reader.poll();
            }
        }
        // The signal of the last frame comes after its stream's work.
        for (int i = 0; i < 1'000 && read != number; ++i) {
            if (!reader.poll()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        EXPECT_EQ(read, number);
        std::printf("%u frames, %llu bytes shared, none of them by way of the host\n", number,
                    bytes);
        (*ring)->use_device(nullptr);
    }
    EXPECT_EQ(open_files(), files_before);
}

} // namespace
} // namespace tessera
