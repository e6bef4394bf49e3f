// One autoregressive run of MAR over the tokens of a few images, unit by unit: encoder and decoder,
// then the denoising chain of the tokens of the step, then the next step. It knows nothing of
// pixels.
#pragma once

#include "mar/model.hpp"
#include "mar/towers.hpp"

#include "blocks/codec/seam.hpp"
#include "blocks/diffusion/denoise_tables.hpp"
#include "blocks/model/token_head.hpp"
#include "blocks/sequence/deadline.hpp"
#include "blocks/sequence/run_plan.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace tessera::mar {

// Recorded noise of one autoregressive step on the device, for tests: (rows, d) and (T, rows, d).
struct StepNoise {
    sdk::View initial{};
    sdk::View steps{};
};

struct TokenRunSpec {
    std::vector<std::int64_t> labels; // one an image; -1: no class
    ClassMix mix;                     // of every image
    int steps = 1;                    // more than unknown tokens count as that many
    blocks::DiffusionSettings diffusion;
    std::uint64_t seed = 0;
    std::uint32_t first_image = 0;   // image i uses the random stream first_image + i
    std::vector<std::uint8_t> known; // (S) tokens that are given, the same in all images
    std::vector<std::vector<std::int32_t>> orders; // of the images; empty: drawn from the seed
    std::function<StepNoise(int step)> recorded;   // empty: drawn from the seed
    blocks::DenoiseChain::Path path = blocks::DenoiseChain::Path::kBest;
    blocks::Deadline *deadline = nullptr; // measured and kept; NULL: none
    std::uint32_t preview_every = 0;      // pictures that the deadline has to allow for
    std::int32_t watched = -1;            // token of the first image whose chain is kept; -1: none
    bool seamless = false;                // the rounds of blocks/seam.hpp follow
};

class TokenRun {
  public:
    // Allocates everything that the run needs.
    TokenRun(const sdk::Compute &compute, const MarModel &model, TokenRunSpec spec);

    // Given tokens from a whole set (1, S, d) on the device, before the first unit. Only those that
    // the spec calls known are read; no later unit writes to them.
    void give(const sdk::View &tokens);

    // The steps of the plan, then those of the rounds that close the seam.
    [[nodiscard]] int step_count() const {
        return plan_.size() + static_cast<int>(seam_steps_.size());
    }
    [[nodiscard]] int steps_done() const { return step_; }
    [[nodiscard]] bool is_done() const { return step_ == step_count(); }

    // The next unit: its work, and running it. True when it completed an autoregressive step.
    [[nodiscard]] double next_flops() const;
    bool run_unit();

    // What the run does before it closes the seam; with a deadline it may still change.
    [[nodiscard]] const blocks::RunPlan &plan() const { return plan_; }

    // (images, S, d); unknown tokens are 0. Tokens of a seam stay as they are until made anew.
    [[nodiscard]] const sdk::View &tokens() const { return tokens_; }
    // (reverse steps + 1, d) on the host: the watched token before the first reverse step of the
    // last completed step and after each one, with its guess where the model makes guesses. Without
    // data when that step did not make it. Filled when the device is synchronized; valid until the
    // next unit.
    [[nodiscard]] sdk::View watched_chain() const;
    // TESSERA_CELL_* of each token of an image, after the last completed step.
    [[nodiscard]] std::span<const std::uint8_t> cells(int image) const;

  private:
    enum class Phase { kTowers, kDenoise };

    // A step that closes the seam.
    struct SeamStep {
        int round; // of rounds_
        blocks::UnmaskStep tokens;
    };

    void plan_rounds();
    void allocate();
    [[nodiscard]] blocks::RunStep step_of(const blocks::RunPlan &plan, int k) const;
    void keep_deadline();
    [[nodiscard]] blocks::Work work_of(const blocks::RunPlan &plan, int first, int end) const;
    void start_step();
    void choose_tokens(const blocks::UnmaskStep &step);
    void start_round();
    void start_denoise();
    [[nodiscard]] int denoise_count() const; // reverse steps of the next unit
    void watch();
    [[nodiscard]] sdk::View step_tokens() const; // (rows, d), of x_
    void make_guesses(const sdk::View &conditions, double guidance);
    void finish_step();
    [[nodiscard]] std::int64_t images() const {
        return static_cast<std::int64_t>(spec_.labels.size());
    }

    sdk::Compute compute_;
    const MarModel &model_;
    TokenRunSpec spec_;
    blocks::RunPlan plan_;
    blocks::RunPlan trial_; // scratch of keep_deadline
    std::vector<blocks::SeamRound> rounds_;
    std::vector<SeamStep> seam_steps_;
    int round_ = -1;                     // of rounds_, where step_ is; -1: before them
    std::vector<std::int32_t> places_;   // (images x S) where each token is seen in the round
    std::vector<std::int32_t> token_at_; // (S) its inverse
    blocks::DenoiseTables tables_;
    bool guided_;
    sdk::Tensor tokens_;  // (images, S, d)
    sdk::Tensor x_;       // flat: tokens of the step (rows, d), or their differences to guesses
    sdk::Tensor guesses_; // flat: (rows, d), then of both halves. Empty: the model makes none
    sdk::Tensor seen_;    // (most reverse steps + 1, d): the watched token with its guess
    std::unique_ptr<Towers> towers_;
    std::unique_ptr<blocks::DenoiseChain> chain_;

    std::vector<std::int32_t> known_;         // (images or twice, known): where tokens are seen
    std::vector<std::int32_t> wanted_;        // (images or twice, wanted)
    std::vector<std::int32_t> wanted_tokens_; // (images, wanted): which tokens of the picture
    std::vector<std::int32_t> noise_index_;   // (rows, 2): image stream, position
    sdk::View noise_index_view_{};
    StepNoise noise_;
    std::vector<std::uint8_t> cells_; // (images, S)
    std::vector<float> trace_;        // (most reverse steps + 1, d) of the watched token
    std::int64_t traced_ = 0;         // rows of it that this step filled
    std::int64_t watched_row_ = -1;   // of x_ in this step; -1: not among them

    Phase phase_ = Phase::kTowers;
    int step_ = 0;
    int unit_ = 0;         // of the towers
    int reverse_step_ = 0; // of the chain
    int reverse_count_ = 0;
    std::int64_t rows_ = 0;
};

} // namespace tessera::mar
