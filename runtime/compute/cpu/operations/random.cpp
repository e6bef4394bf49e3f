#include "compute/cpu/operations/random.hpp"

#include "compute/cpu/ops.hpp"
#include "compute/cpu/rows.hpp"
#include "compute/normal_numbers.hpp"
#include "compute/operands.hpp"

namespace tessera::cpu {
void normal_row(const tessera_random &random, std::int32_t image, std::int32_t position,
                std::uint32_t first_draw, std::int64_t width, float *out) {
    const PhiloxKey key = philox_key(random.seed);
    for (std::int64_t e = 0; e < width; e += 4) {
        const auto numbers = normal_numbers({random.stream, static_cast<std::uint32_t>(image),
                                             static_cast<std::uint32_t>(position),
                                             first_draw + static_cast<std::uint32_t>(e / 4)},
                                            key);
        for (std::int64_t i = 0; i < 4 && e + i < width; ++i) out[e + i] = numbers[i];
    }
}

void normal(Cpu &cpu, const tessera_random &random, const tessera_tensor &out) {
    const auto rows = operands::as_rows(out);
    const tessera_tensor &index = *random.index;
    const auto *at = static_cast<const std::int32_t *>(index.data);
    for_each_row<1>(cpu, out, {&out},
                    [&](const std::array<std::int64_t, 1> &offset, std::int64_t width) {
                        const std::int64_t row = rows->stride == 0 ? 0 : offset[0] / rows->stride;
                        normal_row(random, at[row * index.stride[0]],
                                   at[row * index.stride[0] + index.stride[1]], random.first_draw,
                                   width, data_of(out) + offset[0]);
                    });
}

} // namespace tessera::cpu
