// SAIM's two streams over a batch, cut into units small enough for a frame's budget.
//
// What is known of a token never depends on later ones, so the keys and values that it gives, to
// the encoder and to the decoder, are made once and kept: a set costs its new tokens and its
// questions. The cache holds 2 width numbers for each of 1 + S rows, `depth + query_depth` times an
// entry; it lies on the device. With it or without, predictions are the same.
#pragma once

#include "blocks/model/row_parts.hpp"
#include "saim/model.hpp"

#include <span>
#include <vector>

namespace tessera::saim {

class Network final : public blocks::SetNetwork {
  public:
    // Room for `batch` entries (twice the images when guided). Tokens are seen in the orders of the
    // spec, image by image; those of its end come first.
    Network(const sdk::Compute &compute, const SaimModel &model, const blocks::RunSpec &spec,
            std::int64_t batch);
    Network(const Network &) = delete;
    Network &operator=(const Network &) = delete;

    // See blocks::SetNetwork. Conditions are LN(g), before any head.
    void set_class(std::int64_t entry, std::int64_t label, const blocks::ClassMix &mix) override;
    void embed(const sdk::View &tokens, std::span<const std::int32_t> positions,
               std::int64_t images, std::int64_t first_entry) override;
    void start(std::span<const std::int32_t> known, std::span<const std::int32_t> wanted) override;
    [[nodiscard]] double flops(std::int64_t known, std::int64_t wanted) const override;
    [[nodiscard]] int unit_count() const override { return static_cast<int>(units_.size()); }
    [[nodiscard]] double unit_flops(int unit) const override {
        return units_[static_cast<std::size_t>(unit)].part.flops;
    }
    void run_unit(int unit) override;
    [[nodiscard]] sdk::View conditions() const override;

    // Ranks (S) of an entry's tokens in the place of its order, before the first set: equal ones
    // see each other.
    void set_ranks(std::int64_t entry, std::span<const std::int32_t> ranks);

  private:
    enum class Kind {
        kGather,
        kProject,
        kAttend,
        kFinish,
        kDecoderKeys,
        kAsk,
        kQuery,
        kLook,
        kEnd,
        kNorm
    };
    struct Unit {
        Kind kind;
        std::int64_t block;
        blocks::RowPart part;
    };

    void plan();
    void plan_rows(Kind kind, std::int64_t block, std::int64_t rows, double flops_per_row);
    void gather();
    void ask();
    void project(const Unit &unit);
    void attend(const Unit &unit);
    void make_decoder_keys(const Unit &unit);
    void query(const Unit &unit);
    void look(const Unit &unit);
    void finish(const blocks::TransformerBlock &block, const Unit &unit, std::int64_t rows,
                const sdk::Tensor &x);

    // New rows of an entry: the class row's too, in the first set.
    [[nodiscard]] std::int64_t fresh_rows() const { return fresh_ + (cached_ == 0 ? 1 : 0); }
    [[nodiscard]] std::int64_t cached_rows() const { return cached_ + fresh_rows(); }
    [[nodiscard]] sdk::View part(const sdk::Tensor &tensor, const blocks::RowPart &part,
                                 std::int64_t rows, std::int64_t width) const;
    [[nodiscard]] sdk::View entries(const sdk::Tensor &tensor, const blocks::RowPart &part,
                                    std::int64_t rows, std::int64_t width) const;
    void keep(const sdk::View &keys, const sdk::Tensor &cache, const blocks::RowPart &part) const;

    sdk::Compute compute_;
    const SaimModel &model_;
    std::int64_t batch_;
    std::int64_t tokens_;
    std::int64_t cached_ = 0; // rows of the cache before this set; with the class row
    std::int64_t fresh_ = 0;  // tokens that this set adds
    std::int64_t wanted_ = 0;

    sdk::Tensor store_;                // (batch, S, d): tokens that are or will be known
    sdk::Tensor class_rows_;           // (batch, width)
    std::vector<sdk::Tensor> caches_;  // (batch, 1 + S, 2 width) a block of the encoder
    std::vector<sdk::Tensor> answers_; // likewise of the decoder
    sdk::Tensor x_;                    // flat, as all that follow: new rows
    sdk::Tensor g_;                    // questions
    sdk::Tensor normed_;
    sdk::Tensor qkv_;
    sdk::Tensor heads_;
    sdk::Tensor hidden_;
    sdk::Tensor picked_; // tokens of the new rows
    sdk::Tensor z_;

    std::vector<std::int32_t> ranks_;        // (batch x S)
    std::vector<std::uint8_t> is_cached_;    // (batch x S)
    std::vector<std::int32_t> cached_ranks_; // (batch x (1 + S)) of the cache's rows
    std::vector<std::int32_t> fresh_index_;  // (batch x fresh)
    std::vector<std::int32_t> fresh_place_;  // (batch x fresh): rows of the position table
    std::vector<std::int32_t> wanted_place_; // (batch x wanted)
    std::vector<std::int32_t> query_ranks_;  // (batch x new rows)
    std::vector<std::int32_t> key_ranks_;    // (batch x rows of the cache)
    std::vector<Unit> units_;
};

} // namespace tessera::saim
