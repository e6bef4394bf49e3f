// A patch from what the backbone says of it: its mean, or a sample by the denoising decoder.
#pragma once

#include "blocks/diffusion/level_steps.hpp"
#include "darl/model.hpp"

#include <map>
#include <optional>
#include <vector>

namespace tessera::darl {

class PatchSampler final : public blocks::TokenSampler {
  public:
    // Throws Failure when the model lacks the head that the settings ask for.
    PatchSampler(const sdk::Compute &compute, const DarlModel &model, blocks::SamplerSpec spec);

    [[nodiscard]] bool is_guided() const override { return guided_; }
    [[nodiscard]] double work(int denoise_steps, double rows) const override;
    void begin(const blocks::TokenSet &set) override;
    [[nodiscard]] double next_flops() const override;
    bool run_unit() override;
    [[nodiscard]] sdk::View tokens() const override { return rows_of(x_, set_.rows); }
    [[nodiscard]] sdk::View watched_chain() const override;

  private:
    // A chain of so many evaluations.
    struct Chain {
        std::vector<blocks::LevelStep> steps;
        sdk::Tensor levels; // (steps, width)
    };
    [[nodiscard]] std::int64_t entries() const { return (guided_ ? 2 : 1) * set_.rows; }
    [[nodiscard]] std::int64_t patch_width() const { return model_.config.patch_width(); }
    [[nodiscard]] sdk::View rows_of(const sdk::Tensor &tensor, std::int64_t rows) const;
    [[nodiscard]] double flops_of_a_step() const;
    [[nodiscard]] int step_count() const; // of the next unit
    void allocate();
    void show_conditions();
    void first_noise();
    void make_mean();
    void denoise(int step);
    void guide(const sdk::View &made);
    void clamp();
    void watch();

    sdk::Compute compute_;
    const DarlModel &model_;
    blocks::SamplerSpec spec_;
    bool guided_;
    bool mean_; // no decoder runs
    std::map<int, Chain> chains_;
    std::optional<PatchDecoderRun> decoder_;
    sdk::Tensor x_;     // flat (rows, D), as all that follow
    sdk::Tensor made_;  // (2 rows, D): conditional, then unconditional
    sdk::Tensor clean_; // guided
    sdk::Tensor kept_;  // of the evaluation before
    sdk::Tensor noise_;
    blocks::TokenSet set_;
    const Chain *chain_ = nullptr; // of the set
    int step_ = 0;
    std::vector<float> trace_; // (most steps + 1, D) of the watched patch
    std::int64_t traced_ = 0;
};

} // namespace tessera::darl
