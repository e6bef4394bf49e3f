// Tokens from conditions by a diffusion head, each sampled for itself; or, for models that guess
// the token from its condition, by adding to the guess the difference that the head samples.
#pragma once

#include "blocks/shell/set_model.hpp"

#include <memory>
#include <vector>

namespace tessera::blocks {

class DiffusionSampler final : public TokenSampler {
  public:
    // `guess`, a linear layer (d, D), or NULL. Both outlive this.
    DiffusionSampler(const sdk::Compute &compute, const TokenHead &head, const Linear *guess,
                     SamplerSpec spec);

    [[nodiscard]] bool is_guided() const override { return guided_; }
    [[nodiscard]] double work(int denoise_steps, double rows) const override {
        return tables_.work(denoise_steps, rows, head_.flops(1.0));
    }
    void begin(const TokenSet &set) override;
    [[nodiscard]] double next_flops() const override;
    bool run_unit() override;
    [[nodiscard]] sdk::View tokens() const override;
    [[nodiscard]] sdk::View watched_chain() const override;

  private:
    [[nodiscard]] std::int64_t width() const { return head_.shape().token_width; }
    [[nodiscard]] double flops_of_a_pass() const;
    [[nodiscard]] int step_count() const; // reverse steps of the next unit
    void make_guesses(const sdk::View &conditions, double guidance);
    void bound(const sdk::View &x);
    void watch();

    sdk::Compute compute_;
    const TokenHead &head_;
    const Linear *guess_;
    SamplerSpec spec_;
    DenoiseTables tables_;
    bool guided_;
    DenoiseChain chain_;
    sdk::Tensor x_;       // flat: tokens (rows, d), or their differences to guesses
    sdk::Tensor guesses_; // flat: (rows, d), then of both halves. Empty: the model makes none
    sdk::Tensor nothing_; // flat: zeros (rows, d) where tokens have a range
    sdk::Tensor seen_;    // (most reverse steps + 1, d): the watched token with its guess
    TokenSet set_;
    int step_ = 0; // of the chain
    int steps_ = 0;
    std::vector<float> trace_; // (most reverse steps + 1, d) of the watched token
    std::int64_t traced_ = 0;  // rows of it that this set filled
};

} // namespace tessera::blocks
