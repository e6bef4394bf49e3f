// Causal and any-order blocks: what the rank masks of a transformer block promise.
#include "test_model.hpp"

#include <tessera/values/philox.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tessera::blocks {
namespace {

constexpr std::int64_t kWidth = 24;
constexpr std::int64_t kHidden = 96;
constexpr std::int64_t kRows = 11;

std::vector<float> random_rows(std::int64_t rows, std::uint64_t seed) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < rows * kWidth; ++i) {
        const std::uint32_t word =
            values::philox({static_cast<std::uint32_t>(i), 0, 0, 0}, values::philox_key(seed))[0];
        values.push_back(static_cast<float>(word) * 0x1p-31f - 1.0f);
    }
    return values;
}

class BlockTest : public testing::Test {
  protected:
    void SetUp() override {
        golden::SyntheticMar shape;
        shape.encoder_embed_dim = kWidth;
        shape.encoder_num_heads = 3;
        const std::string path = directory_ / "model.safetensors";
        ASSERT_TRUE(golden::write_synthetic(path, mar_file(shape)));
        model_.emplace(load_mar(device_, path));
    }

    // Rows through both encoder blocks with ranks (causal: 0, 1, 2, ...).
    std::vector<float> forward(const std::vector<float> &rows, std::vector<std::int32_t> ranks) {
        const auto count = static_cast<std::int64_t>(ranks.size());
        const sdk::Compute &compute = device_.compute;
        const sdk::Tensor x = compute.to_device(sdk::host_view(rows.data(), {1, count, kWidth}));
        const sdk::Tensor normed = compute.allocate({count, kWidth});
        const sdk::Tensor qkv = compute.allocate({count, 3 * kWidth});
        const sdk::Tensor heads = compute.allocate({count, kWidth});
        const sdk::Tensor hidden = compute.allocate({count, kHidden});
        const sdk::View rank_view = sdk::host_view(ranks.data(), {count});
        tessera_attention mask{};
        mask.rule = TESSERA_RANK_LESS_OR_EQUAL;
        mask.query_rank = mask.key_rank = &rank_view;
        for (const TransformerBlock &block : model_->encoder) {
            run_block(compute, block, mask, {normed, qkv, heads, hidden}, x);
        }
        return to_host(compute, x);
    }
    static std::vector<std::int32_t> raster(std::int64_t count) {
        std::vector<std::int32_t> ranks(static_cast<std::size_t>(count));
        std::iota(ranks.begin(), ranks.end(), 0);
        return ranks;
    }

    TestDevice device_;
    TemporaryDirectory directory_;
    std::optional<mar::MarModel> model_;
};

TEST_F(BlockTest, CausalForwardEqualsGrowingForward) {
    const std::vector<float> rows = random_rows(kRows, 1);
    const std::vector<float> full = forward(rows, raster(kRows));
    for (std::int64_t n = 1; n <= kRows; ++n) {
        const std::vector<float> prefix(rows.begin(), rows.begin() + n * kWidth);
        const std::vector<float> part = forward(prefix, raster(n));
        for (std::int64_t i = (n - 1) * kWidth; i < n * kWidth; ++i) {
            EXPECT_NEAR(part[i], full[i], 1e-5f * std::max(1.0f, std::abs(full[i])));
        }
    }
}

TEST_F(BlockTest, ChangingARowLeavesEarlierOnesBitForBit) {
    const std::vector<float> rows = random_rows(kRows, 2);
    const std::vector<float> before = forward(rows, raster(kRows));
    for (std::int64_t changed = 1; changed < kRows; ++changed) {
        std::vector<float> other = rows;
        for (std::int64_t i = 0; i < kWidth; ++i) other[changed * kWidth + i] += 3.0f;
        const std::vector<float> after = forward(other, raster(kRows));
        EXPECT_TRUE(std::equal(before.begin(), before.begin() + changed * kWidth, after.begin()));
        EXPECT_NE(before[changed * kWidth], after[changed * kWidth]);
    }
}

TEST_F(BlockTest, LargeValuesInTheFutureAreNotSeen) {
    std::vector<float> rows = random_rows(kRows, 3);
    const std::vector<float> before = forward(rows, raster(kRows));
    constexpr std::int64_t kPast = 6;
    for (std::size_t i = kPast * kWidth; i < rows.size(); ++i) rows[i] = i % 2 ? 1e18f : -1e18f;
    const std::vector<float> after = forward(rows, raster(kRows));
    EXPECT_TRUE(std::equal(before.begin(), before.begin() + kPast * kWidth, after.begin()));
}

TEST_F(BlockTest, AnyOrderIsCausalUnderItsPermutation) {
    const std::vector<std::int32_t> ranks = {4, 0, 7, 2, 10, 1, 3, 9, 5, 8, 6};
    const std::vector<float> rows = random_rows(kRows, 4);
    std::vector<float> sorted(rows.size());
    for (std::int64_t i = 0; i < kRows; ++i) {
        std::copy_n(rows.begin() + i * kWidth, kWidth, sorted.begin() + ranks[i] * kWidth);
    }
    const std::vector<float> permuted = forward(rows, ranks);
    const std::vector<float> causal = forward(sorted, raster(kRows));
    for (std::int64_t i = 0; i < kRows; ++i) {
        for (std::int64_t c = 0; c < kWidth; ++c) {
            const float expected = causal[ranks[i] * kWidth + c];
            EXPECT_NEAR(permuted[i * kWidth + c], expected,
                        1e-5f * std::max(1.0f, std::abs(expected)));
        }
    }
}

} // namespace
} // namespace tessera::blocks
