// Noise tables of discrete diffusion in float64: the cosine schedule, and its respacing to fewer
// steps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tessera::blocks {

inline constexpr int kTrainSteps = 1000;

// The tables of a (respaced) schedule; entry i belongs to the i-th kept time, in increasing order.
struct NoiseTables {
    std::vector<std::int32_t> timestep_map; // the original time, which the network sees
    std::vector<double> betas;
    std::vector<double> alphas_cumprod;
    std::vector<double> alphas_cumprod_prev;
    std::vector<double> sqrt_alphas_cumprod;
    std::vector<double> sqrt_one_minus_alphas_cumprod;
    std::vector<double> sqrt_recip_alphas_cumprod;
    std::vector<double> sqrt_recipm1_alphas_cumprod;
    std::vector<double> posterior_variance;
    std::vector<double> posterior_log_variance_clipped;
    std::vector<double> posterior_mean_coef1; // of x0
    std::vector<double> posterior_mean_coef2; // of x

    [[nodiscard]] int size() const { return static_cast<int>(timestep_map.size()); }
};

// beta_i = min(1 - abar((i + 1) / steps) / abar(i / steps), 0.999), abar(u) = cos^2 (arXiv
// 2102.09672).
[[nodiscard]] std::vector<double> cosine_betas(int steps = kTrainSteps);

// The kept times of "N" (evenly spaced, 0 and the last included), "a,b,c" (equal sections, each
// evenly spaced), "ddimN" (a whole stride) or "logsnrN" (evenly spaced in ln(alpha / sigma)), in
// increasing order. Throws Failure on anything else and on fewer than two kept times.
[[nodiscard]] std::vector<std::int32_t> respace(const std::string &spec,
                                                int train_steps = kTrainSteps);

// The same with `count` times, where that is fewer: numbers and log-SNR are spaced again; of a list
// or a stride some times are kept, evenly, with both ends, so that it still begins where it did.
[[nodiscard]] std::vector<std::int32_t> respace_to(const std::string &spec, int count,
                                                   int train_steps = kTrainSteps);

// The cosine schedule over increasing times, or over those that `spec` keeps.
[[nodiscard]] NoiseTables cosine_tables(std::vector<std::int32_t> times);
[[nodiscard]] NoiseTables cosine_tables(const std::string &spec);

} // namespace tessera::blocks
