// A picture's representation: what the trunk makes of its tokens, all known and without noise, told
// neither class nor style; and next to each token the picture's style, standardised, for most of
// what tells materials apart was taken out of the tokens with it.
#pragma once

#include "blocks/shell/run.hpp"
#include "blocks/texture/trunk.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace tessera::texture {

class Encoding final : public blocks::Run {
  public:
    // After layer `layer` of the trunk, counted from 1.
    Encoding(const sdk::Compute &compute, const TextureModel &model, const blocks::TokenGrid &grid,
             int layer);

    void give(const sdk::View &tokens) override;
    [[nodiscard]] int step_count() const override { return 1; }
    [[nodiscard]] int steps_done() const override { return is_encoded_ ? 1 : 0; }
    [[nodiscard]] double next_flops() const override { return trunk_.flops(unit_); }
    bool run_unit() override;
    [[nodiscard]] const sdk::View &tokens() const override { return tokens_.view(); }
    [[nodiscard]] std::span<const std::uint8_t> cells(int) const override { return cells_; }
    // The mean of all tokens, and each: (width of the trunk + that of a style).
    [[nodiscard]] Features features() const override;

  private:
    [[nodiscard]] std::int64_t width() const { return model_.config.width + blocks::kStyleNumbers; }
    void read();

    sdk::Compute compute_;
    const TextureModel &model_;
    Grid grid_;
    Trunk trunk_;
    sdk::Tensor tokens_; // (1, S, 195)
    std::vector<std::uint8_t> cells_;
    std::vector<float> given_; // (S, 195)
    std::vector<float> input_; // (S, 97)
    std::vector<float> rows_;  // (S, width of the trunk)
    std::vector<float> dense_; // (S, width())
    std::vector<float> pooled_;
    int unit_count_ = 0;
    int unit_ = 0;
    bool is_encoded_ = false;
};

} // namespace tessera::texture
