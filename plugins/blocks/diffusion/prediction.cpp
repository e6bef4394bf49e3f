// What a network that denoises says of its noisy input.
#include "blocks/diffusion/prediction.hpp"

namespace tessera::blocks {

Prediction read_prediction(const Config &config) {
    if (!config.has("prediction")) return Prediction::kNoise;
    const std::string name = config.text("prediction");
    if (name == "v") return Prediction::kVelocity;
    if (name != "epsilon") {
        config.reject("prediction", "is '" + name + "', expected 'epsilon' or 'v'");
    }
    return Prediction::kNoise;
}

} // namespace tessera::blocks
