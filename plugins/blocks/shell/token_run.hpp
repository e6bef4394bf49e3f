// One autoregressive run over the tokens of a few images, set by set: the network of the model,
// then its sampler, then the next set; after that, when asked, the sets that close the seam.
#pragma once

#include "blocks/codec/seam.hpp"
#include "blocks/sequence/run_plan.hpp"
#include "blocks/shell/given_tokens.hpp"
#include "blocks/shell/set_model.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace tessera::blocks {

class TokenRun final : public Run {
  public:
    // Allocates everything that the run needs. The grid is the spec's, or else the model's; more
    // steps than unknown tokens count as that many.
    TokenRun(const sdk::Compute &compute, const SetModel &model, RunSpec spec);

    void give(const sdk::View &tokens) override;

    // The steps of the plan, then those of the rounds that close the seam.
    [[nodiscard]] int step_count() const override {
        return plan_.size() + static_cast<int>(seam_steps_.size());
    }
    [[nodiscard]] int steps_done() const override { return step_; }
    [[nodiscard]] double next_flops() const override;
    bool run_unit() override;

    // What the run does before it closes the seam; with a deadline it may still change.
    [[nodiscard]] const RunPlan &plan() const { return plan_; }
    [[nodiscard]] std::string hurried() const override { return plan_.hurried(); }

    // Unknown tokens are 0. Tokens of a seam stay as they are until made again.
    [[nodiscard]] const sdk::View &tokens() const override { return tokens_; }
    [[nodiscard]] std::span<const std::uint8_t> cells(int image) const override;
    [[nodiscard]] sdk::View watched_chain() const override;

  private:
    enum class Phase { kNetwork, kSampler };

    // A step that closes the seam.
    struct SeamStep {
        int round; // of rounds_
        UnmaskStep tokens;
    };

    void draw_orders();
    void plan_rounds();
    [[nodiscard]] std::int64_t widest_set() const; // tokens of an image
    void allocate();
    void embed(const sdk::View &tokens, std::span<const std::int32_t> positions);
    [[nodiscard]] RunStep step_of(const RunPlan &plan, int k) const;
    void keep_deadline();
    [[nodiscard]] Work work_of(const RunPlan &plan, int first, int end) const;
    void start_step();
    void choose_tokens(const UnmaskStep &step);
    void list_noise();
    void start_round();
    void start_sampler();
    [[nodiscard]] sdk::View with_tails(const sdk::View &sampled);
    void finish_step();
    [[nodiscard]] std::int64_t images() const { return spec_.images(); }
    [[nodiscard]] const TokenGrid &grid() const { return spec_.grid; }

    sdk::Compute compute_;
    const SetModel &model_;
    RunSpec spec_;
    RunPlan plan_;
    RunPlan trial_; // scratch of keep_deadline
    std::vector<SeamRound> rounds_;
    std::vector<SeamStep> seam_steps_;
    int round_ = -1;                     // of rounds_, where step_ is; -1: before them
    std::vector<std::int32_t> places_;   // (images x S) where each token is seen in the round
    std::vector<std::int32_t> token_at_; // (S) its inverse
    sdk::Tensor tokens_;                 // (images, S, d)
    GivenTokens given_;
    std::unique_ptr<TokenSampler> sampler_;
    bool guided_ = false;
    std::unique_ptr<SetNetwork> network_;
    sdk::Tensor tails_;                // (images, numbers). Empty: tokens have none
    sdk::Tensor whole_;                // (most rows, d): sampled tokens with them
    std::vector<std::int32_t> image_;  // of each row
    mutable std::vector<float> chain_; // (denoising steps + 1, d) where tokens have tails

    std::vector<std::int32_t> known_;         // (images or twice, known): where tokens are seen
    std::vector<std::int32_t> wanted_;        // (images or twice, wanted)
    std::vector<std::int32_t> wanted_tokens_; // (images, wanted): which tokens of the picture
    std::vector<std::int32_t> noise_index_;   // (rows, 2): image stream, position
    sdk::View noise_index_view_{};
    StepNoise noise_;
    std::vector<std::uint8_t> cells_; // (images, S)

    Phase phase_ = Phase::kNetwork;
    int step_ = 0;
    int unit_ = 0; // of the network
    std::int64_t rows_ = 0;
};

} // namespace tessera::blocks
