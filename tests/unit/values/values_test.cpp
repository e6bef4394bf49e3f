// The values that both sides of the contract share: known answers.
#include <tessera/values/clock.hpp>
#include <tessera/values/growable.hpp>
#include <tessera/values/half.hpp>
#include <tessera/values/philox.hpp>
#include <tessera/values/status.hpp>
#include <tessera/values/tensor.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace tessera::values {
namespace {

static_assert(philox({0, 0, 0, 0}, {0, 0})[0] == 0x6627e8d5u, "usable in constant expressions");

TEST(Philox, KnownAnswers) {
    constexpr std::uint32_t kOnes = 0xffffffffu;
    EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}),
              (PhiloxCounter{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
    EXPECT_EQ(philox({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
              (PhiloxCounter{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}));
    EXPECT_EQ(
        philox({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, {0xa4093822u, 0x299f31d0u}),
        (PhiloxCounter{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}));
}

TEST(Philox, KeyIsTheSeedLowWordFirst) {
    EXPECT_EQ(philox_key(0x0123456789abcdefu), (PhiloxKey{0x89abcdefu, 0x01234567u}));
}

// f16 as IEEE 754-2008 has it: largest, smallest normal, largest and smallest subnormal.
TEST(Half, KnownAnswersOfF16) {
    EXPECT_EQ(f16_to_float(0x3c00), 1.0f);
    EXPECT_EQ(f16_to_float(0xc000), -2.0f);
    EXPECT_EQ(f16_to_float(0x7bff), 65504.0f);
    EXPECT_EQ(f16_to_float(0x0400), 0x1p-14f);
    EXPECT_EQ(f16_to_float(0x03ff), 0x3ffp-24f);
    EXPECT_EQ(f16_to_float(0x8001), -0x1p-24f);
    EXPECT_EQ(f16_to_float(0x3555), 0x1.554p-2f);
    EXPECT_TRUE(std::signbit(f16_to_float(0x8000)));
    EXPECT_EQ(f16_to_float(0x7c00), std::numeric_limits<float>::infinity());
    EXPECT_EQ(f16_to_float(0xfc00), -std::numeric_limits<float>::infinity());
    EXPECT_TRUE(std::isnan(f16_to_float(0x7c01)));
}

TEST(Half, F16RoundsToEven) {
    EXPECT_EQ(float_to_f16(-2.0f), 0xc000);
    EXPECT_EQ(float_to_f16(0x1.002p0f), 0x3c00);   // half way: to the even one
    EXPECT_EQ(float_to_f16(0x1.006p0f), 0x3c02);   // half way: up to the even one
    EXPECT_EQ(float_to_f16(0x1.00201p0f), 0x3c01); // more than half
    EXPECT_EQ(float_to_f16(0x1.ffep-15f), 0x0400); // up to the smallest normal number
    EXPECT_EQ(float_to_f16(0x1p-25f), 0);          // half of the smallest number
    EXPECT_EQ(float_to_f16(-0x1.8p-24f), 0x8002);  // half way between two of them
    EXPECT_EQ(float_to_f16(0x1.000002p-25f), 1);   // more than half of it
    EXPECT_EQ(float_to_f16(0x1p-149f), 0);
    EXPECT_EQ(float_to_f16(std::nextafter(kBeyondF16, 0.0f)), 0x7bff);
    EXPECT_EQ(float_to_f16(kBeyondF16), 0x7c00);
    EXPECT_EQ(float_to_f16(-std::numeric_limits<float>::infinity()), 0xfc00);
    EXPECT_TRUE(std::isnan(f16_to_float(float_to_f16(std::nanf("1")))));
    for (std::uint32_t half = 0; half <= 0x7c00; ++half) { // there and back
        const auto bits = static_cast<std::uint16_t>(half);
        EXPECT_EQ(float_to_f16(f16_to_float(bits)), bits);
        EXPECT_EQ(float_to_f16(-f16_to_float(bits)), bits | 0x8000);
    }
}

TEST(Half, Bf16IsTheUpperHalfAndRoundsToEven) {
    EXPECT_EQ(bf16_to_float(0x3f80), 1.0f);
    EXPECT_EQ(float_to_bf16(1.0f), 0x3f80);
    EXPECT_EQ(float_to_bf16(0x1.01p0f), 0x3f80);     // half way: to the even one
    EXPECT_EQ(float_to_bf16(0x1.03p0f), 0x3f82);     // half way: up to the even one
    EXPECT_EQ(float_to_bf16(0x1.010002p0f), 0x3f81); // more than half
    EXPECT_EQ(float_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
    EXPECT_EQ(float_to_bf16(-0.0f), 0x8000);
    EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(std::nanf("1")))));
    for (std::uint32_t half = 0; half < 0x7f80; ++half) { // there and back
        EXPECT_EQ(float_to_bf16(bf16_to_float(static_cast<std::uint16_t>(half))), half);
    }
}

struct Grown {
    std::uint32_t struct_size;
    std::uint32_t first;
    std::uint64_t later;
};

TEST(Growable, WhatTheWriterDidNotHaveIsZero) {
    const Grown old{8, 7, 99};
    EXPECT_EQ(read_growable(&old).first, 7u);
    EXPECT_EQ(read_growable(&old).later, 0u);
    const Grown newer{1000, 7, 99}; // of a later version: the known part is read
    EXPECT_EQ(read_growable(&newer).later, 99u);
    EXPECT_EQ(read_growable<Grown>(nullptr).struct_size, 0u);
}

TEST(Tensor, ViewsWithoutGaps) {
    const std::int64_t shape[] = {2, 3, 4};
    tessera_tensor view = contiguous_view(nullptr, TESSERA_DTYPE_F32, shape, TESSERA_MEMORY_HOST);
    EXPECT_EQ(view.stride[0], 12);
    EXPECT_EQ(view.shape[3], 1);
    EXPECT_EQ(view.stride[3], 0);
    EXPECT_TRUE(is_contiguous(view));
    EXPECT_EQ(size_bytes(view), 96);
    EXPECT_EQ(shape_text(view), "(2, 3, 4)");
    view.shape[2] = 3;
    EXPECT_FALSE(is_contiguous(view));
    view.shape[1] = std::numeric_limits<std::int64_t>::max();
    EXPECT_EQ(element_count(view), std::nullopt);
    view.rank = 9;
    EXPECT_EQ(shape_text(view), "(rank 9)");
}

TEST(Status, HasANameForPeople) {
    EXPECT_EQ(status_name(Status::kOutOfMemory), "out of memory");
    EXPECT_EQ(Status::kDone, Status::kOk);
    EXPECT_EQ(status_name(static_cast<Status>(-77)), "unknown status");
}

TEST(Clock, NeverGoesBack) {
    std::uint64_t last = monotonic_ns();
    const std::uint64_t before_us = monotonic_us();
    EXPECT_LE(before_us, monotonic_ns() / 1000);
    for (int i = 0; i < 1000; ++i) {
        const std::uint64_t now = monotonic_ns();
        EXPECT_GE(now, last);
        last = now;
    }
}

} // namespace
} // namespace tessera::values
