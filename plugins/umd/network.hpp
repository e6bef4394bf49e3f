// One pass of UMD's autoencoder over a batch, cut into units small enough for a frame's budget:
// start it, run its units in order, read what it made.
#pragma once

#include "blocks/shell/run.hpp"
#include "umd/model.hpp"

#include <span>
#include <vector>

namespace tessera::umd {

class Network {
  public:
    // Room for `entries` (twice the images when guided).
    Network(const sdk::Compute &compute, const UmdModel &model, std::int64_t entries);
    Network(const Network &) = delete;
    Network &operator=(const Network &) = delete;

    // The class of an entry, or -1 for none, and what is mixed in. Without it: none.
    void set_class(std::int64_t entry, std::int64_t label, const blocks::ClassMix &mix);

    // `tokens` (batch, S, d), for at most as many entries as there is room for, are read by the
    // first units. `times` (batch): 0 is clean, a noise level t is t + 1. `visible` (batch x n)
    // says which tokens go in; empty: all. All are copied.
    void start(const sdk::View &tokens, std::span<const std::int32_t> times,
               std::span<const std::int32_t> visible);
    // The same without a decoder, up to block `layer` of the encoder, counted from 1; after the
    // last one comes the norm.
    void start_encoder(const sdk::View &tokens, std::span<const std::int32_t> times,
                       std::span<const std::int32_t> visible, std::int64_t layer);

    [[nodiscard]] int unit_count() const { return static_cast<int>(units_.size()); }
    [[nodiscard]] double unit_flops(int index) const {
        return units_[static_cast<std::size_t>(index)].flops;
    }
    void run_unit(int index);
    void run_all() {
        for (int i = 0; i < unit_count(); ++i) run_unit(i);
    }

    [[nodiscard]] sdk::View output() const { return of_batch(output_); } // (batch, S, 2 d): x0, eps
    [[nodiscard]] sdk::View pooled() const { return of_batch(pooled_); } // (batch, width)
    [[nodiscard]] sdk::View patches() const; // (batch, n, width), of the encoder
    [[nodiscard]] sdk::View condition() const { return of_batch(condition_); } // (batch, width)

    // The index of the unit after which a tower's block is complete, and its rows then, for tests.
    [[nodiscard]] int unit_after(bool decoder, std::int64_t block) const;
    [[nodiscard]] sdk::View rows(bool decoder) const; // (batch, rows, width)

  private:
    enum class Kind {
        kCondition,
        kEmbed,
        kModulate,
        kProject,
        kAttend,
        kFinish,
        kPool,
        kFill,
        kOut
    };
    // Rows [first, first + count) of entries [entry, entry + entries).
    struct Unit {
        Kind kind;
        bool decoder;
        std::int64_t block;
        std::int64_t entry, entries;
        std::int64_t first, count;
        double flops;
    };

    void plan_tower(bool decoder, std::int64_t depth);
    void plan_rows(Kind kind, bool decoder, std::int64_t block, double flops_per_row);
    void plan_whole(Kind kind, bool decoder, std::int64_t block, double flops);
    void make_condition();
    void embed();
    void modulate(const Unit &unit);
    void project(const Unit &unit);
    void attend(const Unit &unit);
    void finish(const Unit &unit);
    void pool();
    void fill();
    void make_output();

    [[nodiscard]] const Tower &tower(bool decoder) const {
        return decoder ? model_.decoder : model_.encoder;
    }
    [[nodiscard]] std::int64_t lead() const { return model_.config.adaptive ? 0 : 1; }
    // Of an entry, with the row of the condition where it has one.
    [[nodiscard]] std::int64_t row_count(bool decoder) const {
        return lead() + (decoder ? 1 + tokens_ : model_.config.class_rows + visible_);
    }
    [[nodiscard]] sdk::View part(const sdk::Tensor &tensor, const Unit &unit,
                                 std::int64_t width) const;
    [[nodiscard]] sdk::View all_rows(const sdk::Tensor &tensor, bool decoder,
                                     std::int64_t width) const;
    [[nodiscard]] blocks::Modulation modulation(const Unit &unit) const;
    [[nodiscard]] sdk::View of_batch(const sdk::Tensor &tensor) const {
        return sdk::slice(tensor.view(), 0, 0, batch_);
    }

    sdk::Compute compute_;
    const UmdModel &model_;
    std::int64_t batch_; // of the pass
    std::int64_t tokens_;
    std::int64_t visible_ = 0;
    std::int64_t layer_ = 0;
    bool decodes_ = true;
    sdk::View input_{};

    sdk::Tensor features_;        // (batch, width)
    sdk::Tensor trunk_;           // (batch, 2 width)
    sdk::Tensor label_condition_; // (batch, width); empty: the model knows no classes
    sdk::Tensor label_row_;       // (2, width): scratch of set_class
    sdk::Tensor condition_;       // (batch, width)
    sdk::Tensor modulation_;      // (entries, 6 width), of the block under way
    sdk::Tensor embedded_;        // (batch, S, width)
    sdk::Tensor encoder_x_;       // flat, as all that follow
    sdk::Tensor decoder_x_;
    sdk::Tensor normed_;
    sdk::Tensor qkv_;
    sdk::Tensor heads_;
    sdk::Tensor hidden_;
    sdk::Tensor pooled_;
    sdk::Tensor output_;

    std::vector<float> feature_rows_;
    std::vector<std::int32_t> times_;
    std::vector<std::int32_t> index_; // (batch x n)
    std::vector<Unit> units_;
};

} // namespace tessera::umd
