// Which rows of a set are computed, and what the others keep.
#include "mar/token_cache.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace tessera::mar {
namespace {

// Before this share of the tokens is known there is little to keep: every row is computed.
constexpr double kFirstShare = 0.118;

// Share of the decoder's rows when this share of the tokens is known: LazyMAR's for 64 steps, which
// has them by the step.
double decoder_share(double known) {
    if (known < kFirstShare) return 1.0;
    if (known < 0.17) return 0.55;
    if (known < 0.245) return 0.4;
    if (known < 0.33) return 0.15;
    return known < 0.425 ? 0.12 : 0.05;
}

constexpr std::int64_t kMoreRows = 15; // than those that have to be computed

sdk::View entries(const sdk::Tensor &tensor, std::int64_t first, std::int64_t count) {
    return sdk::slice(tensor.view(), 0, first, count);
}

sdk::View first_rows(const sdk::Tensor &flat, std::int64_t batch, std::int64_t rows,
                     std::int64_t width) {
    const std::int64_t shape[] = {batch, rows, width};
    return sdk::make_view(flat.view().data, TESSERA_DTYPE_F32, shape, flat.view().memory);
}

} // namespace

TokenCache::TokenCache(const sdk::Compute &compute, const MarModel &model, std::int64_t batch,
                       const Settings &settings)
    : compute_(compute), model_(model), batch_(batch), buffer_(model.config.buffer_rows),
      tokens_(model.config.tokens()), settings_(settings),
      first_block_(std::max<std::int64_t>(1, model.config.decoder.depth / 3)) {
    const std::int64_t rows = model.config.rows();
    const std::int64_t encoder = model.config.encoder.width;
    const std::int64_t decoder = model.config.decoder.width;
    for (std::int64_t i = 0; i < model.config.encoder.depth; ++i)
        encoder_.push_back(compute_.allocate({batch, rows, 2 * encoder}));
    for (std::int64_t i = first_block_; i < model.config.decoder.depth; ++i)
        decoder_.push_back(compute_.allocate({batch, rows, 2 * decoder}));
    encoded_ = compute_.allocate({batch, rows, encoder});
    seen_ = compute_.allocate({batch * rows * 2 * encoder});
    values_ = compute_.allocate({batch, rows, decoder});
    reference_ = compute_.allocate({batch, rows, decoder});
    moved_ = compute_.allocate({batch * rows * decoder});
    const auto all = static_cast<std::size_t>(batch * rows);
    host_values_.resize(all * static_cast<std::size_t>(decoder));
    host_reference_.resize(host_values_.size());
    revealed_.resize(static_cast<std::size_t>(batch));
    for (auto &tokens : revealed_) tokens.reserve(static_cast<std::size_t>(tokens_));
    is_seen_.resize(static_cast<std::size_t>(batch * tokens_));
    for (auto *index :
         {&known_index_, &encoder_index_, &decoder_index_, &wanted_, &wanted_places_}) {
        index->reserve(all);
    }
    similarity_.resize(static_cast<std::size_t>(rows));
    order_.resize(static_cast<std::size_t>(rows));
}

void TokenCache::embedded(std::span<const std::int32_t> positions, std::int64_t images,
                          std::int64_t first_entry) {
    const auto each = positions.size() / static_cast<std::size_t>(images);
    for (std::size_t i = 0; i < positions.size(); ++i) {
        const auto entry = static_cast<std::size_t>(first_entry) + i / each;
        const auto at =
            entry * static_cast<std::size_t>(tokens_) + static_cast<std::size_t>(positions[i]);
        if (is_seen_[at] != 0) is_filled_ = false;
    }
}

// ---- the rows of a set ----

void TokenCache::start(std::span<const std::int32_t> known, std::span<const std::int32_t> wanted) {
    known_each_ = static_cast<std::int64_t>(known.size()) / batch_;
    wanted_each_ = static_cast<std::int64_t>(wanted.size()) / batch_;
    wanted_.assign(wanted.begin(), wanted.end());
    wanted_places_.resize(wanted.size());
    known_index_.clear();
    for (std::int64_t entry = 0; entry < batch_; ++entry) {
        for (std::int64_t row = 0; row < buffer_; ++row)
            known_index_.push_back(static_cast<std::int32_t>(row));
        for (std::int64_t i = 0; i < known_each_; ++i) {
            known_index_.push_back(static_cast<std::int32_t>(buffer_) +
                                   known[static_cast<std::size_t>(entry * known_each_ + i)]);
        }
    }
    if (begins_again(known)) {
        is_filled_ = false;
        for (auto &tokens : revealed_) tokens.clear();
        std::fill(is_seen_.begin(), is_seen_.end(), std::uint8_t{0});
    }
    const auto before = static_cast<std::int64_t>(revealed_.front().size());
    reveal(known);
    new_each_ = known_each_ - before;
    is_lazy_ = is_filled_ && !is_early(known_each_, tokens_) && lazy_sets_ + 1 < settings_.refresh;
    lazy_sets_ = is_lazy_ ? lazy_sets_ + 1 : 0;
    is_filled_ = true;
    list_encoder_rows();
    count_decoder_rows();
}

