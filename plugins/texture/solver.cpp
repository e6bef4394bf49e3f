// DPM-Solver++ with a noise level per level of the wavelet.
#include "texture/solver.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tessera::texture {

NoiseLevel noise_level(const TextureConfig &config, double time) {
    NoiseLevel level{};
    const double at = std::clamp(time, 1e-4, 1.0 - 1e-4);
    for (std::int64_t i = 0; i < kTokenNumbers; ++i) {
        const double shift =
            config.shifts[static_cast<std::size_t>(blocks::wavelet_place(i).level)];
        // alpha / sigma, whose squared logarithm is the log-SNR.
        const double ratio = shift / std::tan(std::numbers::pi / 2 * at);
        const auto n = static_cast<std::size_t>(i);
        level.alpha[n] = ratio / std::sqrt(1.0 + ratio * ratio);
        level.sigma[n] = 1.0 / std::sqrt(1.0 + ratio * ratio);
    }
    return level;
}

std::vector<double> run_times(const TextureConfig &config, int steps) {
    std::vector<double> times;
    for (int k = 0; k <= steps; ++k) {
        const double share = static_cast<double>(k) / steps;
        times.push_back(config.time_power == 0.0 ? std::clamp(1.0 - share, kCleanTime, kNoiseTime)
                                                 : std::lerp(kNoiseTime, kCleanTime,
                                                             std::pow(share, config.time_power)));
    }
    return times;
}

Solver::Solver(const TextureModel &model, const SolverSettings &settings,
               std::span<const double> times, std::int64_t tokens)
    : model_(model), settings_(settings), times_(times) {
    x_.resize(static_cast<std::size_t>(tokens * kTokenNumbers));
    clean_.resize(x_.size());
    before_.resize(x_.size());
}

// x' = sigma'/sigma e^(-eta h) x + alpha' (1 - e^(-(1 + eta) h)) D + sigma' sqrt(1 - e^(-2 eta h))
// z with h what ln(alpha / sigma) grows by and D the clean tokens, at second order as they would be
// in the middle of the step.
void Solver::plan(int level, int next) {
    const bool ancestral = settings_.integrator == blocks::Integrator::kAncestral;
    const double eta = ancestral ? 1.0 : settings_.eta;
    const bool second_order = settings_.integrator == blocks::Integrator::kDpm2m;
    const NoiseLevel from = noise_level(model_.config, times_[static_cast<std::size_t>(level)]);
    const NoiseLevel to = noise_level(model_.config, times_[static_cast<std::size_t>(next)]);
    for (std::size_t i = 0; i < step_.size(); ++i) {
        const double h =
            std::log(to.alpha[i] / to.sigma[i]) - std::log(from.alpha[i] / from.sigma[i]);
        step_[i].alpha = static_cast<float>(from.alpha[i]);
        step_[i].sigma = static_cast<float>(from.sigma[i]);
        step_[i].keep = static_cast<float>(to.sigma[i] / from.sigma[i] * std::exp(-eta * h));
        step_[i].take = static_cast<float>(-to.alpha[i] * std::expm1(-(1.0 + eta) * h));
        step_[i].look_back =
            last_[i] != 0.0 && second_order ? static_cast<float>(h / (2.0 * last_[i])) : 0.0F;
        step_[i].noise = static_cast<float>(settings_.temperature * to.sigma[i] *
                                            std::sqrt(-std::expm1(-2.0 * eta * h)));
        last_[i] = h;
    }
}

void Solver::start(std::span<const float> noise, std::span<const std::uint8_t> known,
                   std::span<const float> values) {
    known_ = known;
    values_ = values;
    last_ = {};
    const auto temperature = static_cast<float>(settings_.temperature);
    whole_ = std::none_of(known.begin(), known.end(), [](auto k) { return k != 0; });
    for (std::size_t i = 0; i < x_.size(); ++i) {
        const bool is_known = !whole_ && known[i / kTokenNumbers] != 0;
        x_[i] = is_known ? values[i] : noise[i] * temperature;
        clean_[i] = is_known ? values[i] : 0.0F;
    }
}

void Solver::predict(const Verdict &verdict) {
    const auto guidance = static_cast<float>(verdict.guidance);
    const bool guided = !verdict.free.empty();
    for (std::size_t token = 0; token < x_.size(); token += kTokenNumbers) {
        const float *x = x_.data() + token;
        const float *given = verdict.given.data() + token;
        const float *free = guided ? verdict.free.data() + token : nullptr;
        float *clean = clean_.data() + token;
        for (std::size_t i = 0; i < kTokenNumbers; ++i) {
            float v = given[i] + verdict.given_gain[i] * x[i];
            if (guided) {
                const float bare = free[i] + verdict.free_gain[i] * x[i];
                v = bare + guidance * (v - bare);
            }
            clean[i] = step_[i].alpha * x[i] - step_[i].sigma * v;
        }
    }
}

// Strong guidance stays in range: no group of a whole picture deviates by more than 1, no number is
// larger than any that was ever seen, and none is not a number.
void Solver::tame() {
    std::array<float, kTokenNumbers> scale{};
    scale.fill(1.0F);
    if (whole_) {
        const auto energy = blocks::group_energy(clean_);
        for (std::size_t i = 0; i < scale.size(); ++i) {
            const double of_group =
                energy[static_cast<std::size_t>(blocks::style_group(static_cast<std::int64_t>(i)))];
            if (of_group > 1.0) scale[i] = static_cast<float>(1.0 / std::sqrt(of_group));
        }
    }
    for (std::size_t token = 0; token < clean_.size(); token += kTokenNumbers) {
        for (std::size_t i = 0; i < kTokenNumbers; ++i) {
            const float value = clean_[token + i] * scale[i];
            const float limit = model_.limit[i];
            clean_[token + i] = value >= limit    ? limit
                                : value <= -limit ? -limit
                                : value == value  ? value
                                                  : 0.0F;
        }
    }
}

void Solver::advance(int level, int next, const Verdict &verdict, std::span<const float> noise) {
    plan(level, next);
    clean_.swap(before_);
    predict(verdict);
    tame();
    const auto &at = step_;
    const bool last = static_cast<std::size_t>(next) + 1 == times_.size();
    for (std::size_t token = 0; token < x_.size(); token += kTokenNumbers) {
        float *x = x_.data() + token;
        float *clean = clean_.data() + token;
        if (!whole_ && known_[token / kTokenNumbers] != 0) {
            std::copy_n(values_.data() + token, kTokenNumbers, clean);
            continue;
        }
        const float *before = before_.data() + token;
        for (std::size_t i = 0; i < kTokenNumbers; ++i) {
            const float direction = clean[i] + at[i].look_back * (clean[i] - before[i]);
            x[i] = last ? clean[i] : at[i].keep * x[i] + at[i].take * direction;
            if (!last && !noise.empty()) x[i] += at[i].noise * noise[token + i];
        }
    }
}

} // namespace tessera::texture
