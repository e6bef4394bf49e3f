// A picture's representation by MAR: its encoder with every token known, and no class.
#pragma once

#include "mar/towers.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace tessera::mar {

class Encoding final : public blocks::Run {
  public:
    // After block `layer` of the encoder, counted from 1; after the last one also through the norm.
    Encoding(const sdk::Compute &compute, const MarModel &model, int layer);

    void give(const sdk::View &tokens) override;
    [[nodiscard]] int step_count() const override { return 1; }
    [[nodiscard]] int steps_done() const override { return unit_ == unit_count_ ? 1 : 0; }
    [[nodiscard]] double next_flops() const override { return towers_.unit_flops(unit_); }
    bool run_unit() override;
    [[nodiscard]] const sdk::View &tokens() const override { return tokens_.view(); }
    [[nodiscard]] std::span<const std::uint8_t> cells(int) const override { return cells_; }
    // The mean of all tokens, and each.
    [[nodiscard]] Features features() const override;

  private:
    void read();

    sdk::Compute compute_;
    const MarModel &model_;
    int layer_;
    Towers towers_;
    sdk::Tensor tokens_;              // (1, S, d)
    std::vector<std::int32_t> every_; // token
    std::vector<std::uint8_t> cells_;
    std::vector<float> dense_;  // (S, E)
    std::vector<float> pooled_; // (E)
    int unit_count_ = 0;
    int unit_ = 0;
};

} // namespace tessera::mar
