// Guidance and the reverse diffusion step.
#include "compute/cpu/ops.hpp"
#include "compute/cpu/rows.hpp"

#include <cstring>

namespace tessera::cpu {

void guide(Cpu &cpu, const tessera_tensor &conditional, const tessera_tensor &unconditional,
           float scale, std::uint32_t guided_width, const tessera_tensor &out) {
    const auto kernel = cpu.kernels().elementwise.guide;
    const auto guided = static_cast<std::int64_t>(guided_width);
    const auto body = [&](const auto &at, std::int64_t width) {
        const float *c = data_of(conditional) + at[0];
        float *y = data_of(out) + at[2];
        if (guided > 0) kernel(c, data_of(unconditional) + at[1], guided, scale, y);
        if (width > guided) {
            std::memmove(y + guided, c + guided,
                         static_cast<std::size_t>(width - guided) * sizeof(float));
        }
    };
    for_each_row<3>(cpu, out, {&conditional, &unconditional, &out}, body);
}

void reverse_step(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &model,
                  const tessera_tensor *noise, const tessera_reverse_step &step,
                  const tessera_tensor &out) {
    const auto kernel = cpu.kernels().elementwise.reverse_step;
    const std::int64_t width = x.shape[1];
    const bool has_variance = model.shape[1] == 2 * width;
    const tessera_tensor *noise_or_x = noise != nullptr ? noise : &x;
    const auto body = [&](const auto &at, std::int64_t n) {
        const float *value = data_of(model) + at[1];
        kernel(data_of(x) + at[0], value, has_variance ? value + width : nullptr,
               data_of(*noise_or_x) + at[2], step, n, data_of(out) + at[3]);
    };
    for_each_row<4>(cpu, out, {&x, &model, noise_or_x, &out}, body);
}

} // namespace tessera::cpu
