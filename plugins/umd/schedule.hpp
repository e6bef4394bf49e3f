// UMD's noise levels: discrete, variance preserving, and the evaluations of a run as coefficients
// of compute's `reverse_step`.
#pragma once

#include "blocks/diffusion/sampler.hpp"

#include <tessera/compute.h>

#include <cstdint>
#include <vector>

namespace tessera::umd {

enum class BetaSchedule { kCosine, kLinear };

// Which of the network's two answers says what the clean picture is.
enum class Head { kNoise, kClean, kBoth };
inline constexpr const char *kHeadNames[] = {"noise", "clean", "both"};

// abar of each time, x_t = sqrt(abar) x0 + sqrt(1 - abar) eps. Linear betas run from 1e-4 to 0.02
// at 1000 times, and in proportion at others.
[[nodiscard]] std::vector<double> alphas_cumprod(BetaSchedule schedule, int times);

// An evaluation of the network at `time`, and where its step leads; -1: the clean picture itself.
struct Evaluation {
    std::int32_t time = 0;
    std::int32_t next = -1;
};

// The published grid: from the last time in strides of floor(-times / steps), then 0; as many
// intervals as steps, those that the list lacks go from 0 to 0. One evaluation more at 0.
[[nodiscard]] std::vector<Evaluation> even_evaluations(int steps, int times);
// Even in log-SNR from 98 % of the times on, for solvers of second order; as many evaluations.
[[nodiscard]] std::vector<Evaluation> log_snr_evaluations(int steps,
                                                          const std::vector<double> &alphas);

struct StepSettings {
    blocks::Integrator integrator = blocks::Integrator::kDdim; // ancestral is ddim with eta 1
    double eta = 0.0;
    double temperature = 1.0; // of the noise of the steps
    Head head = Head::kNoise;
    blocks::CleanRange range; // of the clean picture
};

// The steps of a run, without tensors. The model's output is (rows, 2 d): x0, then eps. Where
// kept_scale is not 0 a step reads what the one before left in `clean`.
[[nodiscard]] std::vector<tessera_reverse> reverse_steps(const std::vector<double> &alphas,
                                                         const std::vector<Evaluation> &evaluations,
                                                         const StepSettings &settings);

} // namespace tessera::umd
