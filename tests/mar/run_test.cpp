// Invariants of sampling runs: batching, threads, paths, step budgets, given tokens.
#include "run_checks.hpp"

#include <gmock/gmock.h>

#include <cmath>

namespace tessera::blocks {
namespace {

golden::SyntheticMar test_shape(int local_kernel) {
    golden::SyntheticMar shape;
    shape.img_size = 40; // 5 x 5 tokens
    shape.local_kernel = local_kernel;
    shape.decoder_depth = 3;
    return shape;
}

// The parameter is the `local_kernel` of the model.
class RunTest : public testing::TestWithParam<int> {
  protected:
    void SetUp() override {
        path_ = directory_ / "model.safetensors";
        ASSERT_TRUE(golden::write_synthetic(path_, mar_file(test_shape(GetParam()))));
    }
    static RunSpec spec(std::vector<std::int64_t> labels) {
        RunSpec spec;
        spec.labels = std::move(labels);
        spec.steps = 6;
        spec.diffusion.guidance = 2.5;
        spec.diffusion.temperature = 0.9;
        spec.diffusion.denoise_steps = "7";
        spec.seed = 42;
        return spec;
    }

    TemporaryDirectory directory_;
    std::string path_;
};

INSTANTIATE_TEST_SUITE_P(LocalKernel, RunTest, testing::Values(0, 3), [](const auto &test) {
    return test.param == 0 ? "without" : "window_of_3";
});

TEST_P(RunTest, AnImageIsTheSameAloneAndInABatch) {
    const TestDevice device(2);
    for (const tessera_dtype precision : {TESSERA_DTYPE_F32, TESSERA_DTYPE_BF16}) {
        const mar::MarModel model = load_mar(device, path_, precision);
        const std::vector<float> batch = sample(device, model, spec({1, 1, 1}));
        const std::size_t size = batch.size() / 3;
        for (std::size_t image = 0; image < 3; ++image) {
            RunSpec alone = spec({1});
            alone.first_image = static_cast<std::uint32_t>(image);
            EXPECT_EQ(sample(device, model, alone),
                      std::vector<float>(batch.begin() + static_cast<std::ptrdiff_t>(image * size),
                                         batch.begin() +
                                             static_cast<std::ptrdiff_t>((image + 1) * size)));
        }
        for (const float value : batch) ASSERT_TRUE(std::isfinite(value));
    }
}

TEST_P(RunTest, ThreadsDoNotChangeABit) {
    const TestDevice one(1);
    const TestDevice two(2);
    const TestDevice five(5);
    const auto tokens = [&](const TestDevice &device) {
        return sample(device, load_mar(device, path_), spec({0, 3}));
    };
    const std::vector<float> expected = tokens(one);
    EXPECT_EQ(tokens(two), expected);
    EXPECT_EQ(tokens(five), expected);
}

TEST_P(RunTest, TheFusedChainAgreesWithBaseOperations) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    for (const double guidance : {1.0, 2.5}) {
        RunSpec best = spec({1, 2});
        best.diffusion.guidance = guidance;
        expect_paths_agree(device, model, best);
    }
}

TEST_P(RunTest, SeedsStreamsAndSettingsMatter) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    const std::vector<float> reference = sample(device, model, spec({1}));
    EXPECT_EQ(sample(device, model, spec({1})), reference);
    RunSpec other = spec({1});
    other.seed = 43;
    EXPECT_NE(sample(device, model, other), reference);
    other = spec({2});
    EXPECT_NE(sample(device, model, other), reference);
    other = spec({1});
    other.diffusion.temperature = 0.5;
    EXPECT_NE(sample(device, model, other), reference);
    other = spec({1});
    other.first_image = 1;
    EXPECT_NE(sample(device, model, other), reference);
}

TEST_P(RunTest, WithoutAClassGuidanceChangesNothing) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    RunSpec guided = spec({-1});
    RunSpec plain = guided;
    plain.diffusion.guidance = 1.0;
    EXPECT_EQ(sample(device, model, guided), sample(device, model, plain));
}

TEST_P(RunTest, MoreStepsThanTokensCountAsOneTokenAStep) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    RunSpec exact = spec({1});
    exact.steps = 25;
    RunSpec many = exact;
    many.steps = 1000;
    EXPECT_EQ(sample(device, model, many), sample(device, model, exact));
}

