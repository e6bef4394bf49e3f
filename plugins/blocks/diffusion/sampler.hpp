// Reverse diffusion steps as coefficients of compute's one formula (`tessera_reverse_step`, and
// `tessera_mlp_denoiser_memory` for the solver that looks back).
#pragma once

#include <tessera/ext/draft/mlp_denoiser.h>

#include "blocks/diffusion/noise_schedule.hpp"

#include <utility>
#include <vector>

namespace tessera::blocks {

// What the first half of a model's output is.
enum class Prediction {
    kNoise,    // eps
    kVelocity, // v = alpha eps - sigma x0 (arXiv 2202.00512, appendix D)
};

// How x is taken from one kept time to the next.
enum class Integrator {
    kAncestral, // a draw from the learned reverse distribution
    kDdim,      // arXiv 2010.02502
    kDpm2m,     // DPM-Solver++(2M), arXiv 2211.01095
    kMean,      // no noise at all: what a linear head expects
};
inline constexpr std::pair<Integrator, const char *> kIntegratorNames[] = {
    {Integrator::kAncestral, "ancestral"},
    {Integrator::kDdim, "ddim"},
    {Integrator::kDpm2m, "dpm++2m"},
    {Integrator::kMean, "mean"}, // last: offered only where the model has such a head
};

// Where the clean token that a step estimates (x0) must lie; it is moved to the border when it lies
// beyond. Off where low < high does not hold, as in the published samplers.
struct CleanRange {
    double low = 0.0;
    double high = 0.0;

    [[nodiscard]] constexpr bool is_on() const { return low < high; }
};

// All steps of one chain in running order, from the noisiest time down to 0 and then to x0.
struct ReverseSteps {
    std::vector<tessera_reverse_step> steps;
    std::vector<tessera_mlp_denoiser_memory> memory; // empty: no step looks back
    std::vector<tessera_mlp_denoiser_clean> clean;   // empty: nothing is bounded
};

// Ancestral step at index i with a learned variance (interpolation between the two posterior
// bounds). The last step (i = 0) adds no noise.
[[nodiscard]] tessera_reverse_step ancestral_step(const NoiseTables &tables, int i,
                                                  double temperature,
                                                  Prediction prediction = Prediction::kNoise);
[[nodiscard]] std::vector<tessera_reverse_step>
ancestral_steps(const NoiseTables &tables, double temperature,
                Prediction prediction = Prediction::kNoise);

// DDIM at index i. eta 0 is deterministic; eta 1 draws from the DDPM posterior.
[[nodiscard]] tessera_reverse_step ddim_step(const NoiseTables &tables, int i, double eta,
                                             double temperature,
                                             Prediction prediction = Prediction::kNoise);

// Second order from the second step on; the last one, to x0 itself, is first order. eta 0 is
// deterministic, eta 1 solves the reverse diffusion equation, with its noise.
[[nodiscard]] ReverseSteps dpm2m_steps(const NoiseTables &tables, double eta, double temperature,
                                       Prediction prediction = Prediction::kNoise);

[[nodiscard]] ReverseSteps reverse_steps(Integrator integrator, const NoiseTables &tables,
                                         double eta, double temperature,
                                         Prediction prediction = Prediction::kNoise,
                                         const CleanRange &range = {});

// What the first noise is multiplied by. Ancestral sampling forgets it and has its temperature in
// the noise of the steps; the others carry it to the end.
[[nodiscard]] constexpr double initial_noise_scale(Integrator integrator, double temperature) {
    return integrator == Integrator::kAncestral ? 1.0 : temperature;
}

} // namespace tessera::blocks
