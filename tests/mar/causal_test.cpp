// Causal models: the cache changes nothing, tokens see what they may, and models whose tokens are
// codes.
#include "run_checks.hpp"

#include "mar/causal_network.hpp"

#include "blocks/shell/code_sampler.hpp"
#include "tests/blocks/recording_sink.hpp"

#include <gmock/gmock.h>

#include <set>

namespace tessera::blocks {
namespace {

using testing::HasSubstr;

struct Variant {
    const char *name;
    int prefix = 1;
    int codes = 0;
};
void PrintTo(const Variant &variant, std::ostream *out) { *out << variant.name; }

class Causal : public testing::TestWithParam<Variant> {
  protected:
    Causal() : device_(2, /*checked=*/true) {
        shape_.variant = GetParam().name;
        shape_.prefix = GetParam().prefix;
        shape_.codebook = GetParam().codes;
        const std::string path = directory_ / "model.safetensors";
        EXPECT_TRUE(golden::write_synthetic(path, mar_file(shape_)));
        const sdk::Weights weights(device_.plugin_host, path);
        const auto config =
            mar::CausalConfig::read(Config::parse(weights.metadata("config").value(), path));
        WeightLoader loader(weights, device_.compute);
        model_.emplace(loader.run(
            [&](WeightLoader &l) { return mar::CausalModel::load(config, l, TESSERA_DTYPE_F32); }));
    }
    static RunSpec spec(std::vector<std::int64_t> labels, double guidance = 2.0) {
        RunSpec spec;
        spec.labels = std::move(labels);
        spec.diffusion.guidance = guidance;
        spec.diffusion.denoise_steps = "4";
        spec.seed = 3;
        return spec;
    }
    std::vector<float> tokens(const RunSpec &spec, const std::vector<float> &given = {}) {
        TokenRun run(device_.compute, *model_, spec);
        if (!given.empty()) {
            const sdk::Tensor all = device_.compute.to_device(
                sdk::host_view(given.data(), {1, grid().tokens(), grid().token_width()}));
            run.give(all);
        }
        device_.owner.set_stepping(true);
        while (!run.is_done()) run.run_unit();
        device_.owner.set_stepping(false);
        return to_host(device_.compute, run.tokens());
    }
    [[nodiscard]] TokenGrid grid() const { return model_->grid(); }

    TestDevice device_;
    TemporaryDirectory directory_;
    golden::SyntheticMar shape_;
    std::optional<mar::CausalModel> model_;
};

TEST_P(Causal, TheCacheChangesNoBit) {
    for (const double guidance : {1.0, 3.0}) {
        const std::vector<float> kept = tokens(spec({1, -1}, guidance));
        model_->keeps = false;
        EXPECT_EQ(tokens(spec({1, -1}, guidance)), kept);
        model_->keeps = true;
    }
}

TEST_P(Causal, AnImageIsTheSameAloneAndInABatch) {
    const std::vector<float> both = tokens(spec({1, 2}));
    RunSpec second = spec({2});
    second.first_image = 1;
    const std::vector<float> alone = tokens(second);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(),
                           both.begin() + static_cast<std::ptrdiff_t>(alone.size())));
}

TEST_P(Causal, EveryTokenIsAStepOfItsOwn) {
    RunSpec few = spec({1});
    few.steps = 3; // which it cannot choose
    TokenRun run(device_.compute, *model_, few);
    EXPECT_EQ(run.step_count(), grid().tokens());
    few.known.assign(static_cast<std::size_t>(grid().tokens()), 1);
    few.known[2] = few.known[7] = 0;
    TokenRun two(device_.compute, *model_, few);
    EXPECT_EQ(two.step_count(), 2);
}

TEST_P(Causal, GivenTokensStayAndAreSeen) {
    const std::vector<float> first = tokens(spec({1}));
    const auto width = static_cast<std::size_t>(grid().token_width());
    RunSpec part = spec({1});
    part.seed = 9;
    part.known.assign(static_cast<std::size_t>(grid().tokens()), 1);
    for (const std::size_t token : {5u, 6u, 11u}) part.known[token] = 0;
    const std::vector<float> again = tokens(part, first);
    for (std::size_t i = 0; i < first.size(); ++i) {
        if (part.known[i / width] != 0) {
            ASSERT_EQ(again[i], first[i]) << "token " << i / width;
        }
    }
    model_->keeps = false;
    EXPECT_EQ(tokens(part, first), again);
    model_->keeps = true;
    // What was given before the hole matters to it; in raster order, what comes after does not.
    std::vector<float> before = first, after = first;
    before[0] += 3.0f;
    after[15 * width] += 3.0f;
    const auto hole_of = [&](const std::vector<float> &all) {
        return std::vector<float>(all.begin() + static_cast<std::ptrdiff_t>(5 * width),
                                  all.begin() + static_cast<std::ptrdiff_t>(7 * width));
    };
    if (GetParam().codes == 0) { // a code may be the same for both
        EXPECT_NE(hole_of(tokens(part, before)), hole_of(again));
        EXPECT_EQ(hole_of(tokens(part, after)) == hole_of(again), !model_->config.random_order);
    }
}

