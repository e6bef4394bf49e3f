// Sets in which only some rows are computed (the token cache of LazyMAR, arXiv 2503.12450): between
// sets that compute all, the encoder computes the buffer and the tokens that became known last, and
// the later blocks of the decoder the rows whose values moved most. The others keep their keys and
// values. Not exact.
#pragma once

#include "mar/model.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace tessera::mar {

class TokenCache {
  public:
    struct Settings {
        int refresh = 1;    // sets from one that computes all rows to the next
        double share = 0.0; // of its rows, that a tower computes at least
    };
    TokenCache(const sdk::Compute &compute, const MarModel &model, std::int64_t batch,
               const Settings &settings);

    // Whether a set that knows so many of the tokens computes all rows at any rate.
    [[nodiscard]] static bool is_early(std::int64_t known, std::int64_t tokens);
    // The first block of the decoder that may leave rows out; the block before it shows which.
    [[nodiscard]] std::int64_t first_block() const { return first_block_; }

    // Something that all rows see is another now.
    void forget() { is_filled_ = false; }
    // See blocks::SetNetwork::embed: a token that was seen before may be another now.
    void embedded(std::span<const std::int32_t> positions, std::int64_t images,
                  std::int64_t first_entry);
    // See blocks::SetNetwork::start. The rows of the encoder are known then, and how many those of
    // the decoder are.
    void start(std::span<const std::int32_t> known, std::span<const std::int32_t> wanted);
    // Whether the set leaves rows out.
    [[nodiscard]] bool is_lazy() const { return is_lazy_; }
    [[nodiscard]] std::int64_t encoder_rows() const { return encoder_rows_; } // of an entry
    [[nodiscard]] std::int64_t decoder_rows() const { return decoder_rows_; }
    // (batch, rows): K + position, ascending. The decoder's hold after `choose`.
    [[nodiscard]] sdk::View encoder_index() const { return index(encoder_index_, encoder_rows_); }
    [[nodiscard]] sdk::View decoder_index() const { return index(decoder_index_, decoder_rows_); }
    // (batch, wanted): places of the wanted tokens in the decoder's rows.
    [[nodiscard]] sdk::View wanted_index() const { return index(wanted_places_, wanted_each_); }

    // Keys and values (count, rows, 2 width) that entries [first, first + count) computed.
    void keep_encoder(std::int64_t block, const sdk::View &key_value, std::int64_t first);
    void keep_decoder(std::int64_t block, const sdk::View &key_value, std::int64_t first);
    // Those of all known rows of these entries, for a set that leaves rows out.
    [[nodiscard]] sdk::View encoder_keys(std::int64_t block, std::int64_t first,
                                         std::int64_t count) const;
    [[nodiscard]] sdk::View decoder_keys(std::int64_t block, std::int64_t first,
                                         std::int64_t count) const;
    // What the encoder made (batch, rows, E), in place of which all known rows stand afterwards:
    // `known` (batch, K + known, E).
    void keep_encoded(const sdk::View &made, const sdk::View &known);

    // Values (batch, K + S, D) of the block before first_block(). Chooses the decoder's rows of a
    // set that leaves some out, and waits for the device for it.
    void choose(const sdk::View &values);

  private:
    [[nodiscard]] sdk::View index(const std::vector<std::int32_t> &rows, std::int64_t each) const {
        return sdk::host_view(rows.data(), {batch_, each});
    }
    [[nodiscard]] bool begins_again(std::span<const std::int32_t> known) const;
    void reveal(std::span<const std::int32_t> known);
    void list_encoder_rows();
    void count_decoder_rows();
    void choose_rows(std::int64_t entry);
    [[nodiscard]] double similarity(std::int64_t row) const;

    sdk::Compute compute_;
    const MarModel &model_;
    std::int64_t batch_, buffer_, tokens_;
    Settings settings_;
    std::int64_t first_block_;

    std::vector<sdk::Tensor> encoder_; // of each block, (batch, K + S, 2 E): keys, then values
    std::vector<sdk::Tensor> decoder_; // of each block from first_block_ on, (batch, K + S, 2 D)
    sdk::Tensor encoded_;              // (batch, K + S, E)
    sdk::Tensor seen_;                 // flat, (batch, K + S, 2 E): of known rows, without gaps
    sdk::Tensor values_;               // (batch, K + S, D): of this set
    sdk::Tensor reference_; // the same, of the set in which the later blocks computed the row last
    sdk::Tensor moved_;     // flat, (batch, K + S, D)
    std::vector<float> host_values_, host_reference_;

    bool is_filled_ = false;
    bool is_lazy_ = false;
    int lazy_sets_ = 0; // since all rows were computed
    std::int64_t known_each_ = 0, new_each_ = 0, wanted_each_ = 0;
    std::int64_t encoder_rows_ = 0, decoder_rows_ = 0;
    std::vector<std::vector<std::int32_t>> revealed_; // of each entry, in their order
    std::vector<std::uint8_t> is_seen_;               // (batch, S)
    std::vector<std::int32_t> known_index_;           // (batch, K + known)
    std::vector<std::int32_t> encoder_index_;
    std::vector<std::int32_t> decoder_index_;
    std::vector<std::int32_t> wanted_; // (batch, wanted): positions
    std::vector<std::int32_t> wanted_places_;
    std::vector<double> similarity_;  // (K + S), scratch of choose_rows
    std::vector<std::int32_t> order_; // the same
};

} // namespace tessera::mar
