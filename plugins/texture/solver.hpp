// From noise to tokens: DPM-Solver++ (arXiv 2211.01095) on v-prediction, of first or second order,
// with or without noise on the way, and with noise levels of their own for every level of the
// wavelet, coarse ones first. Arithmetic on the host, between the passes of the trunk.
#pragma once

#include "blocks/diffusion/sampler.hpp"
#include "blocks/texture/trunk.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace tessera::texture {

// How much of token and of noise each number holds at a time from 0 (clean) to 1 (noise).
struct NoiseLevel {
    std::array<double, kTokenNumbers> alpha;
    std::array<double, kTokenNumbers> sigma;
};
[[nodiscard]] NoiseLevel noise_level(const TextureConfig &config, double time);

// The times of a run, from noise on: steps + 1 of them; a pass is made at all but the last.
[[nodiscard]] std::vector<double> run_times(const TextureConfig &config, int steps);

struct SolverSettings {
    blocks::Integrator integrator = blocks::Integrator::kDpm2m; // ddim is first order
    double eta = 0.0;         // noise of the steps; ancestral ones have all of it, 1
    double temperature = 1.0; // of the first noise and of that of the steps

    [[nodiscard]] bool has_noise() const {
        return temperature > 0.0 && (integrator == blocks::Integrator::kAncestral || eta > 0.0);
    }
};

// What the trunk said of one picture: v without gain times input, with and without condition.
struct Verdict {
    std::span<const float> given;      // (tokens, 96)
    std::span<const float> given_gain; // (96)
    std::span<const float> free;       // empty: not guided
    std::span<const float> free_gain;
    double guidance = 1.0;
};

// One picture on its way: passes at some of the times of `run_times`, in order. Known tokens are
// what they were given as at every moment.
class Solver {
  public:
    // `times` outlive it.
    Solver(const TextureModel &model, const SolverSettings &settings, std::span<const double> times,
           std::int64_t tokens);

    // Starts from `noise` (tokens, 96). `known` (tokens; empty: none) tokens are those of `values`
    // (tokens, 96); both stay as they are until the last step.
    void start(std::span<const float> noise, std::span<const std::uint8_t> known,
               std::span<const float> values);

    // (tokens, 96): what goes into the next pass; after the last one the result.
    [[nodiscard]] std::span<const float> tokens() const { return x_; }
    // What the last pass takes the clean tokens to be.
    [[nodiscard]] std::span<const float> clean() const { return clean_; }

    // From time number `level`, where the last pass was, to that of the next one; after the last
    // pass `next` is the last time. `noise` (tokens, 96) where the settings have some.
    void advance(int level, int next, const Verdict &verdict, std::span<const float> noise = {});

  private:
    struct Coefficients { // of one number of a token
        float alpha, sigma;
        float keep, take; // of x and of the direction
        float look_back;  // of what changed since the step before
        float noise;
    };
    void plan(int level, int next);
    void predict(const Verdict &verdict);
    void tame();

    const TextureModel &model_;
    SolverSettings settings_;
    std::span<const double> times_;
    std::array<Coefficients, kTokenNumbers> step_{};
    std::array<double, kTokenNumbers> last_{}; // h of the step before; 0: there is none
    bool whole_ = true;                        // nothing is known
    std::span<const std::uint8_t> known_;
    std::span<const float> values_;
    std::vector<float> x_;
    std::vector<float> clean_;
    std::vector<float> before_; // clean_ of the step before
};

} // namespace tessera::texture
