// Reverse diffusion steps as coefficients of compute's one formula.
#include "blocks/diffusion/sampler.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::blocks {
namespace {

// a x + b eps as coefficients of x and what the model predicts at index i, since eps = sigma x +
// alpha v: summed in double, for a and b sigma nearly cancel at noisy times.
struct Coefficients {
    float x = 0.0f;
    float model = 0.0f;
};
Coefficients coefficients(const NoiseTables &tables, int i, Prediction prediction, double a,
                          double b) {
    if (prediction == Prediction::kVelocity) {
        a += b * tables.sqrt_one_minus_alphas_cumprod[i];
        b *= tables.sqrt_alphas_cumprod[i];
    }
    return {static_cast<float>(a), static_cast<float>(b)};
}

// Noise of a deviation that the model has no say in.
void add_noise(tessera_reverse_step &step, double deviation, double temperature) {
    if (deviation <= 0.0) return;
    step.logvar_base = static_cast<float>(2.0 * std::log(deviation));
    step.noise_scale = static_cast<float>(temperature);
}

} // namespace

tessera_reverse_step ancestral_step(const NoiseTables &tables, int i, double temperature,
                                    Prediction prediction) {
    // The posterior of the step, given the x0 that the model means (arXiv 2006.11239, equation 7):
    // x0 = a x - b eps; mean = c1 x0 + c2 x = (c1 a + c2) x - c1 b eps. Its logarithmic variance
    // lies between that of the posterior and log(beta), where the model puts it (arXiv 2102.09672,
    // equation 15): logvar = f log(beta) + (1 - f) posterior, f = (v + 1) / 2, linear in v.
    const double c1 = tables.posterior_mean_coef1[i];
    const double c2 = tables.posterior_mean_coef2[i];
    const double log_beta = std::log(tables.betas[i]);
    const double log_posterior = tables.posterior_log_variance_clipped[i];
    const Coefficients mean =
        coefficients(tables, i, prediction, c1 * tables.sqrt_recip_alphas_cumprod[i] + c2,
                     -c1 * tables.sqrt_recipm1_alphas_cumprod[i]);
    tessera_reverse_step step{};
    step.x_scale = mean.x;
    step.model_scale = mean.model;
    step.logvar_base = static_cast<float>(0.5 * (log_beta + log_posterior));
    step.logvar_slope = static_cast<float>(0.5 * (log_beta - log_posterior));
    step.noise_scale = i > 0 ? static_cast<float>(temperature) : 0.0f;
    return step;
}

std::vector<tessera_reverse_step> ancestral_steps(const NoiseTables &tables, double temperature,
                                                  Prediction prediction) {
    std::vector<tessera_reverse_step> steps;
    for (int i = tables.size() - 1; i >= 0; --i) {
        steps.push_back(ancestral_step(tables, i, temperature, prediction));
    }
    return steps;
}

tessera_reverse_step ddim_step(const NoiseTables &tables, int i, double eta, double temperature,
                               Prediction prediction) {
    // x' = alpha' x0 + sqrt(sigma'^2 - s^2) eps + s noise, x0 = (x - sigma eps) / alpha (arXiv
    // 2010.02502, equation 12); by x and eps: alpha' / alpha x + (sqrt(...) - alpha' sigma / alpha)
    // eps.
    const double now = tables.alphas_cumprod[i];
    const double next = tables.alphas_cumprod_prev[i];
    const double s = eta * std::sqrt((1.0 - next) / (1.0 - now)) * std::sqrt(1.0 - now / next);
    const double direction = std::sqrt(std::max(0.0, 1.0 - next - s * s));
    const Coefficients mean =
        coefficients(tables, i, prediction, std::sqrt(next / now),
                     direction - std::sqrt(next / now) * std::sqrt(1.0 - now));
    tessera_reverse_step step{};
    step.x_scale = mean.x;
    step.model_scale = mean.model;
    add_noise(step, s, temperature);
    return step;
}

ReverseSteps dpm2m_steps(const NoiseTables &tables, double eta, double temperature,
                         Prediction prediction) {
    // D = x0 + w (x0 - x0 of the step before), w = h / (2 h before), h the step in ln(alpha /
    // sigma); x' = sigma' / sigma exp(-eta h) x + alpha' (1 - exp(-(1 + eta) h)) D
    //      + sigma' sqrt(1 - exp(-2 eta h)) noise
    ReverseSteps result;
    double h_before = 0.0;
    for (int i = tables.size() - 1; i >= 0; --i) {
        const double alpha = tables.sqrt_alphas_cumprod[i];
        const double sigma = tables.sqrt_one_minus_alphas_cumprod[i];
        const bool last = i == 0; // to alpha' = 1, sigma' = 0: h has no end
        const double alpha_next = last ? 1.0 : tables.sqrt_alphas_cumprod[i - 1];
        const double sigma_next = last ? 0.0 : tables.sqrt_one_minus_alphas_cumprod[i - 1];
        const double h = last ? 0.0 : std::log(alpha_next / sigma_next) - std::log(alpha / sigma);
        const double w = last || h_before == 0.0 ? 0.0 : h / (2.0 * h_before);
        const double c = alpha_next * (last ? 1.0 : -std::expm1(-(1.0 + eta) * h));
        const double noise = sigma_next * std::sqrt(-std::expm1(-2.0 * eta * h));
        const Coefficients mean = coefficients(
            tables, i, prediction, sigma_next / sigma * std::exp(-eta * h) + c * (1.0 + w) / alpha,
            -c * (1.0 + w) * sigma / alpha);
        const Coefficients x0 = coefficients(tables, i, prediction, 1.0 / alpha, -sigma / alpha);
        tessera_reverse_step step{};
        step.x_scale = mean.x;
        step.model_scale = mean.model;
        add_noise(step, noise, temperature);
        result.steps.push_back(step);
        result.memory.push_back({static_cast<float>(-c * w), x0.x, x0.model});
        h_before = h;
    }
    return result;
}

ReverseSteps reverse_steps(Integrator integrator, const NoiseTables &tables, double eta,
                           double temperature, Prediction prediction, const CleanRange &range) {
    ReverseSteps result;
    if (integrator == Integrator::kDpm2m) {
        result = dpm2m_steps(tables, eta, temperature, prediction);
    } else if (integrator == Integrator::kAncestral) {
        result.steps = ancestral_steps(tables, temperature, prediction);
    } else {
        for (int i = tables.size() - 1; i >= 0; --i) {
            result.steps.push_back(ddim_step(tables, i, eta, temperature, prediction));
        }
    }
    for (int i = tables.size() - 1; range.is_on() && i >= 0; --i) {
        // x0 = (x - sigma eps) / alpha
        const Coefficients x0 =
            coefficients(tables, i, prediction, tables.sqrt_recip_alphas_cumprod[i],
                         -tables.sqrt_recipm1_alphas_cumprod[i]);
        result.clean.push_back(
            {x0.x, x0.model, static_cast<float>(range.low), static_cast<float>(range.high)});
    }
    return result;
}

} // namespace tessera::blocks
