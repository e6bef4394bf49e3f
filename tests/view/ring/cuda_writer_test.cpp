// The CUDA end of the shared ring on the execution double: the order of things, who owns which
// descriptor, and every call failing once. With a GPU see cuda_ring_test.cpp.
#include "compute/registry.hpp"
#include "core/log.hpp"
#include "interop/ring/live_ring.hpp"
#include "tests/compute/cuda_double/switches.hpp"
#include "tests/view/open_files.hpp"
#include "tests/view/ring/faulty_vulkan.hpp"
#include "tests/view/vulkan/vulkan_fixture.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

namespace tessera {
namespace {

constexpr int kAnyError = 1;

class CudaWriterTest : public VulkanTest {
  protected:
    void SetUp() override {
        setenv("TESSERA_CUDA_MODULE", TESSERA_CUDA_DOUBLE, 1); // NOLINT(concurrency-mt-unsafe)
        VulkanTest::SetUp();
        if (!device_) return;
        log::set_sink({});
        double_.user(this);
        double_.uuid(device_->uuid().data());
        double_.timelines(
            [](void *self, unsigned long value) {
                auto &test = *static_cast<CudaWriterTest *>(self);
                test.signalled_.push_back(value);
                static_cast<void>(test.ready_->signal(value));
            },
            [](void *self, unsigned long value) {
                static_cast<CudaWriterTest *>(self)->waited_.push_back(value);
            });
        faults_ = std::make_unique<FaultyVulkan>(*device_);
    }
    void TearDown() override {
        double_.user(nullptr);
        faults_.reset();
        VulkanTest::TearDown();
    }
    // What a run with one resize does, up to the first thing that fails.
    Result<void> scenario() {
        signalled_.clear();
        waited_.clear();
        const auto compute = Compute::open("cuda");
        if (!compute) return compute.error();
        const tessera_compute &table = *compute->table();
        auto ring = SharedRing::create(*device_);
        if (!ring) return ring.error();
        ready_ = (*ring)->link().ready;
        auto writer = make_writer_for(table, (*ring)->link());
        if (!writer) return writer.error();
        (*ring)->connect(std::move(*writer));
        for (const std::uint32_t side : {32U, 32U, 300U}) {
            const auto frame = (*ring)->acquire(side, side);
            if (!frame) return frame.error();
            EXPECT_EQ(frame->memory, TESSERA_MEMORY_CUDA);
            EXPECT_EQ(frame->shape[0], side);
            if (auto published = (*ring)->publish(*frame, {}); !published) return published;
            EXPECT_FALSE((*ring)->take_newest()) << "the stream did not get there yet";
            if (table.synchronize(&table) != TESSERA_OK)
                return make_error(Status::kFailed, "{}", log::take_last_error());
            const auto taken = (*ring)->take_newest();
            if (!taken) return make_error(Status::kFailed, "nothing to show");
            EXPECT_EQ(taken->width, side);
            auto read = (*ring)->link().released->signal(taken->release_value);
            if (!read) return read;
        }
        return {};
    }
    void expect_nothing_left(std::size_t files, const std::string &what) const {
        EXPECT_EQ(double_.live(), 0) << what;
        EXPECT_EQ(open_files(), files) << what;
    }

    const test::Double double_{TESSERA_CUDA_DOUBLE};
    std::unique_ptr<FaultyVulkan> faults_;
    const SharedTimeline *ready_ = nullptr;
    std::vector<unsigned long> signalled_, waited_;
};

TEST_F(CudaWriterTest, WaitsForReadsAndSignalsFrames) {
    const auto done = scenario();
    ASSERT_TRUE(done.ok()) << done.error().message;
    EXPECT_EQ(signalled_, (std::vector<unsigned long>{1, 2, 3}));
    // Each wait is for a value that has been reached; for the first frame there is none.
    EXPECT_EQ(waited_, (std::vector<unsigned long>{1}));
    EXPECT_EQ(double_.live(), 0) << "mappings go before memory, and all before the compute";
}

TEST_F(CudaWriterTest, SaysWhyItCannotShare) {
    double_.shares_timelines(false);
    const auto without = scenario();
    ASSERT_FALSE(without.ok());
    EXPECT_EQ(without.error().status, Status::kUnsupported);
    EXPECT_NE(without.error().message.find("timeline"), std::string::npos);
    double_.shares_timelines(true);

    DeviceUuid other = device_->uuid();
    other[0] ^= 1U;
    double_.uuid(other.data());
    const auto elsewhere = scenario();
    ASSERT_FALSE(elsewhere.ok());
    EXPECT_EQ(elsewhere.error().status, Status::kUnsupported);
    EXPECT_NE(elsewhere.error().message.find(uuid_text(device_->uuid())), std::string::npos);
    EXPECT_EQ(double_.live(), 0);
}

// Every call of either driver fails once: a typed error that names it, and nothing is left over.
TEST_F(CudaWriterTest, EveryCallFailsOnceAndNothingLeaks) {
    const long before = double_.calls();
    faults_->fail(0);
    ASSERT_TRUE(scenario().ok());
    const long cuda_calls = double_.calls() - before;
    const std::uint64_t vulkan_calls = faults_->calls();
    EXPECT_GT(cuda_calls, 20);
    EXPECT_GT(vulkan_calls, 20U);
    const std::size_t files = open_files();
    for (long i = 0; i < cuda_calls; ++i) {
        double_.fail(i, kAnyError);
        const auto done = scenario();
        double_.fail(-1, 0);
        // What fails while the ring is taken down has been done already, or is only logged.
        EXPECT_TRUE(done.ok() || !done.error().message.empty());
        expect_nothing_left(files, "CUDA call " + std::to_string(i));
    }
    std::vector<std::string> failed;
    for (std::uint64_t i = 1; i <= vulkan_calls; ++i) {
        faults_->fail(i);
        const auto done = scenario();
        failed.push_back(faults_->failed());
        EXPECT_TRUE(done.ok() || !done.error().message.empty());
        expect_nothing_left(files, failed.back() + ", call " + std::to_string(i));
    }
    for (const char *name : {"vkGetMemoryFdKHR", "vkGetSemaphoreFdKHR", "vkAllocateMemory"}) {
        EXPECT_NE(std::find(failed.begin(), failed.end(), name), failed.end()) << name;
    }
    faults_->fail(0);
    EXPECT_TRUE(scenario().ok()) << "and the next run works";
}

} // namespace
} // namespace tessera
