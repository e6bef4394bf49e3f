// Kernels of attention, templates over the SIMD traits S. See attention.hpp.
#pragma once

#include "compute/cpu/kernels/gemm.hpp"
#include "compute/cpu/kernels/simd_math.hpp"
#include "compute/cpu/operations/attention.hpp"

namespace tessera::cpu {

template <class S>
struct Attention {
    using F = typename S::F;
    static constexpr int kLanes = S::kLanes;
    static constexpr float kHidden = -__builtin_inff();

    // exp(s_j - top) over the scores s_j, with top the largest; returns 1 / sum. Taking top off
    // changes no probability, keeps exp in [0, 1] and makes one of the terms 1, so that the sum
    // cannot be 0. The factor goes to the output, (sum of e_j v_j) / sum: one product a column of
    // the values, not one a key. Where every key is hidden there is no largest: all is zero.
    static float softmax(float *scores, std::int64_t keys, const KeyFilter &filter) {
        hide(scores, keys, filter);
        F max = S::set1(kHidden);
        std::int64_t i = 0;
        for (; i + kLanes <= keys; i += kLanes) max = S::max(max, S::load(scores + i));
        float top = S::max_of(max);
        for (std::int64_t j = i; j < keys; ++j) top = scores[j] > top ? scores[j] : top;
        if (top == kHidden) {
            for (std::int64_t j = 0; j < keys; ++j) scores[j] = 0;
            return 0;
        }
        const F shift = S::set1(top);
        F sum = S::zero();
        for (i = 0; i + kLanes <= keys; i += kLanes) {
            const F p = exp_not_positive<S>(S::sub(S::load(scores + i), shift));
            S::store(scores + i, p);
            sum = S::add(sum, p);
        }
        if (i < keys) {
            const int count = static_cast<int>(keys - i);
            const F p = exp_not_positive<S>(S::sub(S::load_first(scores + i, count), shift));
            S::store_first(scores + i, p, count);
            sum = S::add(sum, S::load_first(scores + i, count));
        }
        return 1.0f / S::sum(sum);
    }

    // Writes -infinity over the scores of keys that the query does not see.
    static void hide(float *scores, std::int64_t keys, const KeyFilter &filter) {
        const std::int64_t sinks = filter.sink_count < keys ? filter.sink_count : keys;
        if (filter.sinks_only) {
            for (std::int64_t i = sinks; i < keys; ++i) scores[i] = kHidden;
        } else if (filter.rule != TESSERA_RANK_ALL) {
            const auto rank = S::set1_int(filter.query_rank);
            std::int64_t i = sinks;
            for (; i + kLanes <= keys; i += kLanes) {
                const auto key = S::load_int(filter.key_rank + i);
                const F score = S::load(scores + i);
                const F hidden = S::set1(kHidden);
                switch (filter.rule) {
                case TESSERA_RANK_LESS_OR_EQUAL:
                    S::store(scores + i, S::select(S::greater_int(key, rank), hidden, score));
                    break;
                case TESSERA_RANK_LESS:
                    S::store(scores + i, S::select(S::greater_int(rank, key), score, hidden));
                    break;
                default:
                    S::store(scores + i, S::select(S::equal_int(key, rank), score, hidden));
                    break;
                }
            }
            for (; i < keys; ++i) {
                if (!sees(filter, filter.key_rank[i])) scores[i] = kHidden;
            }
        }
    }

    static bool sees(const KeyFilter &filter, std::int32_t key_rank) {
        switch (filter.rule) {
        case TESSERA_RANK_LESS_OR_EQUAL:
            return key_rank <= filter.query_rank;
        case TESSERA_RANK_LESS:
            return key_rank < filter.query_rank;
        default:
            return key_rank == filter.query_rank;
        }
    }

    static void scale(const float *x, std::int64_t n, float factor, float *out) {
        const F by = S::set1(factor);
        std::int64_t i = 0;
        for (; i + kLanes <= n; i += kLanes) S::store(out + i, S::mul(S::load(x + i), by));
        for (; i < n; ++i) out[i] = x[i] * factor;
    }

    static void pack_values(const float *values, std::ptrdiff_t stride, std::int64_t keys,
                            std::int64_t padded_keys, std::int64_t width, float *out) {
        constexpr std::int64_t kHalf = Gemm<S>::kHalf;
        const std::int64_t halves = (width + 2 * kHalf - 1) / (2 * kHalf) * 2;
        for (std::int64_t half = 0; half < halves; ++half) {
            const std::int64_t first = half * kHalf;
            for (std::int64_t key = 0; key < keys; ++key, out += kHalf) {
                const float *row = values + key * stride + first;
                if (first + kHalf <= width) {
                    S::store(out, S::load(row));
                    S::store(out + kLanes, S::load(row + kLanes));
                } else {
                    for (std::int64_t c = 0; c < kHalf; ++c)
                        out[c] = first + c < width ? row[c] : 0;
                }
            }
            const std::int64_t rest = (padded_keys - keys) * kHalf;
            for (std::int64_t i = 0; i < rest; ++i) out[i] = 0;
            out += rest;
        }
    }
};

template <class S>
constexpr AttentionKernels attention_kernels() {
    return {.softmax = Attention<S>::softmax,
            .scale = Attention<S>::scale,
            .pack_values = Attention<S>::pack_values};
}

} // namespace tessera::cpu
