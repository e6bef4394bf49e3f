// Ranks and sinks of attention, key by key and block by block.
#include "compute/cpu/operations/attention_mask.hpp"

#include <algorithm>
#include <limits>

namespace tessera::cpu {
namespace {

std::int32_t rank_of(const tessera_tensor *ranks, std::int64_t image, std::int64_t i) {
    if (ranks == nullptr) return static_cast<std::int32_t>(i);
    const std::int64_t at =
        ranks->rank == 2
            ? (ranks->shape[0] == 1 ? 0 : image) * ranks->stride[0] + i * ranks->stride[1]
            : i * ranks->stride[0];
    return static_cast<const std::int32_t *>(ranks->data)[at];
}

} // namespace

AttentionMask::AttentionMask(const tessera_attention &options, std::int64_t keys,
                             std::int64_t block_keys)
    : options_(options), keys_(keys), block_(block_keys),
      sinks_(std::min<std::int64_t>(options.sink_count, keys)) {
    const tessera_tensor *given = options.key_rank;
    if (given != nullptr && given->rank == 2) copies_ = given->shape[0];
}

bool AttentionMask::prepare(Cpu &cpu) {
    if (options_.rule == TESSERA_RANK_ALL) return true;
    auto *memory = cpu.scratch<std::int32_t>(Scratch::kC, copies_ * (keys_ + 2 * blocks()));
    if (memory == nullptr) return false;
    ranges_ = reinterpret_cast<Range *>(memory);
    key_ranks_ = memory + copies_ * 2 * blocks();
    for (std::int64_t copy = 0; copy < copies_; ++copy) {
        std::int32_t *ranks = key_ranks_ + copy * keys_;
        for (std::int64_t k = 0; k < keys_; ++k) ranks[k] = rank_of(options_.key_rank, copy, k);
        for (std::int64_t block = 0; block < blocks(); ++block) {
            Range range{std::numeric_limits<std::int32_t>::max(),
                        std::numeric_limits<std::int32_t>::min()};
            const std::int64_t end = std::min(keys_, (block + 1) * block_);
            for (std::int64_t k = std::max(sinks_, block * block_); k < end; ++k) {
                range.low = std::min(range.low, ranks[k]);
                range.high = std::max(range.high, ranks[k]);
            }
            ranges_[copy * blocks() + block] = range;
        }
    }
    return true;
}

KeyFilter AttentionMask::filter(std::int64_t image, std::int64_t query,
                                std::int64_t first_key) const {
    KeyFilter filter;
    filter.rule = options_.rule;
    filter.sink_count = std::max<std::int64_t>(0, sinks_ - first_key);
    filter.sinks_only = sees_sinks_only(query);
    if (filter.rule != TESSERA_RANK_ALL) {
        filter.query_rank = query_rank(image, query);
        filter.key_rank = key_ranks_ + copy_of(image) * keys_ + first_key;
    }
    return filter;
}

std::int32_t AttentionMask::query_rank(std::int64_t image, std::int64_t query) const {
    const std::int64_t first = options_.query_rank == nullptr ? options_.first_query : 0;
    return rank_of(options_.query_rank, image, first + query);
}

// Whether a query of that rank may see a key whose rank is in the range; no key: low > high.
bool AttentionMask::matches(std::int32_t query_rank, const Range &keys) const {
    if (keys.low > keys.high) return false;
    switch (options_.rule) {
    case TESSERA_RANK_LESS_OR_EQUAL:
        return keys.low <= query_rank;
    case TESSERA_RANK_LESS:
        return keys.low < query_rank;
    case TESSERA_RANK_EQUAL:
        return keys.low <= query_rank && query_rank <= keys.high;
    default:
        return true;
    }
}

bool AttentionMask::sees(std::int64_t image, std::int64_t query, std::int64_t key) const {
    if (key < sinks_) return true;
    if (sees_sinks_only(query)) return false;
    if (options_.rule == TESSERA_RANK_ALL) return true;
    const std::int32_t rank = key_ranks_[copy_of(image) * keys_ + key];
    return matches(query_rank(image, query), {rank, rank});
}

bool AttentionMask::block_visible(std::int64_t image, std::int64_t query,
                                  std::int64_t block) const {
    if (block * block_ < sinks_) return true;
    if (sees_sinks_only(query)) return false;
    if (options_.rule == TESSERA_RANK_ALL) return true;
    return matches(query_rank(image, query), ranges_[copy_of(image) * blocks() + block]);
}

AttentionMask::Blocks AttentionMask::visible(std::int64_t image, std::int64_t first,
                                             std::int64_t count, std::uint8_t *skip) const {
    Blocks seen{blocks(), 0};
    for (std::int64_t block = 0; block < blocks(); ++block) {
        bool visible = false;
        for (std::int64_t i = 0; i < count && !visible; ++i)
            visible = block_visible(image, first + i, block);
        skip[block] = visible ? 0 : 1;
        if (!visible) continue;
        seen.begin = std::min(seen.begin, block);
        seen.end = block + 1;
    }
    return seen;
}

} // namespace tessera::cpu
