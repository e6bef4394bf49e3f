// Guidance at nearly half the price: what the class changes in a condition moves little from set to
// set, so the unconditional half of the batch is worked out every few sets only, and in between the
// difference that it made last is added to the conditional half (the condition cache of LazyMAR,
// arXiv 2503.12450). Sets that work everything out are exact, the others are not.
#pragma once

#include "blocks/shell/set_model.hpp"

#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace tessera::blocks {

class GuidanceCache final : public SetNetwork {
  public:
    // `exact`: differences of its conditions are kept.
    using Make = std::function<std::unique_ptr<SetNetwork>(std::int64_t batch, bool exact)>;

    // For `images` images of `tokens` tokens in `sets` sets; `make` is called twice. The first sets
    // (5 of 64) and then every `refresh`th one work everything out, and so does the one after all
    // tokens were embedded again.
    GuidanceCache(const sdk::Compute &compute, const Make &make, std::int64_t images,
                  std::int64_t tokens, int sets, int refresh);

    // Whether set `index` (from 0) works everything out.
    [[nodiscard]] static bool is_whole(int index, int sets, int refresh);

    void set_class(std::int64_t entry, std::int64_t label, const ClassMix &mix) override;
    void give(const sdk::View &tokens) override {
        whole_->give(tokens);
        conditional_->give(tokens);
    }
    [[nodiscard]] sdk::View tails() const override { return whole_->tails(); }
    void finish(const sdk::View &tokens) override { whole_->finish(tokens); }
    void embed(const sdk::View &tokens, std::span<const std::int32_t> positions,
               std::int64_t images, std::int64_t first_entry) override;
    void start(std::span<const std::int32_t> known, std::span<const std::int32_t> wanted) override;
    [[nodiscard]] int unit_count() const override { return network().unit_count() + 1; }
    [[nodiscard]] double unit_flops(int unit) const override;
    void run_unit(int unit) override;
    [[nodiscard]] sdk::View conditions() const override; // (2 images, wanted, D)
    // Of a whole set.
    [[nodiscard]] double flops(std::int64_t known, std::int64_t wanted) const override {
        return whole_->flops(known, wanted);
    }

  private:
    [[nodiscard]] SetNetwork &network() const { return is_whole_ ? *whole_ : *conditional_; }
    void list_unknown(std::span<const std::int32_t> known, std::span<const std::int32_t> wanted);
    void keep_differences();
    void add_differences();
    // The first numbers of a flat buffer as (entries, rows, D).
    [[nodiscard]] sdk::View rows_of(const sdk::Tensor &flat, std::int64_t entries,
                                    std::int64_t rows) const;

    sdk::Compute compute_;
    std::int64_t images_, tokens_;
    int sets_, refresh_;
    std::unique_ptr<SetNetwork> whole_, conditional_; // of twice the images, and of the images
    std::int64_t width_ = 0;                          // D
    sdk::Tensor differences_; // (images, S, D): unconditional less conditional
    sdk::Tensor scratch_;     // flat, (images, S, D)
    sdk::Tensor conditions_;  // flat, (2 images, S, D)

    int next_ = 0;                      // set
    bool is_whole_ = true;              // the set under way
    bool all_moved_ = true;             // since the differences were worked out
    std::vector<std::int32_t> unknown_; // (2 images, unknown)
    std::vector<std::int32_t> wanted_;  // (images, wanted): positions
    std::vector<std::int32_t> rows_;    // (2 images, wanted): their places in unknown_
    std::vector<std::uint8_t> is_known_;
};

} // namespace tessera::blocks
