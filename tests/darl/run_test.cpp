// Runs of DARL: the cache, causality, orders, grids it was not trained at, both heads and contexts.
#include "tests/blocks/test_device.hpp"
#include "tests/darl/test_model.hpp"

#include "blocks/pictures/patches.hpp"
#include "blocks/shell/token_run.hpp"
#include "darl/backbone.hpp"
#include "darl/patch_sampler.hpp"

#include <gmock/gmock.h>

#include <cmath>

namespace tessera::darl {
namespace {

using blocks::failure_of;
using blocks::RunSpec;
using blocks::TemporaryDirectory;
using blocks::TestDevice;
using blocks::to_host;
using testing::ElementsAre;
using testing::HasSubstr;

// A run that never finds keys and values of earlier steps.
class Forgetful final : public blocks::SetModel {
  public:
    explicit Forgetful(const DarlModel &model) : model_(model) {}
    [[nodiscard]] blocks::TokenGrid grid() const override { return model_.grid(); }
    [[nodiscard]] std::unique_ptr<blocks::SetNetwork>
    network(const sdk::Compute &compute, const RunSpec &spec, std::int64_t batch) const override {
        return std::make_unique<Network>(compute, model_, spec.grid, batch);
    }
    [[nodiscard]] std::unique_ptr<blocks::TokenSampler>
    sampler(const sdk::Compute &compute, blocks::SamplerSpec spec) const override {
        return model_.sampler(compute, std::move(spec));
    }
    [[nodiscard]] std::vector<std::int32_t> order(const RunSpec &spec, int image) const override {
        return model_.order(spec, image);
    }
    [[nodiscard]] double guidance(const RunSpec &spec, std::int32_t token,
                                  int unknown) const override {
        return model_.guidance(spec, token, unknown);
    }

  private:
    class Network final : public blocks::SetNetwork {
      public:
        Network(const sdk::Compute &compute, const DarlModel &model, const blocks::TokenGrid &grid,
                std::int64_t batch)
            : inner_(compute, model, grid, batch) {}
        void set_class(std::int64_t entry, std::int64_t label,
                       const blocks::ClassMix &mix) override {
            inner_.set_class(entry, label, mix);
        }
        void embed(const sdk::View &tokens, std::span<const std::int32_t> positions,
                   std::int64_t images, std::int64_t first) override {
            inner_.embed(tokens, positions, images, first);
        }
        void start(std::span<const std::int32_t> known,
                   std::span<const std::int32_t> wanted) override {
            inner_.forget();
            inner_.start(known, wanted);
        }
        [[nodiscard]] int unit_count() const override { return inner_.unit_count(); }
        [[nodiscard]] double unit_flops(int unit) const override { return inner_.unit_flops(unit); }
        void run_unit(int unit) override { inner_.run_unit(unit); }
        [[nodiscard]] sdk::View conditions() const override { return inner_.conditions(); }
        [[nodiscard]] double flops(std::int64_t known, std::int64_t wanted) const override {
            return inner_.flops(known, wanted);
        }

      private:
        Backbone inner_;
    };
    const DarlModel &model_;
};

class DarlRunTest : public testing::Test {
  protected:
    DarlModel load(const TestShape &shape, tessera_dtype precision = TESSERA_DTYPE_F32) {
        const std::string path = directory_ / "model.safetensors";
        EXPECT_TRUE(golden::write_synthetic(path, darl_file(shape)));
        const sdk::Weights weights(device_.plugin_host, path);
        const auto config =
            DarlConfig::read(blocks::Config::parse(weights.metadata("config").value(), path));
        blocks::WeightLoader loader(weights, device_.compute);
        return loader.run(
            [&](blocks::WeightLoader &l) { return DarlModel::load(config, l, precision); });
    }
    static RunSpec spec(const DarlModel &model, std::vector<std::int64_t> labels) {
        RunSpec spec;
        spec.grid = model.grid();
        spec.labels = std::move(labels);
        spec.steps = static_cast<int>(spec.grid.tokens());
        spec.diffusion.guidance = 2.5;
        spec.diffusion.integrator = blocks::Integrator::kAncestral;
        spec.diffusion.level_count = 4;
        spec.seed = 42;
        return spec;
    }
    std::vector<float> sample(const blocks::SetModel &model, const RunSpec &spec,
                              const std::vector<float> &given = {}) {
        blocks::TokenRun run(device_.compute, model, spec);
        sdk::Tensor tokens;
        if (!given.empty()) {
            tokens = device_.compute.to_device(
                sdk::host_view(given.data(), {1, spec.grid.tokens(), spec.grid.token_width()}));
            run.give(tokens);
        }
        while (!run.is_done()) run.run_unit();
        return to_host(device_.compute, run.tokens());
    }

