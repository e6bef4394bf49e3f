// A picture's representation: every patch through the backbone at once, nothing is made.
#pragma once

#include "darl/backbone.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace tessera::darl {

// What stands for a whole picture: the mean of all patches, the last one, which has seen all, or
// the start token, which has something to say only where patches see all others.
enum class Pool { kMean, kLast, kStart };

struct EncodingSettings {
    bool causal = true; // as the model was trained; else all patches see all
    Pool pool = Pool::kMean;
};

class Encoding final : public blocks::Run {
  public:
    // After block `layer`, counted from 1; after the last one also through the norm.
    Encoding(const sdk::Compute &compute, const DarlModel &model, const blocks::RunSpec &spec,
             int layer, const EncodingSettings &settings);

    void give(const sdk::View &tokens) override;
    [[nodiscard]] int step_count() const override { return 1; }
    [[nodiscard]] int steps_done() const override { return is_encoded_ ? 1 : 0; }
    [[nodiscard]] double next_flops() const override { return backbone_.unit_flops(unit_); }
    bool run_unit() override;
    [[nodiscard]] const sdk::View &tokens() const override { return tokens_.view(); }
    [[nodiscard]] std::span<const std::uint8_t> cells(int) const override { return cells_; }
    [[nodiscard]] Features features() const override;

  private:
    void pool();

    sdk::Compute compute_;
    const DarlModel &model_;
    blocks::TokenGrid grid_;
    EncodingSettings settings_;
    Backbone backbone_;
    sdk::Tensor tokens_; // (1, S, D)
    std::vector<std::uint8_t> cells_;
    std::vector<std::int32_t> every_; // token
    std::vector<float> rows_;         // (S + 1, width), by sequence
    std::vector<float> dense_;        // (S, width), by place
    std::vector<float> pooled_;       // (width)
    int unit_ = 0;
    bool is_encoded_ = false;
};

} // namespace tessera::darl
