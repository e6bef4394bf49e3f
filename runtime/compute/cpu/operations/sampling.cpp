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
                  const tessera_reverse &options, const tessera_tensor &out) {
    const auto kernel = cpu.kernels().elementwise.clean_step;
    const std::int64_t width = x.shape[1];
    const bool has_second = model.shape[1] == 2 * width;
    const bool reads_kept = options.kept != nullptr && options.kept_scale != 0.0F;
    const bool reads_noise = options.noise != nullptr && options.noise_scale != 0.0F;
    const tessera_tensor &state = options.state != nullptr ? *options.state : x;
    const tessera_tensor &kept = reads_kept ? *options.kept : x;
    const tessera_tensor &noise = reads_noise ? *options.noise : x;
    const tessera_tensor &clean = options.clean != nullptr ? *options.clean : out;
    const tessera_tensor *columns = options.columns;
    const auto body = [&](const auto &at, std::int64_t n) {
        const float *value = data_of(model) + at[1];
        kernel({.x = data_of(x) + at[0],
                .model = value,
                .second = has_second ? value + width : nullptr,
                .state = data_of(state) + at[2],
                .kept = reads_kept ? data_of(kept) + at[3] : nullptr,
                .noise = reads_noise ? data_of(noise) + at[4] : nullptr,
                .columns = columns != nullptr ? data_of(*columns) : nullptr,
                .columns_stride = columns != nullptr ? columns->stride[0] : 0,
                .options = &options,
                .n = n,
                .clean = options.clean != nullptr ? data_of(clean) + at[5] : nullptr,
                .out = data_of(out) + at[6]});
    };
    for_each_row<7>(cpu, out, {&x, &model, &state, &kept, &noise, &clean, &out}, body);
}

} // namespace tessera::cpu