    TestDevice device_{1, /*checked=*/true};
    TemporaryDirectory directory_;
};

TEST_F(DarlRunTest, TheCacheChangesNoBit) {
    for (const int nested : {0, 2}) {
        const DarlModel model = load({.nested = nested});
        const RunSpec wanted = spec(model, {0, 2});
        EXPECT_EQ(sample(model, wanted), sample(Forgetful(model), wanted)) << "nested " << nested;
    }
}

TEST_F(DarlRunTest, AnImageIsTheSameAloneAndInABatch) {
    for (const tessera_dtype precision : {TESSERA_DTYPE_F32, TESSERA_DTYPE_BF16}) {
        const DarlModel model = load({}, precision);
        const std::vector<float> batch = sample(model, spec(model, {1, 1}));
        for (std::size_t image = 0; image < 2; ++image) {
            RunSpec alone = spec(model, {1});
            alone.first_image = static_cast<std::uint32_t>(image);
            const auto from = batch.begin() + static_cast<std::ptrdiff_t>(image * batch.size() / 2);
            EXPECT_EQ(
                sample(model, alone),
                std::vector<float>(from, from + static_cast<std::ptrdiff_t>(batch.size() / 2)));
        }
    }
}

TEST_F(DarlRunTest, APatchDependsOnlyOnThoseBeforeIt) {
    const DarlModel model = load({.nested = 2});
    const blocks::TokenGrid grid = model.grid();
    RunSpec wanted = spec(model, {1});
    wanted.known.assign(static_cast<std::size_t>(grid.tokens()), 0);
    const std::vector<std::int32_t> order = sequence(grid, 2);
    const auto given_token = static_cast<std::size_t>(order[6]);
    wanted.known[given_token] = 1;
    const auto width = static_cast<std::size_t>(grid.token_width());
    std::vector<float> given(static_cast<std::size_t>(grid.tokens()) * width, 0.25f);
    const std::vector<float> first = sample(model, wanted, given);
    given.assign(given.size(), -0.5f);
    const std::vector<float> second = sample(model, wanted, given);
    for (std::size_t place = 0; place < order.size(); ++place) {
        const auto at = static_cast<std::ptrdiff_t>(static_cast<std::size_t>(order[place]) * width);
        const bool same =
            std::equal(first.begin() + at, first.begin() + at + static_cast<std::ptrdiff_t>(width),
                       second.begin() + at);
        EXPECT_EQ(same, place < 6) << "place " << place;
    }
    EXPECT_EQ(first[given_token * width], 0.25f);
}

TEST_F(DarlRunTest, RunsAtGridsItWasNotTrainedAt) {
    const DarlModel model = load({.nested = 2});
    RunSpec wanted = spec(model, {0});
    wanted.grid.rows = 1;
    wanted.grid.columns = 7;
    wanted.steps = 7;
    const std::vector<float> wide = sample(model, wanted);
    EXPECT_EQ(wide.size(), 7u * 48u);
    for (const float value : wide) EXPECT_LE(std::abs(value), 1.0f); // clamped
    // The first patch knows nothing of the grid, only of the start token and its own noise.
    RunSpec trained = spec(model, {0});
    trained.diffusion.guidance = wanted.diffusion.guidance = 1.0;
    const std::vector<float> plain = sample(model, trained), other = sample(model, wanted);
    EXPECT_TRUE(std::equal(plain.begin(), plain.begin() + 48, other.begin()));
}

TEST_F(DarlRunTest, NestedOrderGoesBlockByBlock) {
    blocks::TokenGrid grid;
    grid.rows = 3;
    grid.columns = 5;
    EXPECT_THAT(sequence(grid, 2), ElementsAre(0, 1, 5, 6, 2, 3, 7, 8, 4, 9, 10, 11, 12, 13, 14));
    EXPECT_THAT(sequence(grid, 0), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14));
}

TEST_F(DarlRunTest, ScoresDependOnDistancesOnly) {
    for (std::int64_t pair = 0; pair < 8; ++pair) {
        const double here = rotary_angle(3, 4, pair, 16, 1e4) - rotary_angle(1, 6, pair, 16, 1e4);
        const double there = rotary_angle(9, 5, pair, 16, 1e4) - rotary_angle(7, 7, pair, 16, 1e4);
        EXPECT_NEAR(here, there, 1e-12);
    }
}

TEST_F(DarlRunTest, EachHeadWorksAlone) {
    const DarlModel means = load({.samples = false});
    RunSpec wanted = spec(means, {1});
    EXPECT_THAT(failure_of([&] { sample(means, wanted); }), HasSubstr("no patch_decoder"));
    wanted.diffusion.integrator = blocks::Integrator::kMean;
    wanted.diffusion.level_count = 1;
    const std::vector<float> mean = sample(means, wanted);
    wanted.seed = 43;
    EXPECT_EQ(sample(means, wanted), mean) << "a mean has no noise";
    const DarlModel samples = load({.means = false});
    EXPECT_THAT(failure_of([&] { sample(samples, wanted); }), HasSubstr("no linear head"));
    EXPECT_NE(sample(samples, spec(samples, {1})), mean);
}

TEST_F(DarlRunTest, EverySolverEndsAtTheSameMeanWithoutNoiseToFollow) {
    const DarlModel model = load({});
    RunSpec wanted = spec(model, {1});
    wanted.diffusion.level_count = 1; // one evaluation at pure noise: its x0 is the result
    std::vector<std::vector<float>> all;
    for (const auto integrator :
         {blocks::Integrator::kAncestral, blocks::Integrator::kDdim, blocks::Integrator::kDpm2m}) {
        wanted.diffusion.integrator = integrator;
        all.push_back(sample(model, wanted));
    }
    EXPECT_EQ(all[0], all[1]);
    EXPECT_EQ(all[1], all[2]);
}

TEST_F(DarlRunTest, WrongFilesAreNamed) {
    const auto loading = [&](const TestShape &shape, const char *drop) {
        return failure_of([&] {
            golden::SyntheticFile file = darl_file(shape);
            std::erase_if(file.tensors, [&](const auto &tensor) { return tensor.name == drop; });
            const std::string path = directory_ / "wrong.safetensors";
            ASSERT_TRUE(golden::write_synthetic(path, file));
            const sdk::Weights weights(device_.plugin_host, path);
            const auto config =
                DarlConfig::read(blocks::Config::parse(*weights.metadata("config"), path));
            blocks::WeightLoader loader(weights, device_.compute);
            static_cast<void>(loader.run([&](blocks::WeightLoader &l) {
                return DarlModel::load(config, l, TESSERA_DTYPE_F32);
            }));
        });
    };
    EXPECT_THAT(loading({}, "blocks.1.attn.qkv.weight"),
                HasSubstr("'blocks.1.attn.qkv.weight' (96, 32) is missing"));
    EXPECT_THAT(loading({.heads = 3}, ""), HasSubstr("'heads' is 3 for a width of 32"));
    EXPECT_THAT(loading({.columns = 18}, ""), HasSubstr("'width_px' is 18, no multiple"));
    EXPECT_THAT(loading({.nested = 2}, "target_places"), HasSubstr("'target_places' (4, 32)"));
}

TEST(LevelStepsTest, DdimOfAKnownPatchFollowsIt) {
    // Where the evaluation is the clean number itself, the state is alpha x0 + sigma noise at every
    // level, and x0 at the end.
    const double x0 = 0.3, noise = -1.2;
    for (const auto integrator : {blocks::Integrator::kDdim, blocks::Integrator::kDpm2m}) {
        const auto steps = blocks::level_steps({-10.0, 6.0}, 9, integrator, 0.0, 1.0);
        const auto state = [&](double level) {
            return std::sqrt(1 / (1 + std::exp(-level))) * x0 +
                   std::sqrt(1 / (1 + std::exp(level))) * noise;
        };
        double x = state(steps.front().level);
        for (std::size_t j = 0; j < steps.size(); ++j) {
            EXPECT_NEAR(x, state(steps[j].level), 1e-5);
            const tessera_reverse &r = steps[j].reverse;
            EXPECT_EQ(r.noise_scale, 0.0f);
            x = static_cast<double>(r.state_scale) * x +
                static_cast<double>(r.clean_scale + r.kept_scale) * x0;
        }
        EXPECT_NEAR(x, x0, 1e-6);
    }
}

} // namespace
} // namespace tessera::darl