TEST_P(Causal, AFullAndAnEmptySetOfGivenTokens) {
    const std::vector<float> first = tokens(spec({1}));
    RunSpec all = spec({1});
    all.known.assign(static_cast<std::size_t>(grid().tokens()), 1);
    EXPECT_EQ(tokens(all, first), first);
    RunSpec none = spec({1});
    none.known.assign(static_cast<std::size_t>(grid().tokens()), 0);
    EXPECT_EQ(tokens(none, first), first);
}

TEST_P(Causal, ADeadlineLeavesOneTokenAStep) {
    Paces paces;
    double now = 0.0;
    Deadline deadline(
        1e-3, [&] { return now += 1.0; }, paces);
    RunSpec hurried = spec({1});
    hurried.deadline = &deadline;
    TokenRun run(device_.compute, *model_, hurried);
    while (!run.is_done()) run.run_unit();
    EXPECT_EQ(run.step_count(), grid().tokens());
    EXPECT_EQ(run.plan().level(), kHurryDenoising);
}

TEST_P(Causal, TokensThatBecomeKnownAgainBeginAgain) {
    mar::CausalNetwork network(device_.compute, *model_, 1);
    const std::int64_t width = grid().token_width();
    network.set_class(0, 1, {});
    const auto condition = [&](std::vector<std::int32_t> known, std::int32_t wanted) {
        const std::int32_t one[] = {wanted};
        network.start(known, one);
        for (int unit = 0; unit < network.unit_count(); ++unit) network.run_unit(unit);
        return to_host(device_.compute, network.conditions());
    };
    const auto give = [&](std::int32_t token, float value) {
        const std::vector<float> numbers(static_cast<std::size_t>(width), value);
        const sdk::Tensor x =
            device_.compute.to_device(sdk::host_view(numbers.data(), {1, 1, width}));
        const std::int32_t place[] = {token};
        network.embed(x, place, 1, 0);
        device_.compute.synchronize();
    };
    static_cast<void>(condition({}, 0));
    give(0, 0.5f);
    const std::vector<float> first = condition({0}, 1);
    give(1, 1.5f);
    const std::vector<float> second = condition({0, 1}, 2);
    give(0, -2.0f);
    const std::vector<float> changed = condition({0, 1}, 2);
    EXPECT_NE(changed, second);
    give(0, 0.5f);
    EXPECT_EQ(condition({0, 1}, 2), second);
    if (model_->config.random_order) return;
    EXPECT_THAT(failure_of([&] { static_cast<void>(condition({0}, 2)); }),
                HasSubstr("token 2 was wanted before token 1"));
    const std::int32_t two[] = {1, 2};
    EXPECT_THAT(failure_of([&] { network.start({}, two); }), HasSubstr("one token at a time"));
}

TEST_P(Causal, TheDescriptionOfTheCache) {
    const mar::CausalConfig &c = model_->config;
    EXPECT_EQ(c.cache_bytes(), 4 * 2 * (16 + GetParam().prefix - 1) * 32 * 4);
}

INSTANTIATE_TEST_SUITE_P(Of, Causal,
                         testing::Values(Variant{"raster"}, Variant{"raster", 3}, Variant{"random"},
                                         Variant{"raster", 1, 23}, Variant{"random", 1, 23}),
                         [](const auto &test) {
                             return std::string(test.param.name) + "_" +
                                    std::to_string(test.param.prefix) + "_" +
                                    std::to_string(test.param.codes);
                         });

// ---- codes --------------------------------------------------------------------------------------

