// Whole sampling runs, as several tests make and compare them.
#pragma once

#include "test_model.hpp"

#include "blocks/shell/token_run.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::blocks {

inline std::vector<float> finish(const TestDevice &device, TokenRun &run) {
    while (!run.is_done()) run.run_unit();
    return to_host(device.compute, run.tokens());
}

inline std::vector<float> sample(const TestDevice &device, const mar::MarModel &model,
                                 const RunSpec &spec) {
    TokenRun run(device.compute, model, spec);
    return finish(device, run);
}

// The fused chain against base operations.
inline void expect_paths_agree(const TestDevice &device, const mar::MarModel &model, RunSpec best) {
    best.steps = 1; // one chain for all tokens: later steps would amplify rounding
    RunSpec base = best;
    base.path = DenoiseChain::Path::kBaseOperations;
    const std::vector<float> fused = sample(device, model, best);
    const std::vector<float> plain = sample(device, model, base);
    double largest = 0.0, difference = 0.0;
    for (std::size_t i = 0; i < fused.size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(plain[i])));
        difference = std::max(difference, std::abs(static_cast<double>(fused[i]) - plain[i]));
    }
    EXPECT_GT(largest, 0.0);
    EXPECT_LT(difference, 2e-3 * largest) << "guidance " << best.diffusion.guidance;
}

} // namespace tessera::blocks
