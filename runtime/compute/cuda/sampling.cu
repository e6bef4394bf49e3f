// Guidance and the reverse diffusion step.
#include "compute/cuda/sampling.cuh"

#include "compute/cuda/ops.hpp"
#include "compute/cuda/rows.cuh"

namespace tessera::cuda {
namespace {

struct Guide {
    const float *conditional;
    const float *unconditional;
    float scale;
    std::int64_t guided_width;
    float *out;
    __device__ void operator()(const std::int64_t *at, std::int64_t column) const {
        const float c = conditional[at[0] + column];
        out[at[2] + column] =
            column < guided_width ? guided(c, unconditional[at[1] + column], scale) : c;
    }
};

struct ReverseStep {
    const float *x;
    const float *model;
    std::int64_t variance_at; // from the value on; 0: there is none
    const float *noise;       // NULL: not read
    tessera_reverse_step step;
    float *out;
    __device__ void operator()(const std::int64_t *at, std::int64_t column) const {
        const float *value = model + at[1] + column;
        const float variance = variance_at != 0 ? value[variance_at] : 0.0F;
        const float drawn = noise != nullptr ? noise[at[2] + column] : 0.0F;
        out[at[3] + column] = reversed(x[at[0] + column], *value, variance, drawn, step);
    }
};

} // namespace

void guide(Cuda &cuda, const tessera_tensor &conditional, const tessera_tensor &unconditional,
           float scale, std::uint32_t guided_width, const tessera_tensor &out) {
    const Guide body{data_of(conditional), data_of(unconditional), scale,
                     static_cast<std::int64_t>(guided_width), data_of(out)};
    for_each_row_element<3>(cuda, "guide", out, {&conditional, &unconditional, &out}, body);
}

void reverse_step(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &model,
                  const tessera_tensor *noise, const tessera_reverse_step &step,
                  const tessera_tensor &out) {
    const std::int64_t width = x.shape[1];
    const bool reads_noise = noise != nullptr && step.noise_scale != 0.0F;
    const ReverseStep body{data_of(x),
                           data_of(model),
                           model.shape[1] == 2 * width ? width : 0,
                           reads_noise ? data_of(*noise) : nullptr,
                           step,
                           data_of(out)};
    for_each_row_element<4>(cuda, "reverse_step", out,
                            {&x, &model, noise != nullptr ? noise : &x, &out}, body);
}

} // namespace tessera::cuda
