// The rows of a causal model for a batch, with their keys and values kept on the device: a set,
// which is one token an entry, computes the rows that came since the last one.
#pragma once

#include "mar/causal.hpp"

#include <span>
#include <vector>

namespace tessera::mar {

class CausalNetwork final : public blocks::SetNetwork {
  public:
    // Room for `batch` entries (twice the images when guided).
    CausalNetwork(const sdk::Compute &compute, const CausalModel &model, std::int64_t batch);
    CausalNetwork(const CausalNetwork &) = delete;
    CausalNetwork &operator=(const CausalNetwork &) = delete;

    // See blocks::SetNetwork. In raster order a token sees the known ones before it; in random
    // order it sees all, given ones first. Tokens that become known again make the rows begin
    // again.
    void set_class(std::int64_t entry, std::int64_t label, const blocks::ClassMix &mix) override;
    void embed(const sdk::View &tokens, std::span<const std::int32_t> positions,
               std::int64_t images, std::int64_t first_entry) override;
    // Throws Failure when a set is not one token an entry, or comes before one that it follows.
    void start(std::span<const std::int32_t> known, std::span<const std::int32_t> wanted) override;
    [[nodiscard]] int unit_count() const override { return static_cast<int>(units_.size()); }
    [[nodiscard]] double unit_flops(int unit) const override { return units_[unit].flops; }
    void run_unit(int unit) override;
    [[nodiscard]] sdk::View conditions() const override { return conditions_; } // (batch, 1, D)
    [[nodiscard]] double flops(std::int64_t known, std::int64_t wanted) const override;

    // After the first unit of a set: its rows (batch, n, D) as the blocks see them, for tests.
    [[nodiscard]] sdk::View rows() const;

  private:
    enum class Kind { kGather, kProject, kAttend, kFinish, kConditions };
    // `first` and `count` are rows of the batch, or entries for attention.
    struct Unit {
        Kind kind;
        std::size_t block;
        std::int64_t first;
        std::int64_t count;
        double flops;
    };

    void begin_again();
    void append(std::span<const std::int32_t> known, std::int32_t wanted, std::int64_t entry);
    void list_rows();
    void plan();
    void plan_parts(Kind kind, std::size_t block, std::int64_t all, double flops_each);
    void gather();
    void attend(const Unit &unit);
    void make_conditions();

    [[nodiscard]] std::int64_t width() const { return model_.config.tower.width; }
    [[nodiscard]] std::int64_t new_rows() const { return end_ - first_; } // of an entry
    [[nodiscard]] std::int64_t all_rows() const { return batch_ * new_rows(); }

    sdk::Compute compute_;
    const CausalModel &model_;
    std::int64_t batch_;
    // What rows are made of: (batch, 1 + S, D), the class, then the tokens (with their source).
    sdk::Tensor content_;
    std::vector<sdk::Tensor> cache_; // of each block, (batch, slots, 2 D): keys, then values
    sdk::Tensor x_;                  // flat, as all but the conditions
    sdk::Tensor normed_;
    sdk::Tensor qkv_;
    sdk::Tensor heads_;
    sdk::Tensor hidden_;
    sdk::Tensor conditions_; // (batch, 1, D)

    std::vector<std::vector<std::int32_t>> sequence_; // of each entry: which token a row predicts
    std::int64_t cached_ = 0;                         // slots [0, cached_) are in the cache
    std::int64_t first_ = 0;                          // slots [first_, end_) are those of the set
    std::int64_t end_ = 0;
    std::vector<std::uint8_t> is_known_;      // (S), scratch of append
    std::vector<std::int32_t> content_index_; // (batch, n)
    std::vector<std::int32_t> target_index_;  // (batch, n)
    std::vector<std::int32_t> wanted_;        // (batch)
    std::vector<std::int32_t> embed_index_;   // scratch of embed
    std::vector<Unit> units_;
};

} // namespace tessera::mar
