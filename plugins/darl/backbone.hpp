// The causal transformer of DARL for a batch, with its keys and values kept on the device: what was
// run once is never run again. A row is the start token or a patch; row t says what is known of the
// t-th patch of the sequence before it, from those that came earlier.
#pragma once

#include "darl/model.hpp"

#include <vector>

namespace tessera::darl {

// How heads turn at each row: (patches + 1, head width) for `rotary`. Row 0 is the start token at
// (0, 0); a patch stands one further than its column and row.
[[nodiscard]] sdk::Tensor rotary_table(const sdk::Compute &compute, const DarlConfig &config,
                                       const blocks::TokenGrid &grid);

class Backbone final : public blocks::SetNetwork {
  public:
    // Any grid will do. Keys, values and inputs of every row lie on the device: per entry
    // (2 depth + 2) (patches + 1) width numbers.
    Backbone(const sdk::Compute &compute, const DarlModel &model, const blocks::TokenGrid &grid,
             std::int64_t batch);
    Backbone(const Backbone &) = delete;
    Backbone &operator=(const Backbone &) = delete;

    // See blocks::SetNetwork. A label of -1 is "no class" where the model was trained with it.
    void set_class(std::int64_t entry, std::int64_t label, const blocks::ClassMix &mix) override;
    void embed(const sdk::View &tokens, std::span<const std::int32_t> positions,
               std::int64_t images, std::int64_t first_entry) override;
    // One wanted token, the same in all entries; those before it in the sequence are known.
    void start(std::span<const std::int32_t> known, std::span<const std::int32_t> wanted) override;
    [[nodiscard]] int unit_count() const override { return static_cast<int>(units_.size()); }
    [[nodiscard]] double unit_flops(int unit) const override { return units_[unit].flops; }
    void run_unit(int unit) override;
    [[nodiscard]] sdk::View conditions() const override; // (batch, 1, width)
    [[nodiscard]] double flops(std::int64_t known, std::int64_t wanted) const override;

    // (batch, S + 1, width) after set_class and embed.
    [[nodiscard]] const sdk::View &inputs() const { return inputs_.view(); }
    // After all units: what heads read of every row so far, (batch, rows, width).
    [[nodiscard]] sdk::View prefix() const;
    // Forgets keys and values, so that the next set runs every row again.
    void forget() { cached_ = 0; }

    // In the place of `start`: all rows, patches 1 to S after the start token, up to and including
    // block `layers`, and the norm after the last one. Without `causal` all rows see all.
    void start_encoding(bool causal, std::int64_t layers);
    [[nodiscard]] sdk::View encoded() const; // (batch, S + 1, width)

  private:
    // Blocks [first_block, end_block) on rows [first, first + count).
    struct Unit {
        std::int64_t first;
        std::int64_t count;
        std::int64_t first_block;
        std::int64_t end_block;
        double flops;
    };

    void plan(std::int64_t first, std::int64_t end, std::int64_t most_rows, std::int64_t blocks);
    void run_block(std::int64_t index, const Unit &unit);
    void finish_rows(const Unit &unit);
    [[nodiscard]] double block_flops(double rows) const;
    // Rows [first, first + count) of (batch, S + 1, width).
    [[nodiscard]] static sdk::View part(const sdk::Tensor &tensor, std::int64_t first,
                                        std::int64_t count) {
        return sdk::slice(tensor.view(), 1, first, count);
    }

    sdk::Compute compute_;
    const DarlModel &model_;
    blocks::TokenGrid grid_;
    std::int64_t batch_;
    std::int64_t rows_;             // S + 1
    sdk::Tensor turns_;             // (S + 1, head width): rotation of each row
    sdk::Tensor targets_;           // (S + 1, width): where the patch after each row lies; or empty
    sdk::Tensor inputs_;            // (batch, S + 1, width)
    sdk::Tensor said_;              // (batch, S + 1, width): what heads read, or what was encoded
    std::vector<sdk::Tensor> keys_; // of each block, (batch, S + 1, width), turned
    std::vector<sdk::Tensor> values_; // likewise
    sdk::Tensor condition_;           // (batch, 1, width)
    sdk::Tensor x_;                   // flat, as all that follow
    sdk::Tensor normed_;
    sdk::Tensor qkv_;
    sdk::Tensor heads_;
    sdk::Tensor hidden_;
    std::vector<std::int32_t> embed_index_; // scratch of embed
    std::vector<Unit> units_;
    std::int64_t cached_ = 0; // rows whose keys and values are there
    std::int64_t end_ = 0;    // rows after the units
    bool causal_ = true;
    bool encodes_ = false;
};

} // namespace tessera::darl
