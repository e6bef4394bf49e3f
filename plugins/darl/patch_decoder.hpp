// The denoising patch decoder of DARL (arXiv 2403.05196, section 3.3): one transformer block that
// reads what the backbone said of a patch and a noisy copy of it, and predicts the clean patch.
//
//   e = noisy_embed(x) + time(log-SNR);  rows [z ..., e] through the block, which e alone leaves;
//   clean patch = out(LN(e))
//
// Rows of z come out of the block unread, so only their keys and values are made, once a patch.
#pragma once

#include "blocks/model/transformer_block.hpp"
#include "blocks/model/weight_loader.hpp"

#include <span>
#include <string>

namespace tessera::darl {

inline constexpr double kLevelLimit = 16.0; // of log-SNR, which the network sees cut to +- this

class PatchDecoder {
  public:
    // Tensors `prefix`.{noisy_embed, block.*, norm, out}, and `prefix`.time.{fc1,fc2} where the
    // file holds them: without, the network is not told how noisy a patch is.
    [[nodiscard]] static PatchDecoder load(blocks::WeightLoader &loader, const std::string &prefix,
                                           const blocks::BlockShape &shape,
                                           std::int64_t patch_width, tessera_dtype precision);

    // What is added to a noisy patch at each of some log-SNR: (levels, width).
    [[nodiscard]] sdk::Tensor level_table(const sdk::Compute &compute,
                                          std::span<const float> levels) const;
    // The noisy rows e (n, width) of x (n, D) at levels (n, width) or (width).
    void embed(const sdk::Compute &compute, const sdk::View &x, const sdk::View &levels,
               const sdk::View &e) const;
    // Work of one evaluation of so many rows that see `keys` rows.
    [[nodiscard]] double flops(double rows, double keys) const;

    [[nodiscard]] std::int64_t width() const { return block_.shape().width; }
    [[nodiscard]] std::int64_t patch_width() const { return patch_width_; }
    [[nodiscard]] const blocks::TransformerBlock &block() const { return block_; }

  private:
    friend class PatchDecoderRun;
    std::int64_t patch_width_ = 0;
    blocks::Linear noisy_;    // (width, D)
    blocks::Linear time_in_;  // (width, 256); empty: levels are not told
    blocks::Linear time_out_; // (width, width)
    blocks::TransformerBlock block_;
    blocks::Norm norm_;
    blocks::Linear out_; // (D, width)
};

// Room for evaluations of `entries` patches, each of which sees up to `capacity` rows of z.
class PatchDecoderRun {
  public:
    PatchDecoderRun(const sdk::Compute &compute, const PatchDecoder &decoder, std::int64_t entries,
                    std::int64_t capacity);

    // Rows of z that the next evaluations see: `keep` the first so many, then add one for each
    // entry, z (n, width) with rows of any stride.
    void keep(std::int64_t rows) { seen_ = rows; }
    void see(const sdk::View &z);
    [[nodiscard]] std::int64_t seen() const { return seen_; }

    // Noisy patches x (m, D) at levels (m, width) or (width) -> clean ones (n, D), where n is m or,
    // for entries that share a patch, a multiple of it. All n entries have been given their z.
    void predict(const sdk::View &x, const sdk::View &levels, const sdk::View &out);

  private:
    // Keys and values, (n, width) each, of row `index` of the first n entries.
    [[nodiscard]] sdk::View cache_row(std::int64_t entries, std::int64_t index) const;
    [[nodiscard]] sdk::View cache_rows(std::int64_t entries, std::int64_t rows,
                                       std::int64_t column) const;

    sdk::Compute compute_;
    const PatchDecoder &decoder_;
    std::int64_t capacity_; // with the noisy row
    std::int64_t seen_ = 0;
    sdk::Tensor cache_; // (entries, capacity, 2 width): keys and values
    sdk::Tensor x_;     // flat (entries, width), as all that follow
    sdk::Tensor normed_;
    sdk::Tensor qkv_;
    sdk::Tensor heads_;
    sdk::Tensor hidden_;
};

} // namespace tessera::darl
