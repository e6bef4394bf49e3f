// Frame pacing and percentiles.
#include "host/edit/duration_stats.hpp"
#include "sandbox/app/frame_pacer.hpp"

#include <gtest/gtest.h>

namespace tessera {
namespace {

TEST(FramePacer, KeepsThePeriodWhateverTheFrameCosts) {
    FramePacer pacer(50); // 20 ms
    const std::uint64_t first = pacer.next_start_us(1'000'000);
    EXPECT_EQ(first, 1'000'000U);
    EXPECT_EQ(pacer.next_start_us(1'003'000), 1'020'000U);
    EXPECT_EQ(pacer.next_start_us(1'039'999), 1'040'000U);
}

TEST(FramePacer, ALateFrameIsNotMadeUpFor) {
    FramePacer pacer(50);
    EXPECT_EQ(pacer.next_start_us(1'000'000), 1'000'000U);
    EXPECT_EQ(pacer.next_start_us(1'075'000), 1'075'000U);
    EXPECT_EQ(pacer.next_start_us(1'076'000), 1'095'000U);
}

TEST(FramePacer, ZeroMeansNoLimit) {
    FramePacer pacer(0);
    EXPECT_EQ(pacer.next_start_us(5), 5U);
    EXPECT_EQ(pacer.next_start_us(6), 6U);
}

TEST(DurationStats, GivesPercentilesOfTheLastValues) {
    DurationStats stats(100);
    EXPECT_EQ(stats.percentile_us(0.5), 0U);
    for (std::uint64_t i = 1; i <= 1000; ++i) stats.push(i);
    EXPECT_EQ(stats.size(), 100U);
    EXPECT_EQ(stats.at(0), 901U);
    EXPECT_EQ(stats.at(99), 1000U);
    EXPECT_EQ(stats.percentile_us(0.5), 950U);
    EXPECT_EQ(stats.percentile_us(0.99), 999U);
    EXPECT_EQ(stats.percentile_us(1.0), 1000U);
    EXPECT_EQ(stats.percentile_us(0.0), 901U);
    stats.clear();
    EXPECT_EQ(stats.size(), 0U);
}

} // namespace
} // namespace tessera
