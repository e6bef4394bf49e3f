// The Vulkan backend on devices that get lost and where calls find no memory, by the layer of
// tests/view/vulkan: an error names what failed, and what comes after works.
#include "harness.hpp"

#include "compute/registry.hpp"
#include "core/log.hpp"
#include "tests/view/vulkan/losing_devices.hpp"

#include <tessera/ext/compute_graph.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace tessera::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class VulkanFaultTest : public ::testing::Test {
  protected:
    static void SetUpTestSuite() {
        setenv("TESSERA_VULKAN_MODULE", TESSERA_VULKAN, 1);
        test::load_losing_layer();
        log::set_sink({}); // errors are asked for here
    }
    void SetUp() override {
        if (const auto found = Compute::find("vulkan"); !found)
            GTEST_SKIP() << found.error().message;
        ASSERT_TRUE(test::lose_devices(""));
    }
    void TearDown() override { test::lose_devices(""); }
};

// Allocates, uploads, computes and downloads; the first failure, or OK.
tessera_status round_trip(const tessera_compute *compute) {
    std::vector<float> numbers(64, 1.5F);
    tessera_tensor host{};
    host.data = numbers.data();
    host.dtype = TESSERA_DTYPE_F32;
    host.rank = 1;
    host.shape[0] = 64;
    host.stride[0] = 1;
    tessera_tensor x = host;
    x.data = nullptr;
    if (const tessera_status status = compute->allocate(compute, &x); status != TESSERA_OK)
        return status;
    compute->upload(compute, &host, &x);
    compute->scale_offset(compute, &x, 2.0F, 1.0F, &x);
    compute->download(compute, &x, &host);
    const tessera_status status = compute->synchronize(compute);
    compute->release(compute, &x);
    if (status == TESSERA_OK) {
        for (const float number : numbers) EXPECT_EQ(number, 4.0F);
    }
    return status;
}

TEST_F(VulkanFaultTest, ALostDeviceIsAnErrorThatTheNextComputeSurvives) {
    for (const char *wish : {"submit:1", "wait:1"}) {
        const auto lost = Compute::open("vulkan");
        ASSERT_TRUE(lost.ok()) << lost.error().message;
        ASSERT_TRUE(test::lose_devices(wish));
        EXPECT_EQ(round_trip(lost->table()), TESSERA_ERROR_FAILED) << wish;
        EXPECT_NE(round_trip(lost->table()), TESSERA_OK) << "lost for good";
        const auto next = Compute::open("vulkan");
        ASSERT_TRUE(next.ok()) << next.error().message;
        EXPECT_EQ(round_trip(next->table()), TESSERA_OK) << "while the lost one is still there";
    }
}

// The budget that the driver advises is kept, before it is asked for memory; the error says so.
TEST_F(VulkanFaultTest, TheBudgetIsKept) {
    ASSERT_TRUE(test::lose_devices("room:4096")); // now the device has one
    const auto compute = Compute::open("vulkan");
    ASSERT_TRUE(compute.ok()) << compute.error().message;
    const tessera_compute *const c = compute->table();
    const auto allocate = [&](std::int64_t floats) {
        tessera_tensor tensor = *HostTensor(Array({1})).view();
        tensor.data = nullptr;
        tensor.shape[0] = floats;
        const tessera_status status = c->allocate(c, &tensor);
        if (status == TESSERA_OK) c->release(c, &tensor);
        return status;
    };
    ASSERT_TRUE(test::lose_devices("room:4096,make:1"));
    EXPECT_EQ(allocate(1025), TESSERA_ERROR_OUT_OF_MEMORY);
    EXPECT_THAT(log::take_last_error(), AllOf(HasSubstr("no 4100 bytes of device memory; 4096 of"),
                                              HasSubstr("bytes are free")));
    EXPECT_EQ(allocate(1024), TESSERA_ERROR_OUT_OF_MEMORY) << "the driver has none";
    EXPECT_THAT(log::take_last_error(), AllOf(HasSubstr("no 4096 bytes of device memory (buffer"),
                                              HasSubstr("bytes are free")));
    EXPECT_EQ(allocate(1024), TESSERA_OK);
}

