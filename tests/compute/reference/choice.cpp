// Reverse steps by way of the clean estimate, softmax, and choices by logits in double precision.
#include "reference.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tessera::reference {

Array clean_step(const Array &x, const Array &model, const tessera_reverse &o,
                 const ReverseTensors &tensors) {
    const std::int64_t d = x.width();
    Array result(x.shape);
    if (tensors.clean != nullptr) *tensors.clean = Array(x.shape);
    for (std::int64_t row = 0; row < x.rows(); ++row) {
        for (std::int64_t i = 0; i < d; ++i) {
            const auto scaled = [&](float scale, std::int64_t which) {
                const double column =
                    tensors.columns != nullptr ? tensors.columns->at(which, i) : 1.0;
                return static_cast<double>(scale) * column;
            };
            const double second = model.width() == 2 * d ? model.at(row, d + i) : 0.0;
            double clean = scaled(o.clean_x, 0) * x.at(row, i) +
                           scaled(o.clean_model, 1) * model.at(row, i) +
                           scaled(o.clean_second, 2) * second;
            if (o.clean_low < o.clean_high) {
                clean = std::clamp(clean, static_cast<double>(o.clean_low),
                                   static_cast<double>(o.clean_high));
            }
            const Array &state = tensors.state != nullptr ? *tensors.state : x;
            double y =
                scaled(o.state_scale, 3) * state.at(row, i) + scaled(o.clean_scale, 4) * clean;
            if (o.kept_scale != 0.0F) y += scaled(o.kept_scale, 5) * tensors.kept->at(row, i);
            if (o.noise_scale != 0.0F) {
                const double logvar = static_cast<double>(o.logvar_base) +
                                      static_cast<double>(o.logvar_slope) * second;
                y += scaled(o.noise_scale, 6) * std::exp(logvar / 2) * tensors.noise->at(row, i);
            }
            result.at(row, i) = y;
            if (tensors.clean != nullptr) tensors.clean->at(row, i) = clean;
        }
    }
    return result;
}

Array softmax(const Array &x, double scale) {
    Array result(x.shape);
    for (std::int64_t row = 0; row < x.rows(); ++row) {
        double top = -INFINITY;
        for (std::int64_t i = 0; i < x.width(); ++i) top = std::max(top, x.at(row, i) * scale);
        if (top == -INFINITY) continue; // zeros
        double total = 0;
        for (std::int64_t i = 0; i < x.width(); ++i) {
            result.at(row, i) = std::exp(x.at(row, i) * scale - top);
            total += result.at(row, i);
        }
        for (std::int64_t i = 0; i < x.width(); ++i) result.at(row, i) /= total;
    }
    return result;
}

Indices argmax(const Array &x) {
    Indices result;
    for (std::int64_t row = 0; row < x.rows(); ++row) {
        std::int64_t best = 0;
        for (std::int64_t i = 0; i < x.width(); ++i)
            if (x.at(row, i) > x.at(row, best)) best = i;
        bool numbers = true;
        for (std::int64_t i = 0; i < x.width(); ++i) numbers = numbers && !std::isnan(x.at(row, i));
        result.push_back(static_cast<std::int32_t>(numbers ? best : -1));
    }
    return result;
}

namespace {

// Keeps the likeliest that reach `share` together; returns how near to that share the others came.
double keep_likeliest(std::vector<double> &weights, double share) {
    std::vector<double> sorted = weights;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    const double total = std::accumulate(sorted.begin(), sorted.end(), 0.0);
    double reached = 0;
    double margin = 1;
    double least = 0;
    for (const double weight : sorted) {
        if (reached >= share * total && weight < least) break;
        reached += weight;
        margin = std::min(margin, std::abs(reached / total - share));
        if (least == 0 || reached - weight < share * total) least = weight;
    }
    for (double &weight : weights)
        if (weight < least) weight = 0;
    return margin;
}

Choice pick(const std::vector<double> &weights, double u) {
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    double sum = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
        const double before = sum;
        sum += weights[i];
        if (sum <= u * total) continue;
        const double below = before == 0 ? 1.0 : u - before / total;
        return {static_cast<std::int32_t>(i), std::min(below, sum / total - u)};
    }
    return {-1, 0.0};
}

} // namespace

std::vector<Choice> choose(const Array &x, const tessera_choice &options, std::uint64_t seed,
                           std::uint32_t stream, std::uint32_t draw, const Indices &index) {
    std::vector<Choice> result;
    const Indices best = argmax(x);
    for (std::int64_t row = 0; row < x.rows(); ++row) {
        const std::int32_t top = best[static_cast<size_t>(row)];
        const double highest = top >= 0 ? x.at(row, top) : 0.0;
        if (options.temperature == 0.0F || top < 0 || !std::isfinite(highest)) {
            const bool none = options.temperature != 0.0F;
            result.push_back({none ? -1 : top, 1.0});
            continue;
        }
        std::vector<double> sorted;
        for (std::int64_t i = 0; i < x.width(); ++i) sorted.push_back(x.at(row, i));
        std::sort(sorted.begin(), sorted.end(), std::greater<>());
        const size_t kept =
            options.top_k == 0 ? sorted.size() : std::min<size_t>(options.top_k, sorted.size());
        std::vector<double> weights;
        for (std::int64_t i = 0; i < x.width(); ++i) {
            const double logit = x.at(row, i);
            weights.push_back(
                logit < sorted[kept - 1]
                    ? 0.0
                    : std::exp((logit - highest) / static_cast<double>(options.temperature)));
        }
        double margin = 1;
        if (options.top_p > 0 && options.top_p < 1)
            margin = keep_likeliest(weights, static_cast<double>(options.top_p));
        const auto words =
            philox({stream, static_cast<std::uint32_t>(index[static_cast<size_t>(2 * row)]),
                    static_cast<std::uint32_t>(index[static_cast<size_t>(2 * row + 1)]), draw},
                   {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32U)});
        const Choice chosen = pick(weights, (words[0] >> 8U) * 0x1p-24);
        result.push_back({chosen.at, std::min(chosen.margin, margin)});
    }
    return result;
}

} // namespace tessera::reference
