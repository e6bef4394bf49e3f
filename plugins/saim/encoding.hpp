// A picture's representation by SAIM: the encoder alone and without any mask, as a plain vision
// transformer. The norm after its last block is that of the decoder's stream, as published.
#pragma once

#include "blocks/model/row_parts.hpp"
#include "saim/model.hpp"

#include <vector>

namespace tessera::saim {

// What one vector for a picture is: its class row after the norm, or the mean of its patches
// before.
enum class Pool { kClass, kMean };

class Encoding final : public blocks::Run {
  public:
    // `layer` is that of the shell, from 1; the norm follows the last one.
    Encoding(const sdk::Compute &compute, const SaimModel &model, std::int64_t images, int layer,
             Pool pool);

    void give(const sdk::View &tokens) override; // one picture, or all
    [[nodiscard]] int step_count() const override { return 1; }
    [[nodiscard]] int steps_done() const override { return unit_ == units_.size() ? 1 : 0; }
    [[nodiscard]] double next_flops() const override { return units_[unit_].part.flops; }
    bool run_unit() override;
    [[nodiscard]] const sdk::View &tokens() const override { return tokens_.view(); }
    [[nodiscard]] std::span<const std::uint8_t> cells(int) const override { return cells_; }
    [[nodiscard]] Features features() const override;

    // For tests: rows (images, 1 + S, width) as they are now, and the last ones before the norm.
    [[nodiscard]] sdk::View rows() const { return x_; }
    [[nodiscard]] sdk::View mean() const { return mean_; } // (images, width)

  private:
    enum class Kind { kEmbed, kProject, kAttend, kFinish, kEnd };
    struct Unit {
        Kind kind;
        std::int64_t block;
        blocks::RowPart part;
    };
    void embed();
    void end();
    [[nodiscard]] sdk::View part(const sdk::Tensor &tensor, const blocks::RowPart &part) const;
    [[nodiscard]] sdk::View entries(const sdk::Tensor &tensor, const blocks::RowPart &part) const;

    sdk::Compute compute_;
    const SaimModel &model_;
    std::int64_t images_;
    std::int64_t layer_;
    Pool pool_;
    sdk::Tensor tokens_; // (images, S, d)
    sdk::Tensor x_;      // (images, 1 + S, width), as all that follow but for their width
    sdk::Tensor normed_, qkv_, heads_, hidden_;
    sdk::Tensor zero_;  // (images, 1, width)
    sdk::Tensor mean_;  // (images, width)
    sdk::Tensor dense_; // (S, width) of the first image
    std::vector<std::uint8_t> cells_;
    std::vector<Unit> units_;
    std::size_t unit_ = 0;
};

} // namespace tessera::saim
