// Standard normal numbers from Philox words, in plain float32 arithmetic: the same bits on every
// machine, instruction set and device. The rule is in compute.h at tessera_random.
// Products and sums must not be fused where this is compiled (-ffp-contract=off, -fmad=false).
#pragma once

#include <tessera/values/philox.hpp>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define TESSERA_HOST_DEVICE __host__ __device__
#else
#define TESSERA_HOST_DEVICE
#endif

namespace tessera {

using values::philox;
using values::philox_key;
using values::PhiloxCounter;
using values::PhiloxKey;

// ln x for normal x > 0, to about 1e-7: x = m 2^e with m in [sqrt 1/2, sqrt 2), polynomial in m
// - 1.
[[nodiscard]] TESSERA_HOST_DEVICE inline float log_positive(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const auto exponent = static_cast<std::int32_t>((bits - 0x3f3504f3u) >> 23);
    const auto signed_exponent = exponent >= 256 ? exponent - 512 : exponent;
    const float e = static_cast<float>(signed_exponent);
    const float f =
        std::bit_cast<float>(bits - (static_cast<std::uint32_t>(signed_exponent) << 23)) - 1.0f;
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    const float square = f * f;
    const float tail = p * f * square - 2.12194440e-4f * e - 0.5f * square;
    return f + tail + 0.693359375f * e;
}

// cos and sin of 2 pi u for u in [0, 1): a quarter turn is exact, the rest is within 1/8 of a turn.
[[nodiscard]] TESSERA_HOST_DEVICE inline std::array<float, 2> cos_sin_turn(float u) {
    const auto quarter = (static_cast<int>(u * 8.0f) + 1) / 2;
    const float x = (u - static_cast<float>(quarter) * 0.25f) * 6.283185307f;
    const float z = x * x;
    const float s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * x + x;
    const float c =
        ((2.443315711810e-5f * z - 1.388731625494e-3f) * z + 4.166664568298e-2f) * z * z -
        0.5f * z + 1.0f;
    switch (quarter & 3) {
    case 0:
        return {c, s};
    case 1:
        return {-s, c};
    case 2:
        return {-c, -s};
    default:
        return {s, -c};
    }
}

// Box-Muller on two words.
[[nodiscard]] TESSERA_HOST_DEVICE inline std::array<float, 2> normal_pair(std::uint32_t a,
                                                                          std::uint32_t b) {
    const float u = (static_cast<float>(a >> 9) + 0.5f) * 0x1p-23f; // exact, in (0, 1)
    const float v = static_cast<float>(b >> 8) * 0x1p-24f;          // exact, in [0, 1)
    const float radius = std::sqrt(-2.0f * log_positive(u));
    const auto [c, s] = cos_sin_turn(v);
    return {radius * c, radius * s};
}

// The four numbers of one counter.
[[nodiscard]] TESSERA_HOST_DEVICE inline std::array<float, 4> normal_numbers(PhiloxCounter counter,
                                                                             PhiloxKey key) {
    const PhiloxCounter words = philox(counter, key);
    const auto [a, b] = normal_pair(words[0], words[1]);
    const auto [c, d] = normal_pair(words[2], words[3]);
    return {a, b, c, d};
}

} // namespace tessera
