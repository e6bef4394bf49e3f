// What the parameters of several kernels have in common; the structs are those of shaders/compute,
// scalar layout.
#pragma once

#include "compute/row_shape.hpp"
#include "compute/vulkan/vulkan.hpp"

#include <cstdint>

namespace tessera::vulkan {

using Address = VkDeviceAddress; // Floats, Words, Integers; 0: absent

struct Steps {
    std::uint32_t outer = 0, middle = 0, inner = 0;
};

[[nodiscard]] inline std::uint32_t word(std::int64_t value) {
    return static_cast<std::uint32_t>(value);
}

// The strides of the first three dimensions.
[[nodiscard]] inline Steps steps_of(const tessera_tensor &tensor) {
    return {word(tensor.stride[0]), word(tensor.stride[1]), word(tensor.stride[2])};
}

// Rows of `over`, up to three dimensions of them, and where they begin in tensors that may lack
// dimensions or have 1 in their place: offset_of() of shaders/compute/kernel.glsl.
struct RowGrid {
    explicit RowGrid(const tessera_tensor &of) : over(of) {
        if (of.rank >= 2) inner_extent = word(of.shape[of.rank - 2]);
        if (of.rank >= 3) middle_extent = word(of.shape[of.rank - 3]);
    }
    [[nodiscard]] Steps operator()(const tessera_tensor &tensor) const {
        const auto step = [&](std::int32_t back) {
            const std::int32_t at = tensor.rank - 1 - back;
            const bool there = at >= 0 && over.rank - 1 - back >= 0 && tensor.shape[at] != 1;
            return there ? word(tensor.stride[at]) : 0U;
        };
        return {step(3), step(2), step(1)};
    }
    const tessera_tensor &over;
    std::uint32_t inner_extent = 1, middle_extent = 1;
};

// `Random` of shaders/compute/random.glsl.
struct RandomSource {
    RandomSource() = default;
    explicit RandomSource(const tessera_random &random)
        : key{static_cast<std::uint32_t>(random.seed),
              static_cast<std::uint32_t>(random.seed >> 32U)},
          stream(random.stream), first_draw(random.first_draw) {}
    std::uint32_t key[2]{};
    std::uint32_t stream = 0, first_draw = 0;
};

} // namespace tessera::vulkan
