// The CUDA end of the shared ring over a driver that is not there: the order of things, who owns
// which descriptor, and every call failing once. With a GPU see tests/gpu.
#include "interop/ring/shared_ring.hpp"
#include "tests/view/open_files.hpp"
#include "tests/view/ring/fake_cuda.hpp"
#include "tests/view/vulkan/vulkan_fixture.hpp"

#include <algorithm>

namespace tessera {
namespace {

class CudaWriterTest : public VulkanTest {
  protected:
    void SetUp() override {
        VulkanTest::SetUp();
        if (!device_) return;
        fake_cuda() = FakeCuda{};
        fake_cuda().uuid = device_->uuid();
        faults_ = std::make_unique<FaultyVulkan>(*device_);
    }
    void TearDown() override {
        faults_.reset();
        VulkanTest::TearDown();
    }
    [[nodiscard]] tessera_ext_cuda compute() const {
        tessera_ext_cuda cuda{};
        cuda.struct_size = sizeof cuda;
        std::copy(device_->uuid().begin(), device_->uuid().end(), cuda.uuid);
        return cuda;
    }
    // What a run with one resize does, up to the first thing that fails.
    Result<void> scenario() {
        auto ring = SharedRing::create(*device_);
        if (!ring) return ring.error();
        fake_cuda().ready = (*ring)->link().ready;
        auto writer = make_cuda_writer(fake_cuda_driver(), compute(), (*ring)->link());
        if (!writer) return writer.error();
        (*ring)->connect(std::move(*writer));
        for (const std::uint32_t side : {32U, 32U, 300U}) {
            const auto frame = (*ring)->acquire(side, side);
            if (!frame) return frame.error();
            EXPECT_EQ(frame->memory, TESSERA_MEMORY_CUDA);
            EXPECT_EQ(frame->shape[0], side);
            if (auto published = (*ring)->publish(*frame, {}); !published) return published;
            const auto taken = (*ring)->take_newest();
            if (!taken) return make_error(Status::kFailed, "nothing to show");
            EXPECT_EQ(taken->width, side);
            auto read = (*ring)->link().released->signal(taken->release_value);
            if (!read) return read;
        }
        return {};
    }

    std::unique_ptr<FaultyVulkan> faults_;
};

TEST_F(CudaWriterTest, WaitsForReadsAndSignalsFrames) {
    const auto done = scenario();
    ASSERT_TRUE(done.ok()) << done.error().message;
    EXPECT_EQ(fake_cuda().signalled, (std::vector<std::uint64_t>{1, 2, 3}));
    // Each wait is for a value that has been reached; for the first frame there is none.
    EXPECT_EQ(fake_cuda().waited, (std::vector<std::uint64_t>{1}));
    EXPECT_EQ(fake_cuda().alive, 0);
    EXPECT_EQ(fake_cuda().current, 0) << "the thread's context is as it was";
}

TEST_F(CudaWriterTest, GivesBackInTheOrderThatCudaWants) {
    ASSERT_TRUE(scenario().ok());
    const std::vector<std::string> expected{"mapping",   "memory",    "mapping", "memory",
                                            "semaphore", "semaphore", "context"};
    EXPECT_EQ(fake_cuda().order, expected);
}

TEST_F(CudaWriterTest, SaysWhyItCannotShare) {
    auto ring = SharedRing::create(*device_);
    ASSERT_TRUE(ring.ok()) << ring.error().message;
    tessera_ext_cuda other = compute();
    other.uuid[0] ^= 1U;
    const auto elsewhere = make_cuda_writer(fake_cuda_driver(), other, (*ring)->link());
    ASSERT_FALSE(elsewhere.ok());
    EXPECT_EQ(elsewhere.error().status, Status::kUnsupported);
    EXPECT_NE(elsewhere.error().message.find(uuid_text(device_->uuid())), std::string::npos);

    fake_cuda().shares_timelines = false;
    const auto without = make_cuda_writer(fake_cuda_driver(), compute(), (*ring)->link());
    ASSERT_FALSE(without.ok());
    EXPECT_EQ(without.error().status, Status::kUnsupported);
    EXPECT_EQ(fake_cuda().alive, 0);
}

// Every call of either driver fails once: a typed error that names it, and nothing is left over.
TEST_F(CudaWriterTest, EveryCallFailsOnceAndNothingLeaks) {
    ASSERT_TRUE(scenario().ok());
    const std::uint64_t calls = fake_cuda().calls;
    EXPECT_GT(calls, 40U);
    RecordProperty("calls", static_cast<int>(calls));
    const std::size_t files_before = open_files();
    std::vector<std::string> failed;
    for (std::uint64_t i = 1; i <= calls; ++i) {
        const DeviceUuid uuid = fake_cuda().uuid;
        fake_cuda() = FakeCuda{};
        fake_cuda().uuid = uuid;
        fake_cuda().fail_at = i;
        const auto done = scenario();
        ASSERT_FALSE(fake_cuda().failed.empty()) << "call " << i;
        failed.push_back(fake_cuda().failed);
        // What fails while the ring is taken down has been done already, or is only logged.
        EXPECT_TRUE(done.ok() || !done.error().message.empty());
        EXPECT_EQ(fake_cuda().alive, 0) << fake_cuda().failed << ", call " << i;
        EXPECT_EQ(fake_cuda().current, 0) << fake_cuda().failed << ", call " << i;
        EXPECT_EQ(open_files(), files_before) << fake_cuda().failed << ", call " << i;
    }
    for (const char *name :
         {"cuImportExternalMemory", "cuImportExternalSemaphore", "cuExternalMemoryGetMappedBuffer",
          "vkGetMemoryFdKHR", "vkGetSemaphoreFdKHR", "vkAllocateMemory"}) {
        EXPECT_NE(std::find(failed.begin(), failed.end(), name), failed.end()) << name;
    }
    fake_cuda().fail_at = 0;
    EXPECT_TRUE(scenario().ok()) << "and the next run works";
}

} // namespace
} // namespace tessera
