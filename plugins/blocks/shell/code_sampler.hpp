// Tokens from conditions by choosing among the entries of a codebook: logits, guidance on them, and
// one draw by a counter for each token. What was chosen stays on the device.
#pragma once

#include "blocks/shell/set_model.hpp"

namespace tessera::blocks {

class CodeSampler final : public TokenSampler {
  public:
    // `logits` is a linear layer (codes, D), `codebook` (codes, d). Both outlive this.
    CodeSampler(const sdk::Compute &compute, const Linear &logits, const sdk::Tensor &codebook,
                SamplerSpec spec);

    [[nodiscard]] bool is_guided() const override { return guided_; }
    [[nodiscard]] double work(int denoise_steps, double rows) const override;
    void begin(const TokenSet &set) override;
    [[nodiscard]] double next_flops() const override;
    bool run_unit() override;
    [[nodiscard]] sdk::View tokens() const override;

  private:
    [[nodiscard]] double flops_of_a_row() const;
    [[nodiscard]] std::int64_t next_rows() const; // tokens of the next unit

    sdk::Compute compute_;
    const Linear &logits_layer_;
    const sdk::Tensor &codebook_;
    SamplerSpec spec_;
    bool guided_;
    std::int64_t unit_rows_; // most tokens of a unit
    sdk::Tensor logits_;     // (unit rows, codes); guided: conditional, unconditional, guided
    sdk::Tensor chosen_;     // (most rows) I32
    sdk::Tensor tokens_;     // (most rows, d)
    TokenSet set_;
    std::int64_t done_ = 0;
};

} // namespace tessera::blocks
