// Guidance and the reverse diffusion step.
#include "compute/cuda/kernels/sampling.cuh"

#include "compute/cuda/kernels/rows.cuh"
#include "compute/cuda/ops.hpp"

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

struct Reverse {
    const float *x, *model;
    std::int64_t second_at;            // from the prediction on; 0: there is none
    const float *state, *kept, *noise; // NULL: absent
    const float *columns;              // (7, d) or NULL
    std::int64_t columns_stride;
    tessera_reverse options;
    float *clean; // or NULL
    float *out;

    [[nodiscard]] __device__ float coefficient(float scale, int which, std::int64_t column) const {
        return columns != nullptr ? scale * columns[which * columns_stride + column] : scale;
    }
    __device__ void operator()(const std::int64_t *at, std::int64_t column) const {
        const tessera_reverse &o = options;
        const float *value = model + at[1] + column;
        const float second = second_at != 0 ? value[second_at] : 0.0F;
        float estimate = fmaf(coefficient(o.clean_model, 1, column), *value,
                              coefficient(o.clean_x, 0, column) * x[at[0] + column]);
        if (second_at != 0)
            estimate = fmaf(coefficient(o.clean_second, 2, column), second, estimate);
        if (o.clean_low < o.clean_high) { // not a number stays one
            if (estimate < o.clean_low) estimate = o.clean_low;
            if (estimate > o.clean_high) estimate = o.clean_high;
        }
        float y = fmaf(coefficient(o.clean_scale, 4, column), estimate,
                       coefficient(o.state_scale, 3, column) * state[at[2] + column]);
        if (kept != nullptr)
            y = fmaf(coefficient(o.kept_scale, 5, column), kept[at[3] + column], y);
        if (noise != nullptr) {
            float amount = coefficient(o.noise_scale, 6, column);
            if (o.logvar_base != 0.0F || o.logvar_slope != 0.0F)
                amount *= expf(0.5F * fmaf(o.logvar_slope, second, o.logvar_base));
            y = fmaf(amount, noise[at[4] + column], y);
        }
        if (clean != nullptr) clean[at[5] + column] = estimate;
        out[at[6] + column] = y;
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
                  const tessera_reverse &options, const tessera_tensor &out) {
    const std::int64_t width = x.shape[1];
    const bool reads_kept = options.kept != nullptr && options.kept_scale != 0.0F;
    const bool reads_noise = options.noise != nullptr && options.noise_scale != 0.0F;
    const tessera_tensor *state = options.state != nullptr ? options.state : &x;
    const tessera_tensor *clean = options.clean;
    const tessera_tensor *columns = options.columns;
    const Reverse body{.x = data_of(x),
                       .model = data_of(model),
                       .second_at = model.shape[1] == 2 * width ? width : 0,
                       .state = data_of(*state),
                       .kept = reads_kept ? data_of(*options.kept) : nullptr,
                       .noise = reads_noise ? data_of(*options.noise) : nullptr,
                       .columns = columns != nullptr ? data_of(*columns) : nullptr,
                       .columns_stride = columns != nullptr ? columns->stride[0] : 0,
                       .options = options,
                       .clean = clean != nullptr ? data_of(*clean) : nullptr,
                       .out = data_of(out)};
    for_each_row_element<7>(cuda, "reverse_step", out,
                            {&x, &model, state, reads_kept ? options.kept : &x,
                             reads_noise ? options.noise : &x, clean != nullptr ? clean : &out,
                             &out},
                            body);
}

} // namespace tessera::cuda
