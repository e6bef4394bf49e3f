// The Vulkan backend on devices that get lost and where calls find no memory, by the layer of
// tests/view/vulkan: an error names what failed, and what comes after works.
#include "harness.hpp"

#include "compute/registry.hpp"
#include "core/log.hpp"
#include "tests/view/vulkan/losing_devices.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

namespace tessera::testing {
namespace {

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

// Every call of opening a compute and of its first operations in turn.
TEST_F(VulkanFaultTest, EveryCallMayFindNoMemory) {
    constexpr int kMost = 60; // more than there are
    bool whole = false;
    int failures = 0;
    for (int call = 1; call <= kMost && !whole; ++call) {
        ASSERT_TRUE(test::lose_devices(("make:" + std::to_string(call)).c_str()));
        const auto compute = Compute::open("vulkan");
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
    EXPECT_GT(failures, 10);
}

} // namespace
} // namespace tessera::testing
