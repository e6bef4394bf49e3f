// Numbers of a weight on the host, of any dtype, stride and alignment that weight files have.
#pragma once

#include <tessera/base.h>

#include <bit>
#include <cstdint>
#include <cstring>

namespace tessera::cuda {

[[nodiscard]] inline float float_of_half(std::uint16_t half) {
    const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16U;
    const std::uint32_t exponent = half >> 10U & 31U;
    const std::uint32_t mantissa = half & 1023U;
    if (exponent == 0) { // zero or subnormal: mantissa 2^-24
        const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
        return sign != 0 ? -magnitude : magnitude;
    }
    const std::uint32_t wide = exponent == 31 ? 0x7f800000U : (exponent + 112U) << 23U;
    return std::bit_cast<float>(sign | wide | mantissa << 13U);
}

// Element `at` of an F32, F16 or BF16 tensor, counted in elements from its data.
[[nodiscard]] inline float host_weight_at(const tessera_tensor &weight, std::int64_t at) {
    const auto *bytes = static_cast<const char *>(weight.data);
    if (weight.dtype == TESSERA_DTYPE_F32) {
        float value;
        std::memcpy(&value, bytes + at * 4, sizeof value);
        return value;
    }
    std::uint16_t half;
    std::memcpy(&half, bytes + at * 2, sizeof half);
    if (weight.dtype == TESSERA_DTYPE_F16) return float_of_half(half);
    return std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16U);
}

} // namespace tessera::cuda
