// Weights as a caller gives them, for backends that pack them in an order of their own.
#pragma once

#include <tessera/compute.h>
#include <tessera/values/half.hpp>

#include <cstdint>
#include <cstring>
#include <vector>

namespace tessera {

// Element `at` of an F32, F16 or BF16 tensor of any alignment, counted in elements from its data.
[[nodiscard]] inline float host_weight_at(const tessera_tensor &weight, std::int64_t at) {
    const auto *bytes = static_cast<const char *>(weight.data);
    if (weight.dtype == TESSERA_DTYPE_F32) {
        float value;
        std::memcpy(&value, bytes + at * 4, sizeof value);
        return value;
    }
    std::uint16_t half;
    std::memcpy(&half, bytes + at * 2, sizeof half);
    return weight.dtype == TESSERA_DTYPE_F16 ? values::f16_to_float(half)
                                             : values::bf16_to_float(half);
}

// Of a matrix (outputs, inputs): row by row.
[[nodiscard]] inline std::vector<float> host_rows(const tessera_tensor &weight) {
    std::vector<float> values;
    values.reserve(static_cast<std::size_t>(weight.shape[0] * weight.shape[1]));
    for (std::int64_t o = 0; o < weight.shape[0]; ++o) {
        for (std::int64_t i = 0; i < weight.shape[1]; ++i)
            values.push_back(host_weight_at(weight, o * weight.stride[0] + i * weight.stride[1]));
    }
    return values;
}

// Of a kernel (outputs, channels, height, width): for each output tap by tap, all channels of one.
[[nodiscard]] inline std::vector<float> host_kernel_by_taps(const tessera_tensor &weight) {
    const std::int64_t taps = weight.shape[2] * weight.shape[3];
    std::vector<float> values;
    values.reserve(static_cast<std::size_t>(weight.shape[0] * taps * weight.shape[1]));
    for (std::int64_t o = 0; o < weight.shape[0]; ++o) {
        for (std::int64_t tap = 0; tap < taps; ++tap) {
            const std::int64_t at = o * weight.stride[0] +
                                    tap / weight.shape[3] * weight.stride[2] +
                                    tap % weight.shape[3] * weight.stride[3];
            for (std::int64_t c = 0; c < weight.shape[1]; ++c)
                values.push_back(host_weight_at(weight, at + c * weight.stride[1]));
        }
    }
    return values;
}

} // namespace tessera
