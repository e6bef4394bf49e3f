// Philox 4x32-10 against the known answers that its authors publish (Random123, kat_vectors).
#include "core/philox.hpp"

#include <gtest/gtest.h>

namespace tessera {
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

} // namespace
} // namespace tessera
