// Noise tables, time features, orders and mask schedules against closed forms and checksums.
#include "blocks/diffusion/guidance.hpp"
#include "blocks/diffusion/noise_schedule.hpp"
#include "blocks/diffusion/sampler.hpp"
#include "blocks/model/time_embed.hpp"
#include "blocks/sequence/order.hpp"

#include <tessera/sdk/status.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
#include <set>
#include <sstream>

namespace tessera::blocks {
namespace {

// CRC-32 as zlib computes it, bit by bit.
std::uint32_t crc32(std::uint32_t crc, std::span<const std::uint8_t> bytes) {
    crc = ~crc;
    for (const std::uint8_t byte : bytes) {
        crc ^= byte;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
    }
    return ~crc;
}

std::vector<std::uint8_t> little_endian(const std::vector<std::int32_t> &values) {
    std::vector<std::uint8_t> bytes;
    for (const std::int32_t value : values) {
        for (int i = 0; i < 4; ++i) {
            bytes.push_back(
                static_cast<std::uint8_t>(static_cast<std::uint32_t>(value) >> (8 * i)));
        }
    }
    return bytes;
}

TEST(Respace, EveryCountHasTheRecordedChecksum) {
    std::ifstream file(TESSERA_FIXTURES_DIR "/diffusion_schedules/timestep_maps_crc32.txt");
    ASSERT_TRUE(file);
    int counts = 0;
    for (std::string line; std::getline(file, line);) {
        if (line.empty() || line[0] == '#') continue;
        std::istringstream fields(line);
        int count = 0;
        std::string checksum;
        fields >> count >> checksum;
        const auto bytes = little_endian(respace(std::to_string(count)));
        EXPECT_EQ(crc32(0, bytes), std::stoul(checksum, nullptr, 16)) << count << " steps";
        ++counts;
    }
    EXPECT_EQ(counts, 999);
}

TEST(Respace, ChecksumOverAllCountsTogether) {
    // Made once from maps that agree with the recorded checksums; needs no file.
    std::uint32_t crc = 0;
    for (int count = 2; count <= 1000; ++count) {
        crc = crc32(crc, little_endian(respace(std::to_string(count))));
    }
    EXPECT_EQ(crc, 0xB9042C2Fu);
}

TEST(Respace, SectionsAndStrides) {
    EXPECT_EQ(respace("2"), (std::vector<std::int32_t>{0, 999}));
    const auto ddim = respace("ddim50");
    ASSERT_EQ(ddim.size(), 50u);
    EXPECT_EQ(ddim[1], 20);
    EXPECT_EQ(ddim.back(), 980);
    const auto sections = respace("10,15,25");
    EXPECT_EQ(sections.size(), 50u);
    EXPECT_EQ(sections[9], 333); // 1000 = 334 + 333 + 333
    EXPECT_EQ(sections[10], 334);
    EXPECT_EQ(respace("1,1"), (std::vector<std::int32_t>{0, 500}));
}

TEST(Respace, RejectsWhatCannotBe) {
    for (const char *spec : {"", "1", "0", "-5", "1001", "abc", "10,", "10,,5", "ddim", "ddim0",
                             "ddim999", "5.5", " 5", "600,600", "99999999999999999999"}) {
        EXPECT_THROW(static_cast<void>(respace(spec)), sdk::Failure) << "'" << spec << "'";
    }
}

TEST(CosineSchedule, ClosedForms) {
    const NoiseTables t = cosine_tables("1000");
    EXPECT_NEAR(t.alphas_cumprod[499], 0.49384359, 5e-9);
    EXPECT_NEAR(t.alphas_cumprod[999], 2.43e-9, 1e-11);
    EXPECT_DOUBLE_EQ(cosine_betas().back(), 0.999);
    for (int i = 0; i < t.size(); ++i) {
        // x0 and x add up to the posterior mean of a noiseless x = sqrt(abar) x0.
        const double mean =
            t.posterior_mean_coef1[i] + t.posterior_mean_coef2[i] * t.sqrt_alphas_cumprod[i];
        EXPECT_NEAR(mean, std::sqrt(t.alphas_cumprod_prev[i]), 1e-9) << i;
    }
}

TEST(AncestralSteps, LastStepAddsNoNoise) {
    const auto steps = ancestral_steps(cosine_tables("10"), 0.5);
    ASSERT_EQ(steps.size(), 10u);
    EXPECT_EQ(steps.front().noise_scale, 0.5f);
    EXPECT_EQ(steps.back().noise_scale, 0.0f);
    // At time 0 the mean is x0 itself.
    const NoiseTables t = cosine_tables("10");
    EXPECT_NEAR(steps.back().x_scale, t.sqrt_recip_alphas_cumprod[0], 1e-6);
    EXPECT_NEAR(steps.back().model_scale, -t.sqrt_recipm1_alphas_cumprod[0], 1e-7);
}

TEST(TimeFeatures, CosinesFirst) {
    const auto f = time_frequencies();
    ASSERT_EQ(f.size(), 128u);
    EXPECT_EQ(f[0], 1.0f);
    EXPECT_NEAR(f[1], 0.93057f, 1e-5); // 256 features; a width of 768 would give 0.97624
    const std::int32_t times[] = {0, 999};
    const auto features = time_features(times);
    for (int k = 0; k < 128; ++k) {
        EXPECT_EQ(features[k], 1.0f);
        EXPECT_EQ(features[128 + k], 0.0f);
        EXPECT_NEAR(features[256 + k], std::cos(999.0 * f[k]), 1e-4);
    }
}

TEST(Order, IsAPermutationOfItsOwnImage) {
    const auto first = random_order(7, 0, 64, {});
    const auto second = random_order(7, 1, 64, {});
    EXPECT_NE(first, second);
    EXPECT_EQ(second, random_order(7, 1, 64, {}));
    EXPECT_NE(first, random_order(8, 0, 64, {}));
    for (const auto &order : {first, second}) {
        EXPECT_EQ(std::set<std::int32_t>(order.begin(), order.end()).size(), 64u);
    }
}

TEST(Order, KnownTokensComeBeforeAllOthersAndChangeNothingElse) {
    std::vector<std::uint8_t> known(64, 0);
    for (const int i : {3, 20, 63}) known[i] = 1;
    const auto order = random_order(7, 0, 64, known);
    // Listed from last generated to first: known ones at the end.
    EXPECT_EQ(std::vector<std::int32_t>(order.end() - 3, order.end()),
              (std::vector<std::int32_t>{3, 20, 63}));
    std::vector<std::int32_t> rest(order.begin(), order.end() - 3);
    std::vector<std::int32_t> expected = random_order(7, 0, 64, {});
    std::erase_if(expected, [&](std::int32_t token) { return known[token] != 0; });
    EXPECT_EQ(rest, expected);
}

std::vector<int> group_sizes(int steps, int tokens) {
    std::vector<int> sizes;
    for (const UnmaskStep &step : cosine_plan(steps, tokens)) {
        sizes.push_back(step.unknown_before - step.first);
    }
    return sizes;
}

TEST(CosinePlan, Anchors) {
    const auto sizes64 = group_sizes(64, 256);
    EXPECT_EQ(std::vector<int>(sizes64.begin(), sizes64.begin() + 3), (std::vector<int>{1, 1, 1}));
    EXPECT_EQ(std::vector<int>(sizes64.end() - 3, sizes64.end()), (std::vector<int>{6, 6, 6}));
    EXPECT_EQ(*std::max_element(sizes64.begin(), sizes64.end()), 7);
    const auto sizes32 = group_sizes(32, 256);
    EXPECT_EQ(*std::max_element(sizes32.begin(), sizes32.end()), 13);
    const auto sizes16 = group_sizes(16, 256);
    EXPECT_EQ(std::vector<int>(sizes16.begin(), sizes16.begin() + 3), (std::vector<int>{2, 3, 7}));
}

TEST(CosinePlan, EveryTokenExactlyOnceAndNoEmptyStep) {
    for (const int tokens : {1, 2, 16, 81, 256}) {
        for (int steps = 1; steps <= tokens + 3; ++steps) {
            const auto sizes = group_sizes(steps, tokens);
            EXPECT_EQ(sizes.size(), static_cast<std::size_t>(std::min(steps, tokens)));
            EXPECT_EQ(std::accumulate(sizes.begin(), sizes.end(), 0), tokens);
            EXPECT_GE(*std::min_element(sizes.begin(), sizes.end()), 1);
        }
    }
    EXPECT_TRUE(cosine_plan(4, 0).empty());
}

TEST(Guidance, LinearEndsBelowItsTarget) {
    EXPECT_DOUBLE_EQ(guidance_at(GuidanceSchedule::kLinear, 3.0, 256, 1), 1.0 + 2.0 * 255 / 256);
    EXPECT_DOUBLE_EQ(guidance_at(GuidanceSchedule::kConstant, 3.0, 256, 255), 3.0);
    EXPECT_FALSE(is_guided(1.0));
    EXPECT_TRUE(is_guided(0.5));
}

} // namespace
} // namespace tessera::blocks