bool TokenCache::is_early(std::int64_t known, std::int64_t tokens) {
    return static_cast<double>(known) < kFirstShare * static_cast<double>(tokens);
}

// A token that was known is not any more.
bool TokenCache::begins_again(std::span<const std::int32_t> known) const {
    const auto each = static_cast<std::size_t>(known_each_);
    for (std::size_t entry = 0; entry < revealed_.size(); ++entry) {
        const std::span<const std::int32_t> of_entry = known.subspan(entry * each, each);
        for (const std::int32_t token : revealed_[entry]) {
            if (!std::binary_search(of_entry.begin(), of_entry.end(), token)) return true;
        }
    }
    return false;
}

void TokenCache::reveal(std::span<const std::int32_t> known) {
    for (std::size_t i = 0; i < known.size(); ++i) {
        const auto entry = i / static_cast<std::size_t>(known_each_);
        std::uint8_t &seen = is_seen_[entry * static_cast<std::size_t>(tokens_) +
                                      static_cast<std::size_t>(known[i])];
        if (seen == 0) revealed_[entry].push_back(known[i]);
        seen = 1;
    }
}

// The buffer, and of the known tokens the last ones.
void TokenCache::list_encoder_rows() {
    std::int64_t count = known_each_;
    if (is_lazy_) {
        const double least = settings_.share * static_cast<double>(known_each_);
        count = std::max(new_each_, static_cast<std::int64_t>(std::ceil(least)));
    }
    encoder_rows_ = buffer_ + count;
    encoder_index_.clear();
    for (const std::vector<std::int32_t> &tokens : revealed_) {
        for (std::int64_t row = 0; row < buffer_; ++row)
            encoder_index_.push_back(static_cast<std::int32_t>(row));
        for (auto token = tokens.end() - count; token != tokens.end(); ++token)
            encoder_index_.push_back(static_cast<std::int32_t>(buffer_) + *token);
        std::sort(encoder_index_.end() - count, encoder_index_.end());
    }
}

void TokenCache::count_decoder_rows() {
    const std::int64_t all = buffer_ + tokens_;
    decoder_rows_ = all;
    if (!is_lazy_) return;
    const double known = static_cast<double>(known_each_) / static_cast<double>(tokens_);
    const double share = std::max(decoder_share(known), settings_.share);
    decoder_rows_ = std::clamp(static_cast<std::int64_t>(share * static_cast<double>(all)),
                               std::min(wanted_each_ + new_each_ + kMoreRows, all), all);
}

// ---- keys and values ----

void TokenCache::keep_encoder(std::int64_t block, const sdk::View &key_value, std::int64_t first) {
    const std::int64_t count = key_value.shape[0];
    compute_.scatter_rows(key_value, sdk::slice(encoder_index(), 0, first, count),
                          entries(encoder_[static_cast<std::size_t>(block)], first, count));
}

void TokenCache::keep_decoder(std::int64_t block, const sdk::View &key_value, std::int64_t first) {
    const std::int64_t count = key_value.shape[0];
    const sdk::View kept =
        entries(decoder_[static_cast<std::size_t>(block - first_block_)], first, count);
    if (!is_lazy_) return compute_.copy(key_value, kept);
    compute_.scatter_rows(key_value, sdk::slice(decoder_index(), 0, first, count), kept);
}

sdk::View TokenCache::encoder_keys(std::int64_t block, std::int64_t first,
                                   std::int64_t count) const {
    const std::int64_t rows = buffer_ + known_each_;
    const sdk::View seen = sdk::slice(
        first_rows(seen_, batch_, rows, 2 * model_.config.encoder.width), 0, first, count);
    compute_.gather_rows(entries(encoder_[static_cast<std::size_t>(block)], first, count),
                         sdk::slice(index(known_index_, rows), 0, first, count), seen);
    return seen;
}

