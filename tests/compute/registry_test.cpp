// How programs get a backend: names, "best", instruction sets, and what they are told otherwise.
#include "compute/cpu/dispatch.hpp"
#include "compute/registry.hpp"
#include "core/tensor.hpp"
#include "core/thread_pool.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace tessera {
namespace {

using ::testing::HasSubstr;

TEST(Registry, BestIsABackendOfThisBuild) {
    const auto compute = Compute::open("best");
    ASSERT_TRUE(compute.ok()) << compute.error().message;
    std::string first; // that is not missing
    for (const ComputeBackend &backend : compute_backends())
        if (first.empty() && *backend.missing == '\0') first = backend.name;
    EXPECT_EQ((*compute).table()->info->backend, first);
    EXPECT_EQ((*compute).table()->info->memory,
              first == "cpu" ? TESSERA_MEMORY_HOST : TESSERA_MEMORY_CUDA);
}

TEST(Registry, UnknownNameListsTheKnownOnes) {
    const auto compute = Compute::open("abacus");
    ASSERT_FALSE(compute.ok());
    EXPECT_EQ(compute.error().status, Status::kNotFound);
    EXPECT_THAT(compute.error().message, HasSubstr("\"abacus\""));
    EXPECT_THAT(compute.error().message, HasSubstr("\"cpu\""));
}

TEST(Registry, MissingBackendSaysWhy) {
    for (const ComputeBackend &backend : compute_backends()) {
        if (*backend.missing == '\0') continue;
        const auto compute = Compute::open(backend.name);
        ASSERT_FALSE(compute.ok());
        EXPECT_EQ(compute.error().status, Status::kUnsupported);
        EXPECT_THAT(compute.error().message, HasSubstr(backend.missing));
    }
}

TEST(Registry, ThreadsAndSharedPools) {
    ComputeOptions options;
    options.threads = 3;
    const auto own = Compute::open("cpu", options);
    ASSERT_TRUE(own.ok());
    EXPECT_THAT((*own).table()->info->device, HasSubstr("3 threads"));
    ThreadPool pool({.threads = 2});
    options.pool = &pool;
    const auto shared = Compute::open("cpu", options);
    ASSERT_TRUE(shared.ok());
    EXPECT_THAT((*shared).table()->info->device, HasSubstr("2 threads"));
}

TEST(Registry, UnknownInstructionSetListsTheKnownOnes) {
    ComputeOptions options;
    options.isa = "z80";
    const auto compute = Compute::open("cpu", options);
    ASSERT_FALSE(compute.ok());
    EXPECT_EQ(compute.error().status, Status::kInvalidArgument);
    EXPECT_THAT(compute.error().message, HasSubstr("\"z80\""));
    EXPECT_THAT(compute.error().message, HasSubstr("generic"));
}

// Every level of the build, also those that only other machines run: they show as skipped.
class LevelTest : public ::testing::TestWithParam<cpu::Level> {};

TEST_P(LevelTest, MultipliesSmallMatrices) {
    ComputeOptions options;
    options.isa = GetParam().name;
    const auto opened = Compute::open("cpu", options);
    if (!GetParam().available()) {
        ASSERT_FALSE(opened.ok());
        EXPECT_EQ(opened.error().status, Status::kUnsupported);
        GTEST_SKIP() << opened.error().message;
    }
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    const tessera_compute *compute = (*opened).table();
    EXPECT_THAT(compute->info->device, HasSubstr(GetParam().name));

    constexpr std::int64_t kRows = 3, kIn = 5,
                           kOut = 70; // small integers: exact in every precision
    std::vector<float> x(kRows * kIn);
    std::vector<float> weight(kOut * kIn);
    std::vector<float> out(kRows * kOut);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7) - 3;
    for (std::size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<float>(i % 5) - 2;
    const auto view = [](std::vector<float> &data, std::int64_t rows, std::int64_t width) {
        return *make_view(data.data(), TESSERA_DTYPE_F32, {rows, width});
    };
    const tessera_tensor plain = view(weight, kOut, kIn);
    const tessera_tensor in = view(x, kRows, kIn);
    const tessera_tensor result = view(out, kRows, kOut);
    for (const tessera_dtype precision : {TESSERA_DTYPE_F32, TESSERA_DTYPE_BF16}) {
        tessera_tensor packed{};
        ASSERT_EQ(compute->pack_linear(compute, &plain, precision, &packed), TESSERA_OK);
        compute->linear(compute, &in, &packed, nullptr, &result);
        ASSERT_EQ(compute->synchronize(compute), TESSERA_OK);
        compute->release(compute, &packed);
        for (std::size_t r = 0; r < kRows; ++r) {
            for (std::size_t o = 0; o < kOut; ++o) {
                float sum = 0;
                for (std::size_t i = 0; i < kIn; ++i) sum += x[r * kIn + i] * weight[o * kIn + i];
                ASSERT_EQ(out[r * kOut + o], sum) << "row " << r << ", column " << o;
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Levels, LevelTest,
                         ::testing::ValuesIn(cpu::levels().begin(), cpu::levels().end()),
                         [](const auto &instance) { return std::string(instance.param.name); });

} // namespace
} // namespace tessera
