// The denoise chain of ext/draft/mlp_denoiser.h out of the operations of reference.hpp.
#include "reference.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::reference {

namespace {

Array apply(const DenoiseLinear &layer, const Array &x,
            tessera_activation_kind activation_kind = TESSERA_ACTIVATION_NONE) {
    LinearOptions options;
    options.bias = &layer.bias;
    options.activation = activation_kind;
    return linear(x, layer.weight, options).value;
}

// Columns [first, first + count).
Array columns(const Array &x, std::int64_t first, std::int64_t count) {
    Array result({x.rows(), count});
    for (std::int64_t row = 0; row < x.rows(); ++row)
        for (std::int64_t i = 0; i < count; ++i) result.at(row, i) = x.at(row, first + i);
    return result;
}

Array rows(const Array &x, std::int64_t first, std::int64_t count) {
    Array result({count, x.width()});
    for (std::int64_t i = 0; i < result.size(); ++i) result[i] = x[first * x.width() + i];
    return result;
}

Array rows_twice(const Array &x) {
    Array result({2 * x.rows(), x.width()});
    for (std::int64_t i = 0; i < result.size(); ++i) result[i] = x[i % x.size()];
    return result;
}

// Adds what the step before left to x, and leaves what this one has for the next.
void look_back(const tessera_mlp_denoiser_memory &memory, const Array &before, const Array &model,
               Array &kept, Array &x) {
    for (std::int64_t row = 0; row < x.rows(); ++row) {
        for (std::int64_t i = 0; i < x.width(); ++i) {
            x.at(row, i) += memory.kept_scale * kept.at(row, i);
            kept.at(row, i) =
                memory.keep_x * before.at(row, i) + memory.keep_model * model.at(row, i);
        }
    }
}

// Moves predictions to where the clean estimate lies in its range.
void bound(const tessera_mlp_denoiser_clean &clean, const Array &x, Array &model) {
    if (clean.low >= clean.high || clean.model_scale == 0.0F) return;
    for (std::int64_t row = 0; row < x.rows(); ++row) {
        for (std::int64_t i = 0; i < x.width(); ++i) {
            const double of_x = static_cast<double>(clean.x_scale) * x.at(row, i);
            const double scale = static_cast<double>(clean.model_scale);
            const double estimate = of_x + scale * model.at(row, i);
            const double bounded = std::clamp(estimate, static_cast<double>(clean.low),
                                              static_cast<double>(clean.high));
            if (bounded != estimate) model.at(row, i) = (bounded - of_x) / scale;
        }
    }
}

} // namespace

Array denoise(const DenoiseNetwork &network, const Array &x, const Array &time,
              const Array &condition) {
    const std::int64_t width = time.width();
    const Array y =
        activate(add(apply(network.condition, condition), time), TESSERA_ACTIVATION_SILU);
    Array h = apply(network.input, x);
    for (const DenoiseBlock &block : network.blocks) {
        const Array modulation = apply(block.ada, y);
        const Array normed =
            modulate(layer_norm(h, &block.gamma, &block.beta, network.epsilon),
                     columns(modulation, 0, width), columns(modulation, width, width));
        const Array update =
            apply(block.mlp_out, apply(block.mlp_in, normed, TESSERA_ACTIVATION_SILU));
        const Array gate = columns(modulation, 2 * width, width);
        for (std::int64_t i = 0; i < h.size(); ++i) h[i] += gate[i] * update[i];
    }
    const Array modulation = apply(network.final_ada, y);
    return apply(network.final,
                 modulate(layer_norm(h, nullptr, nullptr, network.epsilon),
                          columns(modulation, 0, width), columns(modulation, width, width)));
}

DenoiseResult denoise_chain(const DenoiseNetwork &network, const DenoiseSet &set, const Array &x) {
    const std::int64_t count = x.rows();
    DenoiseResult result{x, Array({count, 2 * x.width()})};
    Array kept({count, x.width()});
    for (size_t s = 0; s < set.steps.size(); ++s) {
        const auto step = static_cast<std::int64_t>(s);
        const Array time = rows(set.time, step, 1);
        const double guidance = set.step_guidance.empty() ? set.guidance : set.step_guidance[s];
        const bool plain = !set.step_guidance.empty() && guidance == 1.0;
        Array out;
        if (!set.guided || plain) {
            out = denoise(network, result.x, time, rows(set.condition, 0, count));
        } else {
            out = denoise(network, rows_twice(result.x), time, set.condition);
            out = guide(rows(out, 0, count), rows(out, count, count), guidance, x.width());
        }
        Array noise({count, x.width()});
        for (std::int64_t i = 0; i < noise.size(); ++i)
            noise[i] = set.noise[step * noise.size() + i];
        const Array before = result.x;
        if (!set.clean.empty()) bound(set.clean[s], before, out);
        result.x = reverse_step(before, out, &noise, set.steps[s]);
        if (!set.memory.empty()) look_back(set.memory[s], before, out, kept, result.x);
        result.model_out = out;
    }
    return result;
}

} // namespace tessera::reference
