// Reverse steps of heads that predict the clean token (x0) at any log-SNR, over a grid of levels
// that is even in it. With x = alpha x0 + sigma noise and l = 2 ln(alpha / sigma), alpha^2 =
// sigmoid(l): no alpha is divided by, so a chain may begin at pure noise.
#pragma once

#include "blocks/diffusion/sampler.hpp"

#include <vector>

namespace tessera::blocks {

// Log-SNR of the first and of the last evaluation.
struct LevelRange {
    double low = -16.0;
    double high = 8.0;
};

struct LevelStep {
    double level = 0.0; // of the evaluation
    // From the state and the evaluation's x0 to the next state; after the last one, x0 itself. It
    // reads `noise` where noise_scale is not 0, and the x0 before as `kept` where kept_scale is
    // not.
    tessera_reverse reverse{};
};

// `count` evaluations in running order. kAncestral is kDdim with an eta of 1: it draws from the
// posterior. Step noise is multiplied by the temperature.
[[nodiscard]] std::vector<LevelStep> level_steps(const LevelRange &range, int count,
                                                 Integrator integrator, double eta,
                                                 double temperature);

// What the first noise is multiplied by: the temperature acts on the noise of the steps or, where
// they add none, on this one.
[[nodiscard]] double first_noise_scale(Integrator integrator, double eta, double temperature);

} // namespace tessera::blocks