// Logits whose first number is the condition's, over a codebook of the numbers 0, 1, 2, ...
class Codes : public testing::Test {
  protected:
    static constexpr std::int64_t kCodes = 6;
    Codes() : device_(1, /*checked=*/true) {
        std::vector<float> weight(kCodes), entries;
        for (std::int64_t code = 0; code < kCodes; ++code) {
            weight[static_cast<std::size_t>(code)] = static_cast<float>(code);
            entries.push_back(static_cast<float>(code));
        }
        logits_.weight = device_.compute.pack_linear(sdk::host_view(weight.data(), {kCodes, 1}),
                                                     TESSERA_DTYPE_F32);
        codebook_ = device_.compute.to_device(sdk::host_view(entries.data(), {kCodes, 1}));
    }
    // Codes of `rows` tokens under one condition (and another one, unconditional, when guided).
    std::vector<float> draw(std::int64_t rows, float condition, SamplerSpec spec,
                            double guidance = 1.0, float free = 0.0f) {
        spec.max_rows = rows;
        spec.diffusion.guidance = guidance;
        CodeSampler sampler(device_.compute, logits_, codebook_, spec);
        std::vector<float> conditions(static_cast<std::size_t>(rows), condition);
        if (sampler.is_guided()) conditions.resize(static_cast<std::size_t>(2 * rows), free);
        const auto all = static_cast<std::int64_t>(conditions.size());
        const sdk::Tensor device =
            device_.compute.to_device(sdk::host_view(conditions.data(), {all, 1}));
        std::vector<std::int32_t> index;
        for (std::int32_t row = 0; row < rows; ++row) index.insert(index.end(), {0, row});
        const sdk::View noise = sdk::host_view(index.data(), {rows, 2});
        TokenSet set;
        set.conditions = device;
        set.rows = rows;
        set.guidance = guidance;
        set.noise_index = &noise;
        sampler.begin(set);
        while (!sampler.run_unit()) {
        }
        return to_host(device_.compute, sampler.tokens());
    }
    static double mean(const std::vector<float> &values) {
        double sum = 0.0;
        for (const float value : values) sum += value;
        return sum / static_cast<double>(values.size());
    }
    static SamplerSpec with(double temperature, int top_k = 0, double top_p = 0.0) {
        SamplerSpec spec;
        spec.diffusion.temperature = temperature;
        spec.diffusion.top_k = top_k;
        spec.diffusion.top_p = top_p;
        spec.seed = 11;
        return spec;
    }

    TestDevice device_;
    Linear logits_;
    sdk::Tensor codebook_;
};

TEST_F(Codes, FollowTheirProbabilities) {
    constexpr std::int64_t kDraws = 20'000;
    for (const double temperature : {0.5, 1.0, 2.0}) {
        const double slope = 0.4 / temperature;
        double sum = 0.0, expected = 0.0, square = 0.0;
        for (std::int64_t code = 0; code < kCodes; ++code) {
            const double weight = std::exp(slope * static_cast<double>(code));
            sum += weight;
            expected += weight * static_cast<double>(code);
            square += weight * static_cast<double>(code * code);
        }
        expected /= sum;
        const double error =
            std::sqrt((square / sum - expected * expected) / static_cast<double>(kDraws));
        EXPECT_NEAR(mean(draw(kDraws, 0.4f, with(temperature))), expected, 4.0 * error);
    }
}

TEST_F(Codes, GuidanceIsOnLogits) {
    // u + g (c - u) with 0.5 and 0.2: 0.2 + 3 x 0.3 = 1.1.
    EXPECT_EQ(draw(500, 0.5f, with(1.0), 3.0, 0.2f), draw(500, 1.1f, with(1.0)));
    EXPECT_EQ(mean(draw(10, 0.5f, with(0.0), 3.0, 2.0f)), 0.0); // turned round: 2 - 4.5 = -2.5
}

TEST_F(Codes, TheLikeliestOnly) {
    EXPECT_EQ(mean(draw(50, 0.3f, with(0.0))), 5.0);
    const std::vector<float> two = draw(500, 0.3f, with(1.0, 2));
    EXPECT_EQ(std::set<float>(two.begin(), two.end()), (std::set<float>{4.0f, 5.0f}));
    const std::vector<float> most = draw(500, 3.0f, with(1.0, 0, 0.9));
    EXPECT_EQ(std::set<float>(most.begin(), most.end()), (std::set<float>{5.0f}));
}

TEST_F(Codes, EveryTokenIsDrawnForItself) {
    const std::vector<float> all = draw(64, 0.2f, with(1.0)), few = draw(7, 0.2f, with(1.0));
    EXPECT_TRUE(std::equal(few.begin(), few.end(), all.begin()));
}

// ---- configurations -----------------------------------------------------------------------------

std::string config_failure(const golden::SyntheticMar &shape,
                           const std::function<std::string(std::string)> &change) {
    return failure_of([&] {
        static_cast<void>(
            mar::CausalConfig::read(Config::parse(change(shape.config_json()), "file")));
    });
}

TEST(CausalConfig, RefusesWhatMakesNoSense) {
    golden::SyntheticMar shape;
    const auto same = [](std::string text) { return text; };
    shape.variant = "spiral";
    EXPECT_THAT(config_failure(shape, same), HasSubstr("'spiral', expected 'raster' or 'random'"));
    shape.variant = "random";
    shape.prefix = 2;
    EXPECT_THAT(config_failure(shape, same), HasSubstr("expected 1 in random order"));
    shape.prefix = 1;
    shape.encoder_num_heads = 3;
    EXPECT_THAT(config_failure(shape, same), HasSubstr("does not divide the width 32"));
    shape.encoder_num_heads = 2;
    shape.codebook = 4;
    shape.patch_size = 2;
    EXPECT_THAT(config_failure(shape, same), HasSubstr("expected 1 with a codebook"));
    shape.patch_size = 1;
    EXPECT_EQ(config_failure(shape, same), "");
}

} // namespace
} // namespace tessera::blocks