TEST_P(RunTest, GivenTokensStayBitForBitAndAreSeen) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    const std::int64_t tokens = model.config.tokens(), width = model.config.token_width();
    std::vector<float> given(static_cast<std::size_t>(tokens * width));
    for (std::size_t i = 0; i < given.size(); ++i) given[i] = 0.01f * static_cast<float>(i % 97);
    const sdk::Tensor source =
        device.compute.to_device(sdk::host_view(given.data(), {1, tokens, width}));
    RunSpec completion = spec({1, 1});
    completion.known.assign(static_cast<std::size_t>(tokens), 0);
    for (const int i : {0, 1, 7, 12, 24}) completion.known[i] = 1;

    TokenRun run(device.compute, model, completion);
    run.give(source);
    while (!run.is_done()) {
        if (!run.run_unit()) continue;
        const std::vector<float> now = to_host(device.compute, run.tokens());
        for (int image = 0; image < 2; ++image) {
            for (std::int64_t token = 0; token < tokens; ++token) {
                if (completion.known[token] == 0) continue;
                EXPECT_EQ(run.cells(image)[token], TESSERA_CELL_GIVEN);
                for (std::int64_t i = 0; i < width; ++i) {
                    EXPECT_EQ(now[(image * tokens + token) * width + i], given[token * width + i]);
                }
            }
        }
    }
    // Other given values lead to another picture: the encoder sees them.
    const std::vector<float> first = to_host(device.compute, run.tokens());
    for (float &value : given) value = -value;
    const sdk::Tensor opposite =
        device.compute.to_device(sdk::host_view(given.data(), {1, tokens, width}));
    TokenRun again(device.compute, model, completion);
    again.give(opposite);
    const std::vector<float> second = finish(device, again);
    EXPECT_NE(first[2 * width], second[2 * width]);
}

TEST_P(RunTest, EverythingGivenLeavesNothingToDo) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    RunSpec all = spec({1});
    all.known.assign(25, 1);
    TokenRun run(device.compute, model, all);
    EXPECT_TRUE(run.is_done());
    EXPECT_EQ(run.step_count(), 0);
}

TEST_P(RunTest, UnitsAllocateNothingOnTheDevice) {
    const TestDevice device(1, true);
    const mar::MarModel model = load_mar(device, path_);
    for (const auto path : {DenoiseChain::Path::kBest, DenoiseChain::Path::kBaseOperations}) {
        RunSpec checked = spec({1, 2});
        checked.path = path;
        TokenRun run(device.compute, model, checked);
        device.compute.synchronize();
        device.owner.set_stepping(true);
        while (!run.is_done()) run.run_unit();
        EXPECT_NO_THROW(device.compute.synchronize());
        device.owner.set_stepping(false);
    }
}

TEST_P(RunTest, ADecoderOfOneBlock) {
    golden::SyntheticMar shape = test_shape(GetParam());
    shape.decoder_depth = shape.encoder_depth = 1;
    ASSERT_TRUE(golden::write_synthetic(path_, mar_file(shape)));
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    for (const float value : sample(device, model, spec({0}))) ASSERT_TRUE(std::isfinite(value));
}

TEST_P(RunTest, AMixOfClassesGoesFromOneToTheOther) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    const auto mixed = [&](std::int64_t label, ClassMix mix) {
        RunSpec run = spec({label});
        run.mix = mix;
        return sample(device, model, run);
    };
    EXPECT_EQ(mixed(1, {.label = 3, .weight = 0.0f}), mixed(1, {}));
    EXPECT_EQ(mixed(1, {.label = 3, .weight = 1.0f}), mixed(3, {}));
    EXPECT_EQ(mixed(1, {.label = -1, .weight = 1.0f}), mixed(-1, {}));
    EXPECT_EQ(mixed(1, {.label = 3, .weight = 0.25f}), mixed(3, {.label = 1, .weight = 0.75f}));
    EXPECT_NE(mixed(1, {.label = 3, .weight = 0.25f}), mixed(1, {}));
    EXPECT_NE(mixed(1, {.label = 3, .weight = 0.25f}), mixed(1, {.label = 3, .weight = 0.5f}));
}

TEST_P(RunTest, AWatchedTokenShowsItsChainAndChangesNothing) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    const std::vector<float> expected = sample(device, model, spec({1, 2}));
    const std::int64_t width = model.config.token_width();
    for (const std::int32_t watched : {0, 7, 24}) {
        RunSpec watching = spec({1, 2});
        watching.watched = watched;
        TokenRun run(device.compute, model, watching);
        int chains = 0;
        while (!run.is_done()) {
            if (!run.run_unit()) continue;
            const sdk::View chain = run.watched_chain();
            const bool made =
                run.cells(0)[static_cast<std::size_t>(watched)] == TESSERA_CELL_CHANGED;
            ASSERT_EQ(chain.data != nullptr, made) << "after step " << run.steps_done();
            if (!made) continue;
            ++chains;
            ASSERT_EQ(chain.shape[0], 7 + 1);
            ASSERT_EQ(chain.shape[1], width);
            device.compute.synchronize();
            const auto *values = static_cast<const float *>(chain.data);
            const std::vector<float> last(values + 7 * width, values + 8 * width);
            const float *const token = expected.data() + watched * width;
            EXPECT_EQ(last, std::vector<float>(token, token + width));
            for (std::int64_t k = 0; k < 7; ++k) {
                EXPECT_FALSE(std::equal(values + k * width, values + (k + 1) * width,
                                        values + (k + 1) * width))
                    << "reverse step " << k;
            }
        }
        EXPECT_EQ(chains, 1);
        EXPECT_EQ(to_host(device.compute, run.tokens()), expected);
    }
}

} // namespace
} // namespace tessera::blocks
