// The denoise chain of ext/compute_denoise.h out of the operations of reference.hpp.
#include "reference.hpp"

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
    for (size_t s = 0; s < set.steps.size(); ++s) {
        const auto step = static_cast<std::int64_t>(s);
        const Array time = rows(set.time, step, 1);
        Array out =
            denoise(network, set.guided ? rows_twice(result.x) : result.x, time, set.condition);
        if (set.guided)
            out = guide(rows(out, 0, count), rows(out, count, count), set.guidance, x.width());
        Array noise({count, x.width()});
        for (std::int64_t i = 0; i < noise.size(); ++i)
            noise[i] = set.noise[step * noise.size() + i];
        result.x = reverse_step(result.x, out, &noise, set.steps[s]);
        result.model_out = out;
    }
    return result;
}

} // namespace tessera::reference
