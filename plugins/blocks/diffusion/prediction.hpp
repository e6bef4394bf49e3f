// What a network that denoises says of its noisy input, as a model's file has it.
#pragma once

#include "blocks/diffusion/sampler.hpp"
#include "blocks/model/config.hpp"

namespace tessera::blocks {

// The value `prediction`: "epsilon" or "v"; without it, epsilon. Throws Failure.
[[nodiscard]] Prediction read_prediction(const Config &config);

} // namespace tessera::blocks
