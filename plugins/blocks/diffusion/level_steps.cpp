// Reverse steps over even log-SNR.
#include "blocks/diffusion/level_steps.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::blocks {
namespace {

struct Level {
    explicit Level(double l)
        : log_snr(l), alpha(std::sqrt(1.0 / (1.0 + std::exp(-l)))),
          sigma(std::sqrt(1.0 / (1.0 + std::exp(l)))) {}
    double log_snr;
    double alpha;
    double sigma;
};

double eta_of(Integrator integrator, double eta) {
    return integrator == Integrator::kAncestral ? 1.0 : eta;
}

// x' = alpha' x0 + sqrt(sigma'^2 - s^2) e + s noise, e = (x - alpha x0) / sigma
void ddim(const Level &now, const Level &next, double eta, double temperature,
          tessera_reverse &out) {
    const double ratio = now.alpha / next.alpha;
    const double s = eta * next.sigma / now.sigma * std::sqrt(std::max(0.0, 1.0 - ratio * ratio));
    const double direction = std::sqrt(std::max(0.0, next.sigma * next.sigma - s * s)) / now.sigma;
    out.state_scale = static_cast<float>(direction);
    out.clean_scale = static_cast<float>(next.alpha - direction * now.alpha);
    out.noise_scale = static_cast<float>(temperature * s);
}

// DPM-Solver++(2M), arXiv 2211.01095: see dpm2m_steps.
void dpm2m(const Level &now, const Level &next, double step_before, double eta, double temperature,
           tessera_reverse &out) {
    const double h = 0.5 * (next.log_snr - now.log_snr);
    const double w = step_before == 0.0 ? 0.0 : h / (2.0 * step_before);
    const double c = next.alpha * -std::expm1(-(1.0 + eta) * h);
    out.state_scale = static_cast<float>(next.sigma / now.sigma * std::exp(-eta * h));
    out.clean_scale = static_cast<float>(c * (1.0 + w));
    out.kept_scale = static_cast<float>(-c * w);
    out.noise_scale =
        static_cast<float>(temperature * next.sigma * std::sqrt(-std::expm1(-2.0 * eta * h)));
}

} // namespace

std::vector<LevelStep> level_steps(const LevelRange &range, int count, Integrator integrator,
                                   double eta, double temperature) {
    const double stride = count > 1 ? (range.high - range.low) / (count - 1) : 0.0;
    std::vector<LevelStep> steps(static_cast<std::size_t>(count));
    for (int j = 0; j < count; ++j) {
        LevelStep &step = steps[static_cast<std::size_t>(j)];
        step.level = range.low + stride * j;
        step.reverse.clean_model = 1.0f;
        step.reverse.clean_scale = 1.0f;
        if (j + 1 == count) continue;
        const Level now(step.level), next(range.low + stride * (j + 1));
        if (integrator == Integrator::kDpm2m) {
            dpm2m(now, next, j > 0 ? 0.5 * stride : 0.0, eta, temperature, step.reverse);
        } else {
            ddim(now, next, eta_of(integrator, eta), temperature, step.reverse);
        }
    }
    return steps;
}

double first_noise_scale(Integrator integrator, double eta, double temperature) {
    return eta_of(integrator, eta) == 0.0 ? temperature : 1.0;
}

} // namespace tessera::blocks
