// The cache of guidance over a network that can be written down: what is exact, what is carried on.
#include "blocks/shell/guidance_cache.hpp"
#include "test_device.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera::blocks {
namespace {

constexpr std::int64_t kTokens = 8;

// The condition of a position: 100 class + known tokens of the entry, in one number; and the class
// squared times them, so that the two halves drift apart.
class Countable final : public SetNetwork {
  public:
    Countable(const sdk::Compute &compute, std::int64_t batch, std::vector<std::int64_t> &batches)
        : compute_(compute), batch_(batch), batches_(batches),
          out_(compute.allocate({batch * kTokens * 2})), wanted_(kTokens),
          labels_(static_cast<std::size_t>(batch)) {}
    void set_class(std::int64_t entry, std::int64_t label, const ClassMix &) override {
        labels_[static_cast<std::size_t>(entry)] = static_cast<float>(label);
    }
    void embed(const sdk::View &, std::span<const std::int32_t>, std::int64_t,
               std::int64_t) override {}
    void start(std::span<const std::int32_t> known, std::span<const std::int32_t> wanted) override {
        known_ = static_cast<float>(known.size()) / static_cast<float>(batch_);
        wanted_ = static_cast<std::int64_t>(wanted.size()) / batch_;
        positions_.assign(wanted.begin(), wanted.end());
        batches_.push_back(batch_);
    }
    [[nodiscard]] int unit_count() const override { return 1; }
    [[nodiscard]] double unit_flops(int) const override { return 1.0; }
    void run_unit(int) override {
        auto *out = static_cast<float *>(out_.view().data);
        for (std::size_t row = 0; row < positions_.size(); ++row) {
            const float label = labels_[row / static_cast<std::size_t>(wanted_)];
            out[2 * row] = 100.0F * label + known_ + 0.01F * static_cast<float>(positions_[row]);
            out[2 * row + 1] = label * label * known_;
        }
    }
    [[nodiscard]] sdk::View conditions() const override {
        const std::int64_t shape[] = {batch_, wanted_, 2};
        return sdk::make_view(out_.view().data, TESSERA_DTYPE_F32, shape, compute_.memory());
    }
    [[nodiscard]] double flops(std::int64_t, std::int64_t) const override {
        return static_cast<double>(batch_);
    }

  private:
    sdk::Compute compute_;
    std::int64_t batch_;
    std::vector<std::int64_t> &batches_;
    sdk::Tensor out_;
    std::int64_t wanted_;
    std::vector<float> labels_;
    float known_ = 0.0F;
    std::vector<std::int32_t> positions_;
};

class GuidanceCacheTest : public ::testing::Test {
  protected:
    // Sets of one image: set k knows the first 2 k tokens and wants the two after them.
    std::vector<float> run(SetNetwork &network, int set) const {
        std::vector<std::int32_t> known;
        for (int entry = 0; entry < 2; ++entry)
            for (std::int32_t i = 0; i < 2 * set; ++i) known.push_back(i);
        const std::vector<std::int32_t> wanted = {2 * set, 2 * set + 1, 2 * set, 2 * set + 1};
        network.start(known, wanted);
        for (int unit = 0; unit < network.unit_count(); ++unit) network.run_unit(unit);
        const sdk::View made = network.conditions();
        EXPECT_THAT(std::vector<std::int64_t>(made.shape, made.shape + 3),
                    ::testing::ElementsAre(2, 2, 2));
        const auto *data = static_cast<const float *>(made.data);
        return {data, data + 8};
    }
    std::unique_ptr<SetNetwork> network(std::int64_t batch) {
        return std::make_unique<Countable>(device_.compute, batch, batches_);
    }
    // The networks of a cache of one image; only what differences are kept of need be exact.
    GuidanceCache::Make make() {
        return [this](std::int64_t batch, bool exact) {
            EXPECT_EQ(exact, batch == 2);
            return network(batch);
        };
    }
    static void name(SetNetwork &network) {
        network.set_class(0, 3, {});
        network.set_class(1, -1, {});
    }

    TestDevice device_;
    std::vector<std::int64_t> batches_; // of the networks that ran
};

TEST_F(GuidanceCacheTest, WholeSetsAreExactAndTheOthersKeepTheDifference) {
    const auto plain = network(2);
    name(*plain);
    GuidanceCache cache(device_.compute, make(), 1, kTokens, 4, 2); // sets 0, 1 and 3 are whole
    name(cache);
    for (int set = 0; set < 4; ++set) {
        const std::vector<float> want = run(*plain, set);
        batches_.clear();
        const std::vector<float> got = run(cache, set);
        const bool whole = GuidanceCache::is_whole(set, 4, 2);
        EXPECT_THAT(batches_, ::testing::ElementsAre(whole ? 2 : 1)) << set;
        EXPECT_EQ(whole, set != 2);
        if (whole) {
            EXPECT_EQ(got, want) << set;
            continue;
        }
        for (const std::size_t i : {0U, 1U, 2U, 3U}) EXPECT_EQ(got[i], want[i]); // conditional
        // Of set 1, which knew two tokens: 100 (-1 - 3) and (1 - 9) 2.
        EXPECT_FLOAT_EQ(got[4], want[0] - 400.0F);
        EXPECT_FLOAT_EQ(got[5], want[1] - 16.0F);
    }
}

TEST_F(GuidanceCacheTest, IsWholeAgainWhenAllTokensMoved) {
    GuidanceCache cache(device_.compute, make(), 1, kTokens, 64, 60);
    name(cache);
    for (int set = 0; set < 6; ++set) (void)run(cache, set % 4);
    batches_.clear();
    (void)run(cache, 1);
    std::vector<std::int32_t> all(kTokens);
    const sdk::Tensor tokens = device_.compute.allocate({1, kTokens, 1});
    cache.embed(tokens, all, 1, 0);
    (void)run(cache, 1);
    (void)run(cache, 2);
    EXPECT_THAT(batches_, ::testing::ElementsAre(1, 2, 1));
}

TEST(GuidanceCachePlan, WorksOutTwelveOf64Sets) {
    int whole = 0;
    for (int set = 0; set < 64; ++set) whole += GuidanceCache::is_whole(set, 64, 9) ? 1 : 0;
    EXPECT_EQ(whole, 12); // 0 to 4, then 5, 14, ..., 59
}

} // namespace
} // namespace tessera::blocks
