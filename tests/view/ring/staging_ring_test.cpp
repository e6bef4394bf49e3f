// The staging ring with a real device: many frames through two threads, none torn or out of order.
#include "core/tensor.hpp"
#include "interop/ring/staging_ring.hpp"
#include "sandbox/view/offscreen.hpp"
#include "tests/view/vulkan/vulkan_fixture.hpp"

#include <atomic>
#include <cstring>
#include <thread>

namespace tessera {
namespace {

using StagingRingTest = VulkanTest;

TEST_F(StagingRingTest, GivesWritableFramesOfTheSizeAskedFor) {
    auto ring = StagingRing::create(*device_);
    ASSERT_TRUE(ring.ok()) << ring.error().message;
    for (const auto &[width, height] : {std::pair{16U, 8U}, {300U, 200U}, {1U, 1U}}) {
        const auto frame = (*ring)->acquire(width, height);
        ASSERT_TRUE(frame.ok()) << frame.error().message;
        EXPECT_EQ(frame->dtype, TESSERA_DTYPE_U8);
        EXPECT_EQ(frame->memory, TESSERA_MEMORY_HOST);
        EXPECT_EQ(frame->rank, 3);
        EXPECT_EQ(frame->shape[0], height);
        EXPECT_EQ(frame->shape[1], width);
        EXPECT_EQ(frame->shape[2], 4);
        std::memset(frame->data, 0xA5, std::size_t{width} * height * 4);
        EXPECT_TRUE((*ring)->publish(*frame, {}).ok());
        const auto taken = (*ring)->take_newest();
        ASSERT_TRUE(taken);
        EXPECT_EQ(taken->width, width);
        EXPECT_EQ(taken->height, height);
        (*ring)->drop(*taken);
    }
}

TEST_F(StagingRingTest, NamesWhatIsWrong) {
    auto ring = StagingRing::create(*device_);
    ASSERT_TRUE(ring.ok()) << ring.error().message;
    const auto empty = (*ring)->acquire(0, 10);
    ASSERT_FALSE(empty.ok());
    EXPECT_EQ(empty.error().status, Status::kInvalidArgument);
    EXPECT_NE(empty.error().message.find("0 x 10"), std::string::npos);
    EXPECT_FALSE((*ring)->acquire(1U << 31, 1).ok());
    tessera_tensor foreign{};
    EXPECT_FALSE((*ring)->publish(foreign, {}).ok());
    (*ring)->abandon(foreign); // nothing happens

    const auto frame = (*ring)->acquire(4, 4);
    ASSERT_TRUE(frame.ok());
    EXPECT_TRUE((*ring)->publish(*frame, {}).ok());
    EXPECT_FALSE((*ring)->publish(*frame, {}).ok()) << "published twice";
    for (std::uint32_t i = 0; i < kRingSlots; ++i) EXPECT_TRUE((*ring)->acquire(4, 4).ok());
    const auto none = (*ring)->acquire(4, 4);
    ASSERT_FALSE(none.ok());
    EXPECT_EQ(none.error().status, Status::kBusy);
}

// The consumer copies every frame it takes into its own buffer on the device, as the view does.
class Copier {
  public:
    Copier(VulkanDevice &device, Renderer &renderer) : device_(device), renderer_(renderer) {
        auto buffer = make_mapped_buffer(device, kBytes, VK_BUFFER_USAGE_TRANSFER_DST_BIT, true);
        EXPECT_TRUE(buffer.ok());
        buffer_ = std::move(*buffer);
    }
    // The 32-bit words of the frame; they are all equal when it is not torn.
    std::span<const std::uint32_t> copy(const RingFrame &frame) {
        const auto copied = renderer_.run_once([&](VkCommandBuffer commands) {
            const VkBufferCopy region{0, 0, VkDeviceSize{frame.width} * frame.height * 4};
            device_.table().vkCmdCopyBuffer(commands, frame.pixels, buffer_.buffer.get(), 1,
                                            &region);
            record_barrier(
                device_, commands,
                MemoryBarrier{VK_PIPELINE_STAGE_2_COPY_BIT, VK_ACCESS_2_TRANSFER_WRITE_BIT,
                              VK_PIPELINE_STAGE_2_HOST_BIT | VK_PIPELINE_STAGE_2_COPY_BIT,
                              VK_ACCESS_2_HOST_READ_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT});
        });
        EXPECT_TRUE(copied.ok()) << copied.error().message;
        return {reinterpret_cast<const std::uint32_t *>(buffer_.bytes.data()),
                std::size_t{frame.width} * frame.height};
    }
    static constexpr std::size_t kBytes = std::size_t{64} * 64 * 4;

  private:
    VulkanDevice &device_;
    Renderer &renderer_;
    MappedBuffer buffer_;
};

TEST_F(StagingRingTest, TensOfThousandsOfFramesAndNoneTorn) {
    constexpr std::uint32_t kFrames = 30'000;
    auto renderer = Renderer::create(*device_);
    ASSERT_TRUE(renderer.ok());
    auto ring = StagingRing::create(*device_);
    ASSERT_TRUE(ring.ok());
    std::atomic<int> failures{0};
    std::thread producer([&] {
        for (std::uint32_t i = 1; i <= kFrames; ++i) {
            const std::uint32_t side = 8 * (1 + (i / 1000) % 8); // resizes now and then
            auto frame = (*ring)->acquire(side, side);
            if (!frame) {
                ++failures;
                return;
            }
            auto *words = static_cast<std::uint32_t *>(frame->data);
            for (std::uint32_t w = 0; w < side * side; ++w) words[w] = i;
            if (!(*ring)->publish(*frame, {.step = i, .total_steps = kFrames})) ++failures;
        }
    });
    std::uint32_t shown = 0;
    std::uint64_t torn = 0;
    std::uint64_t stepped_back = 0;
    {
        Copier copier(*device_, **renderer);
        while (shown != kFrames && failures == 0) {
            const auto frame = (*ring)->take_newest();
            if (!frame) {
                std::this_thread::yield();
                continue;
            }
            for (const std::uint32_t word : copier.copy(*frame)) torn += word != frame->info.step;
            (*ring)->drop(*frame); // its copy is done
            stepped_back += frame->info.step <= shown;
            shown = frame->info.step;
        }
    }
    producer.join();
    EXPECT_EQ(failures, 0);
    EXPECT_EQ(torn, 0U);
    EXPECT_EQ(stepped_back, 0U);
    const SlotTable::Counts counts = (*ring)->slots().counts();
    EXPECT_EQ(counts.published, kFrames);
    EXPECT_EQ(counts.taken + counts.dropped, kFrames);
    renderer->reset();
}

} // namespace
} // namespace tessera