// By what there is room for.
TEST_F(VulkanFaultTest, F16WeightsTakeHalfOfTheMemory) {
    ASSERT_TRUE(test::lose_devices("room:8192"));
    const auto compute = Compute::open("vulkan");
    ASSERT_TRUE(compute.ok()) << compute.error().message;
    const Array weight = random_array({64, 64}, 1);
    const auto pack = [&](tessera_dtype precision) {
        return PackedWeight(*compute->table(), weight, precision).status();
    };
    EXPECT_EQ(pack(TESSERA_DTYPE_F16), TESSERA_OK);
    EXPECT_EQ(pack(TESSERA_DTYPE_F32), TESSERA_ERROR_OUT_OF_MEMORY);
    EXPECT_THAT(log::take_last_error(), HasSubstr("no 16384 bytes of device memory; 8192 of"));
}

// Every call of opening a compute that measures its units, and of its first operations, in turn.
TEST_F(VulkanFaultTest, EveryCallMayFindNoMemory) {
    constexpr int kMost = 100; // more than there are
    bool whole = false;
    int failures = 0;
    for (int call = 1; call <= kMost && !whole; ++call) {
        ASSERT_TRUE(test::lose_devices(("make:" + std::to_string(call)).c_str()));
        const auto compute = Compute::open("vulkan:unit_us=1000");
        if (!compute) {
            EXPECT_EQ(compute.error().status, Status::kOutOfMemory) << compute.error().message;
            EXPECT_THAT(compute.error().message, HasSubstr("memory")) << call;
            ++failures;
            continue;
        }
        const tessera_status status = round_trip(compute->table());
        whole = status == TESSERA_OK;
        if (whole) continue;
        EXPECT_EQ(status, TESSERA_ERROR_OUT_OF_MEMORY) << call;
        ++failures;
        EXPECT_EQ(round_trip(compute->table()), TESSERA_OK) << "after call " << call;
    }
    EXPECT_TRUE(whole) << "more than " << kMost << " calls";
    EXPECT_GT(failures, 40);
}

// All that a generator asks memory for: tensors, a weight, indices, scratch, a recording, copies.
class Work {
  public:
    explicit Work(const tessera_compute *compute)
        : c_(compute), graphs_(*static_cast<const tessera_ext_compute_graph *>(
                           compute->get_extension(compute, TESSERA_EXT_COMPUTE_GRAPH))) {}
    ~Work() {
        if (graph_ != nullptr) graphs_.destroy(c_, graph_);
        for (tessera_tensor &tensor : tensors_) {
            if (tensor.data != nullptr) c_->release(c_, &tensor);
        }
    }
    Work(const Work &) = delete;
    Work &operator=(const Work &) = delete;

    // The first failure, or OK and the numbers.
    tessera_status run(std::vector<float> &numbers) {
        const tessera_status made = make();
        if (made == TESSERA_OK) compute(numbers);
        const tessera_status done = c_->synchronize(c_);
        return made != TESSERA_OK ? made : done;
    }

