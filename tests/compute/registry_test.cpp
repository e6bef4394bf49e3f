// How programs get a backend: names, "best", instruction sets, and what they are told otherwise.
#include "compute/backend_settings.hpp"
#include "compute/cpu/kernels/dispatch.hpp"
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
    const std::string best = (*compute)->info->backend;
    bool is_there = false;
    for (const ComputeBackend &backend : compute_backends())
        is_there = is_there || (best == backend.name && *backend.missing == '\0');
    EXPECT_TRUE(is_there) << best;
    EXPECT_EQ((*compute)->info->memory == TESSERA_MEMORY_HOST, best == "cpu");
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
    const auto compute = Compute::open("cpu:isa=z80");
    ASSERT_FALSE(compute.ok());
    EXPECT_EQ(compute.error().status, Status::kInvalidArgument);
    EXPECT_THAT(compute.error().message, HasSubstr("\"z80\""));
    EXPECT_THAT(compute.error().message, HasSubstr("generic"));
}

TEST(Registry, OptionsOfABackendFollowItsName) {
    EXPECT_TRUE(Compute::find("cpu:isa=generic").ok());
    const auto generic = Compute::open("cpu:isa=generic");
    ASSERT_TRUE(generic.ok()) << generic.error().message;
    EXPECT_THAT((*generic).table()->info->device, HasSubstr("generic"));

    const auto refused = [](std::string_view text, Status status, const char *part) {
        const auto compute = Compute::open(text);
        ASSERT_FALSE(compute.ok()) << text;
        EXPECT_EQ(compute.error().status, status) << text;
        EXPECT_THAT(compute.error().message, HasSubstr(part));
    };
    refused("cpu:threads=2", Status::kInvalidArgument,
            "compute backend \"cpu\": no option \"threads\"; expected one of isa");
    refused("cpu:isa", Status::kInvalidArgument, "option \"isa\"; expected key=value");
    refused("cpu:isa=generic,=3", Status::kInvalidArgument, "option \"=3\"");
    refused("abacus:isa=generic", Status::kNotFound, "\"abacus\"");
}

TEST(Registry, SettingsAreReadAsTheirKind) {
    std::uint32_t number = 7;
    bool flag = false;
    std::string text;
    const auto read = [&](std::initializer_list<BackendSetting> given) {
        return read_settings({given.begin(), given.size()},
                             {{"number", &number}, {"flag", &flag}, {"text", &text}});
    };
    EXPECT_TRUE(read({}).ok());
    EXPECT_EQ(number, 7U);
    EXPECT_TRUE(read({{"number", "12"}, {"flag", "1"}, {"text", "a b"}}).ok());
    EXPECT_EQ(number, 12U);
    EXPECT_TRUE(flag);
    EXPECT_EQ(text, "a b");
    for (const BackendSetting &wrong : {BackendSetting{"number", "-1"},
                                        {"number", ""},
                                        {"number", "3x"},
                                        {"number", "4294967296"},
                                        {"flag", "2"},
                                        {"flag", "yes"}}) {
        const auto result = read({wrong});
        ASSERT_FALSE(result.ok()) << wrong.value;
        EXPECT_THAT(result.error().message, HasSubstr(wrong.key));
        EXPECT_THAT(result.error().message, HasSubstr(std::string("\"") + wrong.value + "\""));
    }
    EXPECT_EQ(number, 12U);
}

// Every level of the build, also those that only other machines run: they show as skipped.
class LevelTest : public ::testing::TestWithParam<cpu::Level> {};

TEST_P(LevelTest, MultipliesSmallMatrices) {
    const auto opened = Compute::open(std::string("cpu:isa=") + GetParam().name);
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
