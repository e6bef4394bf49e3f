// bf16 numbers as <cuda_bf16.h> has them, as far as the CUDA backend uses them.
#pragma once

#include <bit>
#include <cstdint>

struct __nv_bfloat16 {
    std::uint16_t bits;
};

inline float __bfloat162float(__nv_bfloat16 value) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16U);
}

// Round to nearest, half to even; not-a-number is the one that the device gives.
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if ((bits & 0x7fffffffU) > 0x7f800000U) return {0x7fff};
    return {static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16U & 1U)) >> 16U)};
}
