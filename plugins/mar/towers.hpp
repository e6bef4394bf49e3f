// The encoder and decoder of MAR for a batch, cut into units small enough for a frame's budget.
// A pass: start it with what is known and what is wanted, run its units in order, read
// `conditions`.
#pragma once

#include "mar/local_mix.hpp"
#include "mar/model.hpp"
#include "mar/token_cache.hpp"

#include <memory>
#include <span>
#include <vector>

namespace tessera::mar {

class Towers final : public blocks::SetNetwork {
  public:
    // Room for `batch` entries (twice the images when guided), all tokens known or wanted.
    // `cache`: how sets leave rows out; by itself none does, nor with a decoder of one block.
    Towers(const sdk::Compute &compute, const MarModel &model, std::int64_t batch,
           const TokenCache::Settings &cache = {});
    Towers(const Towers &) = delete;
    Towers &operator=(const Towers &) = delete;

    // See blocks::SetNetwork. Fills the buffer rows of the entry.
    void set_class(std::int64_t entry, std::int64_t label, const blocks::ClassMix &mix) override;
    void embed(const sdk::View &tokens, std::span<const std::int32_t> positions,
               std::int64_t images, std::int64_t first_entry) override;
    void start(std::span<const std::int32_t> known, std::span<const std::int32_t> wanted) override;
    [[nodiscard]] double flops(std::int64_t known, std::int64_t wanted) const override;
    [[nodiscard]] int unit_count() const override { return static_cast<int>(units_.size()); }
    [[nodiscard]] double unit_flops(int index) const override { return units_[index].flops; }
    void run_unit(int index) override;
    [[nodiscard]] sdk::View conditions() const override; // (batch, wanted, D)

    // The first units, up to encoder block `layer` from 1 and, after the last one, the norm; and
    // what is there then: (batch, K + known, E).
    [[nodiscard]] int unit_count_to(int layer) const;
    [[nodiscard]] sdk::View rows_after(int layer) const;

    // The first units are the encoder's.
    [[nodiscard]] int encoder_unit_count() const { return encoder_units_; }
    // After the encoder's units: (batch, K + known, E). Tests may overwrite it.
    [[nodiscard]] sdk::View encoded() const;
    // (batch, K + S, E) after embed and set_class: rows of positions that were never set are
    // undefined.
    [[nodiscard]] const sdk::View &embedded() const { return embedded_; }

  private:
    enum class Kind {
        kEncoderGather,
        kEncoderProject,
        kEncoderAttend,
        kEncoderFinish,
        kEncoderKeep,
        kLocalMix,
        kDecoderEmbed,
        kFirstProject,
        kDecoderSpread,
        kDecoderProject,
        kDecoderAttend,
        kDecoderFinish,
        kDecoderKeep,
        kLastProject,
        kLastQuery,
        kLastAttend,
        kLastFinish,
        kConditions,
    };
    // `first` and `count` are rows, or entries for attention.
    struct Unit {
        Kind kind;
        std::int64_t block;
        std::int64_t first;
        std::int64_t count;
        double flops;
    };

    void plan();
    void plan_rows(Kind kind, std::int64_t block, std::int64_t rows, double flops_per_row);
    void plan_entries(Kind kind, std::int64_t block, double flops_per_entry);
    void plan_encoder();
    void plan_decoder();

    void run_encoder_unit(const Unit &unit);
    void run_decoder_unit(const Unit &unit);
    void run_last_unit(const Unit &unit);
    void gather_known();
    void embed_known();
    void spread_known();
    void first_project(const Unit &unit);
    void attend_encoder(const Unit &unit);
    void attend_decoder(const Unit &unit);
    void attend(const blocks::TransformerBlock &block, std::int64_t rows,
                const sdk::View &key_value, const Unit &unit);
    [[nodiscard]] sdk::View own_keys(std::int64_t rows, std::int64_t width, const Unit &unit) const;
    [[nodiscard]] sdk::View decoder_keys(const sdk::View &own, const Unit &unit);
    void keep_rows();
    void last_query();
    void last_attend(const Unit &unit);
    void make_conditions();

