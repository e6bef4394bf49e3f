// Reverse diffusion steps as coefficients of compute's one formula (`tessera_reverse_step`).
#pragma once

#include <tessera/compute.h>

#include "blocks/noise_schedule.hpp"

#include <vector>

namespace tessera::blocks {

// Ancestral step at index i with a learned variance (interpolation between the two posterior
// bounds). The model predicts noise; nothing is clipped; the last step (i = 0) adds no noise.
[[nodiscard]] tessera_reverse_step ancestral_step(const NoiseTables &tables, int i,
                                                  double temperature);

// All steps in running order: from the noisiest time down to 0.
[[nodiscard]] std::vector<tessera_reverse_step> ancestral_steps(const NoiseTables &tables,
                                                                double temperature);

} // namespace tessera::blocks
