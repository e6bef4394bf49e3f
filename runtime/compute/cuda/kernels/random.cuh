// Drawing normal numbers inside kernels.
#pragma once

#include "compute/cuda/cuda.hpp"
#include "compute/normal_numbers.hpp"

namespace tessera::cuda {

// A tessera_random as kernels take it; images and positions come with it.
struct NormalSource {
    PhiloxKey key{};
    std::uint32_t stream = 0;
    std::uint32_t first_draw = 0;

    NormalSource() = default;
    explicit NormalSource(const tessera_random &random)
        : key(philox_key(random.seed)), stream(random.stream), first_draw(random.first_draw) {}

    // Elements 4 quad to 4 quad + 3 of a row, `draws` counters after the first.
    [[nodiscard]] __device__ std::array<float, 4>
    quad(std::int32_t image, std::int32_t position, std::uint32_t draws, std::int64_t quad) const {
        return normal_numbers({stream, static_cast<std::uint32_t>(image),
                               static_cast<std::uint32_t>(position),
                               first_draw + draws + static_cast<std::uint32_t>(quad)},
                              key);
    }

    // One number in [0, 1): the upper 24 bits of the first word.
    [[nodiscard]] __device__ float share(std::int32_t image, std::int32_t position) const {
        const PhiloxCounter words = philox({stream, static_cast<std::uint32_t>(image),
                                            static_cast<std::uint32_t>(position), first_draw},
                                           key);
        return static_cast<float>(words[0] >> 8U) * 0x1p-24F;
    }
};

// The (rows, 2) index of a tessera_random on the device; NULL when it failed.
[[nodiscard]] const std::int32_t *image_positions(Cuda &cuda, const tessera_tensor &index);

} // namespace tessera::cuda
