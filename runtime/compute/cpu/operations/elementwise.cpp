// Element-by-element operations: fill, copy, scale_offset, add, activate, modulate.
#include "compute/cpu/ops.hpp"
#include "compute/cpu/rows.hpp"

#include <algorithm>
#include <cstring>

namespace tessera::cpu {

void fill(Cpu &cpu, float value, const tessera_tensor &out) {
    float *y = data_of(out);
    for_each_span<1>(cpu, out, {&out},
                     [&](const auto &at, std::int64_t n) { std::fill_n(y + at[0], n, value); });
}

void copy(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &out) {
    const float *from = data_of(x);
    float *to = data_of(out);
    const std::int64_t from_stride = x.rank == 0 ? 1 : x.stride[x.rank - 1];
    const std::int64_t to_stride = x.rank == 0 ? 1 : out.stride[x.rank - 1];
    const bool gapless = row_width(x) == 1 || (from_stride == 1 && to_stride == 1);
    for_each_span<2>(cpu, out, {&x, &out}, [&](const auto &at, std::int64_t n) {
        if (gapless) {
            std::memmove(to + at[1], from + at[0], static_cast<std::size_t>(n) * sizeof(float));
            return;
        }
        for (std::int64_t i = 0; i < n; ++i)
            to[at[1] + i * to_stride] = from[at[0] + i * from_stride];
    });
}

void scale_offset(Cpu &cpu, const tessera_tensor &x, float scale, float offset,
                  const tessera_tensor &out) {
    const auto kernel = cpu.kernels().elementwise.scale_offset;
    for_each_span<2>(cpu, out, {&x, &out}, [&](const auto &at, std::int64_t n) {
        kernel(data_of(x) + at[0], n, scale, offset, data_of(out) + at[1]);
    });
}

void add(Cpu &cpu, const tessera_tensor &a, const tessera_tensor &b, const tessera_tensor &out) {
    const auto kernel = cpu.kernels().elementwise.add;
    for_each_span<3>(cpu, out, {&a, &b, &out}, [&](const auto &at, std::int64_t n) {
        kernel(data_of(a) + at[0], data_of(b) + at[1], n, data_of(out) + at[2]);
    });
}

void activate(Cpu &cpu, const tessera_tensor &x, tessera_activation_kind kind,
              const tessera_tensor &out) {
    const auto kernel = cpu.kernels().elementwise.activate;
    for_each_span<2>(cpu, out, {&x, &out}, [&](const auto &at, std::int64_t n) {
        kernel(data_of(x) + at[0], n, kind, data_of(out) + at[1]);
    });
}

void modulate(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &shift,
              const tessera_tensor &scale, const tessera_tensor &out) {
    const auto kernel = cpu.kernels().elementwise.modulate;
    for_each_span<4>(cpu, out, {&x, &shift, &scale, &out}, [&](const auto &at, std::int64_t n) {
        kernel(data_of(x) + at[0], data_of(shift) + at[1], data_of(scale) + at[2], n,
               data_of(out) + at[3]);
    });
}

} // namespace tessera::cpu
