// Reverse diffusion steps as coefficients of compute's one formula.
#include "blocks/sampler.hpp"

#include <cmath>

namespace tessera::blocks {

tessera_reverse_step ancestral_step(const NoiseTables &tables, int i, double temperature) {
    // x0 = a x - b eps; mean = c1 x0 + c2 x; logvar = f log(beta) + (1 - f) bound, f = (v + 1) / 2
    const double c1 = tables.posterior_mean_coef1[i];
    const double c2 = tables.posterior_mean_coef2[i];
    const double log_beta = std::log(tables.betas[i]);
    const double log_posterior = tables.posterior_log_variance_clipped[i];
    tessera_reverse_step step{};
    step.x_scale = static_cast<float>(c1 * tables.sqrt_recip_alphas_cumprod[i] + c2);
    step.model_scale = static_cast<float>(-c1 * tables.sqrt_recipm1_alphas_cumprod[i]);
    step.logvar_base = static_cast<float>(0.5 * (log_beta + log_posterior));
    step.logvar_slope = static_cast<float>(0.5 * (log_beta - log_posterior));
    step.noise_scale = i > 0 ? static_cast<float>(temperature) : 0.0f;
    return step;
}

std::vector<tessera_reverse_step> ancestral_steps(const NoiseTables &tables, double temperature) {
    std::vector<tessera_reverse_step> steps;
    for (int i = tables.size() - 1; i >= 0; --i) {
        steps.push_back(ancestral_step(tables, i, temperature));
    }
    return steps;
}

} // namespace tessera::blocks