  private:
    enum { kX, kMade, kWeight, kOnes, kCount };
    tessera_status make() {
        const HostTensor weight(random_array({16, 16}, 1), TESSERA_DTYPE_F32);
        if (const auto status =
                c_->pack_linear(c_, weight.view(), TESSERA_DTYPE_BF16, &tensors_[kWeight]);
            status != TESSERA_OK)
            return status;
        for (const int i : {kX, kMade, kOnes}) {
            const HostTensor like(Array(i == kOnes ? Shape{16} : Shape{1, 6, 16}));
            tensors_[i] = *like.view();
            tensors_[i].data = nullptr;
            if (const auto status = c_->allocate(c_, &tensors_[i]); status != TESSERA_OK)
                return status;
        }
        c_->fill(c_, 1.0F, &tensors_[kOnes]);
        const auto step = [](void *work) { static_cast<const Work *>(work)->step(); };
        const tessera_status recorded = graphs_.record(c_, step, this, &graph_);
        return recorded == TESSERA_OK ? c_->synchronize(c_) : recorded;
    }
    // x = norm(gather(x W^T)), as an image of 2 x 3 pixels.
    void step() const {
        const HostTensor order(Indices{5, 4, 3, 2, 1, 0}, Shape{6});
        c_->linear(c_, &tensors_[kX], &tensors_[kWeight], nullptr, &tensors_[kMade]);
        c_->gather_rows(c_, &tensors_[kMade], order.view(), &tensors_[kX]);
        tessera_tensor image = tensors_[kX];
        image.rank = 4;
        const std::int64_t shape[] = {1, 2, 3, 16}, stride[] = {96, 48, 16, 1};
        std::copy_n(shape, 4, image.shape);
        std::copy_n(stride, 4, image.stride);
        c_->group_norm(c_, &image, 2, &tensors_[kOnes], &tensors_[kOnes], 1e-6F,
                       TESSERA_ACTIVATION_SILU, &image);
    }
    void compute(std::vector<float> &numbers) {
        const HostTensor start(random_array({1, 6, 16}, 2));
        c_->upload(c_, start.view(), &tensors_[kX]);
        graphs_.replay(c_, graph_);
        step();
        numbers.assign(96, 0.0F);
        tessera_tensor to = *start.view();
        to.data = numbers.data();
        c_->download(c_, &tensors_[kX], &to);
    }

    const tessera_compute *c_;
    const tessera_ext_compute_graph &graphs_;
    tessera_tensor tensors_[kCount]{};
    tessera_graph *graph_ = nullptr;
};

// Each in turn: the compute reports it once, and makes the same numbers afterwards.
TEST_F(VulkanFaultTest, EveryCallOfAStepMayFindNoMemory) {
    const auto compute = Compute::open("vulkan");
    ASSERT_TRUE(compute.ok()) << compute.error().message;
    std::vector<float> want;
    ASSERT_EQ(Work(compute->table()).run(want), TESSERA_OK);
    constexpr int kMost = 80; // more than there are
    int failures = 0;
    for (int call = 1; call <= kMost; ++call) {
        ASSERT_TRUE(test::lose_devices(("make:" + std::to_string(call)).c_str()));
        std::vector<float> numbers;
        const tessera_status status = Work(compute->table()).run(numbers);
        ASSERT_TRUE(test::lose_devices(""));
        if (status == TESSERA_OK) { // there are no more calls
            EXPECT_EQ(numbers, want);
            break;
        }
        EXPECT_EQ(status, TESSERA_ERROR_OUT_OF_MEMORY) << call;
        ++failures;
        EXPECT_EQ(Work(compute->table()).run(numbers), TESSERA_OK) << "after call " << call;
        EXPECT_EQ(numbers, want) << "after call " << call;
    }
    EXPECT_GT(failures, 10);
    EXPECT_LT(failures, kMost);
}

// At the end of the recording, and at that of the numbers.
TEST_F(VulkanFaultTest, EverySubmissionAndWaitMayLoseTheDevice) {
    for (const char *wish : {"submit:1", "submit:2", "wait:1", "wait:2"}) {
        const auto compute = Compute::open("vulkan");
        ASSERT_TRUE(compute.ok()) << compute.error().message;
        ASSERT_TRUE(test::lose_devices(wish));
        std::vector<float> numbers;
        EXPECT_EQ(Work(compute->table()).run(numbers), TESSERA_ERROR_FAILED) << wish;
    }
}

} // namespace
} // namespace tessera::testing
