// Which keys a query sees, by ranks and sinks; and which blocks of keys nobody in a tile sees.
#pragma once

#include "compute/cpu/cpu.hpp"
#include "compute/cpu/operations/attention.hpp"

#include <tessera/compute.h>

#include <cstddef>
#include <cstdint>

namespace tessera::cpu {

class AttentionMask {
  public:
    // Keys are taken in blocks of `block_keys`.
    AttentionMask(const tessera_attention &options, std::int64_t keys, std::int64_t block_keys);

    // Copies the ranks of keys into scratch memory (slot C). False when that is short, which has
    // been reported then.
    [[nodiscard]] bool prepare(Cpu &cpu);

    // Whether any key may be hidden from any query.
    [[nodiscard]] bool hides() const {
        return options_.rule != TESSERA_RANK_ALL ||
               (options_.sink_isolated != 0 && sinks_ > 0 && sinks_ < keys_);
    }
    [[nodiscard]] std::int64_t blocks() const { return (keys_ + block_ - 1) / block_; }

    // What a query of an image sees of the keys from `first_key` on.
    [[nodiscard]] KeyFilter filter(std::int64_t image, std::int64_t query,
                                   std::int64_t first_key) const;
    // Whether it sees the key.
    [[nodiscard]] bool sees(std::int64_t image, std::int64_t query, std::int64_t key) const;

    // Blocks [begin, end) hold all that queries [first, first + count) see; skip[b] tells, for all
    // blocks, that none of them sees any key of block b.
    struct Blocks {
        std::int64_t begin;
        std::int64_t end;
    };
    [[nodiscard]] Blocks visible(std::int64_t image, std::int64_t first, std::int64_t count,
                                 std::uint8_t *skip) const;

  private:
    // The lowest and highest rank of a block's keys, sinks left out.
    struct Range {
        std::int32_t low;
        std::int32_t high;
    };

    [[nodiscard]] bool sees_sinks_only(std::int64_t query) const {
        return options_.sink_isolated != 0 && query < sinks_;
    }
    [[nodiscard]] std::int32_t query_rank(std::int64_t image, std::int64_t query) const;
    [[nodiscard]] bool matches(std::int32_t query_rank, const Range &keys) const;
    [[nodiscard]] bool block_visible(std::int64_t image, std::int64_t query,
                                     std::int64_t block) const;
    [[nodiscard]] std::int64_t copy_of(std::int64_t image) const {
        return copies_ == 1 ? 0 : image;
    }

    const tessera_attention &options_;
    std::int64_t keys_;
    std::int64_t block_;
    std::int64_t sinks_;
    std::int64_t copies_ = 1;           // of the ranks: one, or one for each image
    std::int32_t *key_ranks_ = nullptr; // (copies, keys)
    Range *ranges_ = nullptr;           // (copies, blocks)
};

} // namespace tessera::cpu