    // Buffer `tensor` as (rows, width).
    [[nodiscard]] sdk::View rows_of(const sdk::Tensor &tensor, std::int64_t rows,
                                    std::int64_t width) const;
    [[nodiscard]] std::int64_t encoder_rows() const { return batch_ * (buffer_ + known_count_); }
    // Those that the encoder computes in this set.
    [[nodiscard]] std::int64_t new_rows() const {
        return is_lazy() ? batch_ * cache_->encoder_rows() : encoder_rows();
    }
    // What a block of the decoder runs on: the rows that the set computes, and their first norm.
    struct DecoderRows {
        std::int64_t count;
        const sdk::Tensor &x, &normed;
    };
    [[nodiscard]] DecoderRows rows_of_block(std::int64_t block) const;
    [[nodiscard]] bool is_lazy() const { return cache_ != nullptr && cache_->is_lazy(); }
    [[nodiscard]] bool is_cached(std::int64_t decoder_block) const {
        return cache_ != nullptr && decoder_block >= cache_->first_block();
    }
    [[nodiscard]] std::int64_t decoder_rows() const { return batch_ * (buffer_ + tokens_); }
    [[nodiscard]] std::int64_t wanted_rows() const { return batch_ * wanted_count_; }
    // Rows of known tokens behind the rows of mask tokens: of decoder_x before the first block, and
    // (where they are made before those are spread) of its queries, keys and values.
    [[nodiscard]] sdk::View known_x(std::int64_t count) const;
    [[nodiscard]] sdk::View known_qkv() const;
    // In the first block, rows that are not known are the same at all times.
    [[nodiscard]] bool knows_first() const {
        return local_ == nullptr && model_.decoder.size() > 1;
    }

    sdk::Compute compute_;
    const MarModel &model_;
    std::int64_t batch_;
    std::int64_t buffer_;
    std::int64_t tokens_;
    double unit_flops_of_device_;
    std::int64_t known_count_ = 0;
    std::int64_t wanted_count_ = 0;

    sdk::Tensor embedded_;  // (batch, K + S, E): z_proj_ln of every row that is or was known
    sdk::Tensor encoder_x_; // flat, as all that follow
    sdk::Tensor encoded_;
    sdk::Tensor decoder_x_;
    sdk::Tensor wanted_x_;  // rows to predict in the last block
    sdk::Tensor first_x_;   // decoder rows: of mask tokens (K + S), then of known ones
    sdk::Tensor first_qkv_; // the same, of the first block's attention; empty unless knows_first
    sdk::Tensor offsets_;   // positions of known rows
    sdk::Tensor conditions_;
    sdk::Tensor normed_; // the rows that a block begins with, with its first norm; scratch in it
    sdk::Tensor qkv_;
    sdk::Tensor heads_;
    sdk::Tensor hidden_;
    std::unique_ptr<LocalMix> local_;   // NULL: the model has none
    std::unique_ptr<TokenCache> cache_; // NULL: every set computes all rows
    sdk::Tensor kept_x_, kept_normed_;  // of the decoder, where a set leaves rows out

    std::vector<std::int32_t> row_index_;       // (batch x (K + known)): kept rows
    std::vector<std::int32_t> first_index_;     // (batch x (K + S)): rows of first_x_
    std::vector<std::int32_t> wanted_index_;    // (batch x wanted): rows K + position
    std::vector<std::int32_t> wanted_position_; // (batch x wanted)
    std::vector<std::int32_t> known_position_;  // (batch x known)
    std::vector<std::int32_t> embed_index_;     // scratch of embed
    std::vector<Unit> units_;
    int encoder_units_ = 0;
};

} // namespace tessera::mar
