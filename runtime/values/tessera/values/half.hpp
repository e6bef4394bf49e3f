// Numbers of 16 bits to and from float32: IEEE half (f16) and bfloat16 (bf16).
#pragma once

#include <bit>
#include <cstdint>

namespace tessera::values {

// Exact for every number; infinities stay, and not-a-number stays one.
[[nodiscard]] constexpr float f16_to_float(std::uint16_t half) {
    const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
    const std::uint32_t magnitude = half & 0x7fffu;
    if (magnitude < 0x0400u) { // zero and subnormal numbers: multiples of 2^-24
        const float value = static_cast<float>(magnitude) * 0x1p-24f;
        return sign != 0 ? -value : value;
    }
    // The exponent's bias grows from 15 to 127; all ones stay all ones.
    const std::uint32_t bias = magnitude >= 0x7c00u ? 0x70000000u : 0x38000000u;
    return std::bit_cast<float>(sign | ((magnitude << 13) + bias));
}

[[nodiscard]] constexpr float bf16_to_float(std::uint16_t half) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16);
}

// What f16 rounds to infinity, as is everything larger: half way from its largest number to 2^16.
constexpr float kBeyondF16 = 65520.0F;

// To nearest, half to even; infinities stay, and not-a-number stays one.
[[nodiscard]] constexpr std::uint16_t float_to_f16(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = bits >> 16 & 0x8000u;
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    std::uint32_t half = 0x7e00u; // not a number
    if (magnitude < 0x38800000u) {
        // Below the smallest normal number: 1/2 more than it is has a last bit of 2^-24 too.
        const float sum = std::bit_cast<float>(magnitude) + 0.5F;
        half = std::bit_cast<std::uint32_t>(sum) - std::bit_cast<std::uint32_t>(0.5F);
    } else if (magnitude < std::bit_cast<std::uint32_t>(kBeyondF16)) {
        const std::uint32_t moved = magnitude - 0x38000000u; // the exponent's bias, 127 to 15
        half = (moved + 0xfffu + (moved >> 13 & 1u)) >> 13;
    } else if (magnitude <= 0x7f800000u) {
        half = 0x7c00u;
    }
    return static_cast<std::uint16_t>(sign | half);
}

// To nearest, half to even; not-a-number stays one.
[[nodiscard]] constexpr std::uint16_t float_to_bf16(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 64u);
    return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

} // namespace tessera::values