sdk::View TokenCache::decoder_keys(std::int64_t block, std::int64_t first,
                                   std::int64_t count) const {
    return entries(decoder_[static_cast<std::size_t>(block - first_block_)], first, count);
}

void TokenCache::keep_encoded(const sdk::View &made, const sdk::View &known) {
    compute_.scatter_rows(made, encoder_index(), encoded_);
    if (is_lazy_) compute_.gather_rows(encoded_, index(known_index_, buffer_ + known_each_), known);
}

// ---- which rows moved ----

void TokenCache::choose(const sdk::View &values) {
    if (!is_lazy_) return compute_.copy(values, reference_);
    const std::int64_t width = model_.config.decoder.width;
    compute_.copy(values, values_);
    const std::int64_t all = buffer_ + tokens_;
    compute_.download(values_, sdk::host_view(host_values_.data(), {batch_, all, width}));
    compute_.download(reference_, sdk::host_view(host_reference_.data(), {batch_, all, width}));
    compute_.synchronize();
    decoder_index_.clear();
    for (std::int64_t entry = 0; entry < batch_; ++entry) choose_rows(entry);
    const sdk::View moved = first_rows(moved_, batch_, decoder_rows_, width);
    compute_.gather_rows(values_, decoder_index(), moved);
    compute_.scatter_rows(moved, decoder_index(), reference_);
}

// The rows of wanted and new tokens, then those that are least like what they were; of equals the
// first.
void TokenCache::choose_rows(std::int64_t entry) {
    const std::int64_t all = buffer_ + tokens_;
    constexpr double kAlways = -3.0; // below every cosine
    for (std::int64_t row = 0; row < all; ++row) {
        similarity_[static_cast<std::size_t>(row)] = similarity(entry * all + row);
        order_[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(row);
    }
    const auto &tokens = revealed_[static_cast<std::size_t>(entry)];
    for (auto token = tokens.end() - new_each_; token != tokens.end(); ++token)
        similarity_[static_cast<std::size_t>(buffer_ + *token)] = kAlways;
    const auto wanted = std::span(wanted_).subspan(static_cast<std::size_t>(entry * wanted_each_),
                                                   static_cast<std::size_t>(wanted_each_));
    for (const std::int32_t token : wanted)
        similarity_[static_cast<std::size_t>(buffer_ + token)] = kAlways;
    const auto last = order_.begin() + decoder_rows_;
    std::partial_sort(order_.begin(), last, order_.end(), [&](std::int32_t a, std::int32_t b) {
        const double of_a = similarity_[static_cast<std::size_t>(a)];
        const double of_b = similarity_[static_cast<std::size_t>(b)];
        return of_a != of_b ? of_a < of_b : a < b;
    });
    std::sort(order_.begin(), last);
    for (std::int64_t i = 0; i < wanted_each_; ++i) {
        const auto row = static_cast<std::int32_t>(buffer_) + wanted[static_cast<std::size_t>(i)];
        wanted_places_[static_cast<std::size_t>(entry * wanted_each_ + i)] =
            static_cast<std::int32_t>(std::lower_bound(order_.begin(), last, row) - order_.begin());
    }
    decoder_index_.insert(decoder_index_.end(), order_.begin(), last);
}

// Cosine of a row's values and its reference, the mean over heads; below all others where they are
// not numbers.
double TokenCache::similarity(std::int64_t row) const {
    const auto width = static_cast<std::size_t>(model_.config.decoder.width);
    const std::size_t heads = static_cast<std::size_t>(model_.config.decoder.heads);
    const float *a = host_values_.data() + static_cast<std::size_t>(row) * width;
    const float *b = host_reference_.data() + static_cast<std::size_t>(row) * width;
    double sum = 0.0;
    for (std::size_t head = 0; head < heads; ++head) {
        double product = 0.0, of_a = 0.0, of_b = 0.0;
        for (std::size_t i = 0; i < width / heads; ++i, ++a, ++b) {
            product += double(*a) * *b;
            of_a += double(*a) * *a;
            of_b += double(*b) * *b;
        }
        const double lengths = std::sqrt(of_a) * std::sqrt(of_b);
        sum += lengths > 0.0 ? product / lengths : of_a == of_b ? 1.0 : 0.0;
    }
    const double mean = sum / static_cast<double>(heads);
    return std::isfinite(mean) ? mean : -2.0;
}

} // namespace tessera::mar
