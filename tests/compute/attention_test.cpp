// attention against the reference: every rank rule, sinks, batches, head widths, strided views.
#include "devices.hpp"
#include "harness.hpp"

#include <cmath>
#include <iterator>
#include <limits>
#include <vector>

namespace tessera::testing {
namespace {

struct AttentionCase {
    std::int64_t batch, queries, keys, heads, width;
    tessera_rank_rule rule = TESSERA_RANK_ALL;
    enum Ranks { kIndex, kPermuted, kPermutedPerBatch, kBlocks } ranks = kIndex;
    std::uint32_t sinks = 0;
    bool isolated = false;
    float scale = 0.0F;
    bool fused = false; // query, key and value are views into one qkv product
};

const AttentionCase kCases[] = {
    {1, 1, 1, 1, 32},
    {2, 9, 9, 3, 16, TESSERA_RANK_ALL, AttentionCase::kIndex, 0, false, 0, true},
    {1, 13, 21, 2, 64},
    {1, 64, 64, 2, 80},
    {2, 17, 17, 2, 77, TESSERA_RANK_ALL, AttentionCase::kIndex, 0, false, 0.3F},
    {1, 5, 33, 1, 128},
    {2, 40, 40, 2, 64, TESSERA_RANK_LESS_OR_EQUAL, AttentionCase::kIndex, 0, false, 0, true},
    {2, 30, 30, 2, 32, TESSERA_RANK_LESS_OR_EQUAL, AttentionCase::kPermuted},
    {3, 30, 30, 1, 32, TESSERA_RANK_LESS_OR_EQUAL, AttentionCase::kPermutedPerBatch},
    {1, 30, 30, 2, 64, TESSERA_RANK_LESS, AttentionCase::kPermuted},
    {1, 24, 24, 2, 32, TESSERA_RANK_EQUAL, AttentionCase::kBlocks},
    {2, 24, 24, 2, 32, TESSERA_RANK_LESS_OR_EQUAL, AttentionCase::kBlocks, 3},
    {2, 24, 24, 2, 32, TESSERA_RANK_LESS, AttentionCase::kPermuted, 2, true},
    {1, 20, 20, 1, 64, TESSERA_RANK_ALL, AttentionCase::kIndex, 4, true},
    {1, 65, 130, 1, 32, TESSERA_RANK_LESS_OR_EQUAL, AttentionCase::kIndex},
    {1, 12, 300, 1, 64},
    {1, 9, 40, 2, 200},
    {1, 19, 45, 1, 256},
    {1, 21, 70, 1, 512, TESSERA_RANK_LESS_OR_EQUAL}, // as wide as the head of a KL autoencoder
    {2, 11, 33, 1, 509},
};

// Long enough for blocks of keys that a tile of queries does not see.
const AttentionCase kMaskedCases[] = {
    {2, 100, 100, 1, 24, TESSERA_RANK_LESS_OR_EQUAL},
    {2, 70, 90, 2, 16, TESSERA_RANK_LESS_OR_EQUAL, AttentionCase::kPermuted},
    {2, 80, 80, 1, 16, TESSERA_RANK_LESS_OR_EQUAL, AttentionCase::kPermutedPerBatch},
    {1, 140, 140, 1, 16, TESSERA_RANK_EQUAL, AttentionCase::kBlocks},
    {1, 140, 140, 1, 16, TESSERA_RANK_LESS, AttentionCase::kIndex, 9},
    {1, 70, 70, 2, 16, TESSERA_RANK_LESS_OR_EQUAL, AttentionCase::kBlocks, 5, true},
    {1, 70, 70, 1, 16, TESSERA_RANK_ALL, AttentionCase::kIndex, 5, true},
};

Indices ranks_of(const AttentionCase &c, std::int64_t count) {
    Indices ranks;
    const std::int64_t copies = c.ranks == AttentionCase::kPermutedPerBatch ? c.batch : 1;
    for (std::int64_t b = 0; b < copies; ++b) {
        if (c.ranks == AttentionCase::kBlocks) {
            for (std::int64_t i = 0; i < count; ++i)
                ranks.push_back(static_cast<std::int32_t>(i / 5));
            continue;
        }
        const Indices one = distinct_indices(count, count, static_cast<std::uint64_t>(50 + b));
        ranks.insert(ranks.end(), one.begin(), one.end());
    }
    return ranks;
}

struct AttentionOperands {
    explicit AttentionOperands(const AttentionCase &c)
        : query(random_array({c.batch, c.queries, c.heads, c.width}, 1)),
          key(random_array({c.batch, c.keys, c.heads, c.width}, 2)),
          value(random_array({c.batch, c.keys, c.heads, c.width}, 3)),
          query_rank(ranks_of(c, c.queries)), key_rank(ranks_of(c, c.keys)) {}
    Array query, key, value;
    Indices query_rank, key_rank;
};

Product want_attention(const AttentionCase &c, const AttentionOperands &given) {
    reference::AttentionOptions options;
    options.rule = c.rule;
    options.scale = static_cast<double>(c.scale);
    options.sink_count = c.sinks;
    options.sink_isolated = c.isolated;
    if (c.ranks != AttentionCase::kIndex) {
        options.query_rank = &given.query_rank;
        options.key_rank = &given.key_rank;
    }
    return reference::attention(given.query, given.key, given.value, options);
}

Array run_attention(const tessera_compute &compute, const AttentionCase &c,
                    const AttentionOperands &given) {
    const bool per_batch = c.ranks == AttentionCase::kPermutedPerBatch;
    const HostTensor query_rank(given.query_rank,
                                per_batch ? Shape{c.batch, c.queries} : Shape{c.queries});
    const HostTensor key_rank(given.key_rank, per_batch ? Shape{c.batch, c.keys} : Shape{c.keys});
    tessera_attention options{};
    options.struct_size = sizeof options;
    options.rule = c.rule;
    options.scale = c.scale;
    options.sink_count = c.sinks;
    options.sink_isolated = c.isolated ? 1 : 0;
    if (c.ranks != AttentionCase::kIndex) {
        options.query_rank = query_rank.view();
        options.key_rank = key_rank.view();
    }
    const DeviceTensor out(compute, given.query.shape, 2);
    if (!c.fused) {
        const DeviceTensor query(compute, given.query);
        const DeviceTensor key(compute, given.key, 3);
        const DeviceTensor value(compute, given.value, 1);
        compute.attention(&compute, query.view(), key.view(), value.view(), &options, out.view());
    } else {
        Array qkv({c.batch, c.queries, 3 * c.heads, c.width}); // (q, k, v outermost)
        for (std::int64_t row = 0; row < c.batch * c.queries; ++row) {
            for (std::int64_t i = 0; i < c.heads * c.width; ++i) {
                const std::int64_t each = c.heads * c.width;
                qkv[row * 3 * each + i] = given.query[row * each + i];
                qkv[row * 3 * each + each + i] = given.key[row * each + i];
                qkv[row * 3 * each + 2 * each + i] = given.value[row * each + i];
            }
        }
        const DeviceTensor fused(compute, qkv);
        tessera_tensor views[3];
        for (std::int64_t part = 0; part < 3; ++part) {
            views[part] = *fused.view();
            views[part].shape[2] = c.heads;
            views[part].data = static_cast<float *>(fused.view()->data) + part * c.heads * c.width;
        }
        compute.attention(&compute, &views[0], &views[1], &views[2], &options, out.view());
    }
    Array result = out.download();
    EXPECT_TRUE(out.gaps_untouched());
    return result;
}

class AttentionTest : public DeviceTest {};
TESSERA_ON_ALL_DEVICES(AttentionTest);

TEST_P(AttentionTest, EqualsReference) {
    std::vector<AttentionCase> cases(std::begin(kCases), std::end(kCases));
    cases.insert(cases.end(), std::begin(kMaskedCases), std::end(kMaskedCases));
    for (const AttentionCase &c : cases) {
        const AttentionOperands given(c);
        const Product want = want_attention(c, given);
        // Scores of size |q||k| scale carry float32 rounding; the softmax turns that into a
        // relative error of every weight, so of the sum of magnitudes. Backends may round scores to
        // bf16 only when asked, and nothing here asks.
        expect_close(run_attention(device(), c, given), want.value, &want.magnitude, 4e-6, 1e-7,
                     "attention");
    }
}

TEST_P(AttentionTest, QueryWithoutKeysGivesZeros) {
    const AttentionCase c{1, 6, 6, 1, 32, TESSERA_RANK_LESS};
    const AttentionOperands given(c);
    const Array got = run_attention(device(), c, given);
    for (std::int64_t i = 0; i < c.width; ++i) EXPECT_EQ(got[i], 0.0);
}

TEST_P(AttentionTest, LargeScoresDoNotOverflow) {
    const AttentionCase c{1, 8,     40,   1, 32, TESSERA_RANK_ALL, AttentionCase::kIndex,
                          0, false, 40.0F};
    const AttentionOperands given(c);
    const Product want = want_attention(c, given);
    // Scores reach several hundred: their rounding alone is 1e-5 or more in the exponent.
    expect_close(run_attention(device(), c, given), want.value, &want.magnitude, 5e-4, 1e-6,
                 "attention with a large scale");
}

TEST_P(AttentionTest, HiddenKeysChangeNothing) {
    AttentionCase c{1, 20, 20, 2, 32, TESSERA_RANK_LESS_OR_EQUAL};
    AttentionOperands given(c);
    const Array before = run_attention(device(), c, given);
    for (std::int64_t i = 15 * c.heads * c.width; i < given.key.size(); ++i) {
        given.key[i] = 1e4;
        given.value[i] = -1e4;
    }
    const Array after = run_attention(device(), c, given);
    for (std::int64_t i = 0; i < 15 * c.heads * c.width; ++i) ASSERT_EQ(before[i], after[i]) << i;
}

bool sees(const AttentionCase &c, const AttentionOperands &given, std::int64_t image,
          std::int64_t query, std::int64_t key) {
    if (key < c.sinks) return true;
    if (c.isolated && query < c.sinks) return false;
    const auto rank = [&](const Indices &ranks, std::int64_t count, std::int64_t i) {
        if (c.ranks == AttentionCase::kIndex) return static_cast<std::int32_t>(i);
        const bool per_batch = c.ranks == AttentionCase::kPermutedPerBatch;
        return ranks[static_cast<std::size_t>((per_batch ? image * count : 0) + i)];
    };
    const std::int32_t q = rank(given.query_rank, c.queries, query);
    const std::int32_t k = rank(given.key_rank, c.keys, key);
    switch (c.rule) {
    case TESSERA_RANK_LESS_OR_EQUAL:
        return k <= q;
    case TESSERA_RANK_LESS:
        return k < q;
    case TESSERA_RANK_EQUAL:
        return k == q;
    default:
        return true;
    }
}

// A key that is not a number reaches the queries that see it, and changes no bit of the others.
TEST_P(AttentionTest, HiddenKeysMayBeAnything) {
    const double kInfinity = std::numeric_limits<double>::infinity();
    const double poisons[] = {std::numeric_limits<double>::quiet_NaN(), kInfinity, -kInfinity};
    for (const AttentionCase &c : kMaskedCases) {
        const AttentionOperands given(c);
        const Array before = run_attention(device(), c, given);
        for (std::int64_t key = 0; key < c.keys; key += 7) {
            const double poison = poisons[key % 3];
            AttentionOperands poisoned = given;
            const std::int64_t row = c.heads * c.width;
            for (std::int64_t i = 0; i < row; ++i) {
                poisoned.key[key * row + i] = poison; // of image 0
                poisoned.value[key * row + i] = poison;
            }
            const Array after = run_attention(device(), c, poisoned);
            std::int64_t wrong = 0;
            for (std::int64_t i = 0; i < after.size(); ++i) {
                const std::int64_t query = i / row % c.queries;
                const std::int64_t image = i / row / c.queries;
                const bool reached = image == 0 && sees(c, given, image, query, key);
                if (reached ? std::isfinite(after[i]) : after[i] != before[i]) ++wrong;
            }
            EXPECT_EQ(wrong, 0) << "rule " << c.rule << ", key " << key << " is " << poison;
        }
    }
}

// Keys beyond every query's rank: the same bits as without them, whatever block they end in.
TEST_P(AttentionTest, KeysThatNobodySeesAreAsIfAbsent) {
    for (const std::int64_t visible : {1, 31, 32, 33, 64, 100}) {
        AttentionCase c{1, visible, 150, 2, 32, TESSERA_RANK_LESS_OR_EQUAL};
        const AttentionOperands given(c);
        const Array want = run_attention(device(), c, given);
        AttentionCase few = c;
        few.keys = visible;
        AttentionOperands alone = given;
        for (Array *rows : {&alone.key, &alone.value}) {
            rows->shape[1] = visible;
            rows->values.resize(static_cast<std::size_t>(visible * c.heads * c.width));
        }
        expect_identical(run_attention(device(), few, alone), want, "without hidden keys");
    }
}

// A cache is a view that grows: token by token, or a few at once, gives the bits of all at once.
TEST_P(AttentionTest, CachedTokensEqualTheWholeSequence) {
    const AttentionCase whole{2, 40, 40, 2, 24, TESSERA_RANK_LESS_OR_EQUAL};
    const AttentionOperands given(whole);
    const Array want = run_attention(device(), whole, given);
    const DeviceTensor query(device(), given.query);
    const Shape capacity{2, 50, 2, 24};
    const DeviceTensor keys(device(), capacity);
    const DeviceTensor values(device(), capacity);
    const HostTensor host_keys(given.key);
    const HostTensor host_values(given.value);
    const DeviceTensor out(device(), given.query.shape);
    const auto rows = [](const tessera_tensor &tensor, std::int64_t first, std::int64_t count) {
        tessera_tensor view = tensor;
        view.data = static_cast<float *>(view.data) + first * view.stride[1];
        view.shape[1] = count;
        return view;
    };
    std::int64_t length = 0;
    for (const std::int64_t count : {1, 1, 5, 1, 20, 3, 1, 8}) {
        for (const auto &[cache, source] : {std::pair(keys.view(), host_keys.view()),
                                            std::pair(values.view(), host_values.view())}) {
            const tessera_tensor from = rows(*source, length, count);
            const tessera_tensor to = rows(*cache, length, count);
            device().upload(&device(), &from, &to);
        }
        tessera_attention options{};
        options.struct_size = sizeof options;
        options.rule = TESSERA_RANK_LESS_OR_EQUAL;
        options.first_query = static_cast<std::uint32_t>(length);
        const tessera_tensor own = rows(*query.view(), length, count);
        const tessera_tensor seen_keys = rows(*keys.view(), 0, length + count);
        const tessera_tensor seen_values = rows(*values.view(), 0, length + count);
        const tessera_tensor to = rows(*out.view(), length, count);
        device().attention(&device(), &own, &seen_keys, &seen_values, &options, &to);
        length += count;
    }
    ASSERT_EQ(length, 40);
    expect_identical(out.download(), want, "by and by");
}

TEST_P(AttentionTest, RanksMayLieOnTheDevice) {
    for (const AttentionCase &c :
         {AttentionCase{3, 30, 30, 1, 32, TESSERA_RANK_LESS_OR_EQUAL,
                        AttentionCase::kPermutedPerBatch},
          AttentionCase{1, 70, 90, 2, 16, TESSERA_RANK_LESS, AttentionCase::kPermuted}}) {
        const AttentionOperands given(c);
        const bool per_batch = c.ranks == AttentionCase::kPermutedPerBatch;
        const DeviceTensor query_rank(device(), given.query_rank,
                                      per_batch ? Shape{c.batch, c.queries} : Shape{c.queries});
        const DeviceTensor key_rank(device(), given.key_rank,
                                    per_batch ? Shape{c.batch, c.keys} : Shape{c.keys});
        const DeviceTensor query(device(), given.query);
        const DeviceTensor key(device(), given.key);
        const DeviceTensor value(device(), given.value);
        const DeviceTensor out(device(), given.query.shape);
        tessera_attention options{};
        options.struct_size = sizeof options;
        options.rule = c.rule;
        options.query_rank = query_rank.view();
        options.key_rank = key_rank.view();
        device().attention(&device(), query.view(), key.view(), value.view(), &options, out.view());
        expect_identical(out.download(), run_attention(device(), c, given), "ranks on the device");
    }
}

TEST_P(AttentionTest, QueriesBatchesAndThreadsDoNotMatter) {
    const tessera_compute &single = device_with_threads(1);
    for (const AttentionCase &c : kCases) {
        const AttentionOperands given(c);
        const Array want = run_attention(device(), c, given);
        expect_identical(run_attention(single, c, given), want, "one thread");
    }
    const AttentionCase all{3, 29, 21, 2, 64};
    const AttentionOperands given(all);
    const Array together = run_attention(device(), all, given);
    const AttentionCase one{1, 1, 21, 2, 64};
    const std::int64_t row = all.heads * all.width;
    for (std::int64_t flat = 0; flat < all.batch * all.queries; flat += 7) {
        AttentionOperands alone(one);
        const std::int64_t keys_at = flat / all.queries * all.keys * row;
        for (std::int64_t i = 0; i < row; ++i) alone.query[i] = given.query[flat * row + i];
        for (std::int64_t i = 0; i < all.keys * row; ++i) {
            alone.key[i] = given.key[keys_at + i];
            alone.value[i] = given.value[keys_at + i];
        }
        Array want({1, 1, all.heads, all.width});
        for (std::int64_t i = 0; i < row; ++i) want[i] = together[flat * row + i];
        expect_identical(run_attention(device(), one, alone), want, "one query alone");
    }
}

} // namespace
} // namespace tessera::testing
