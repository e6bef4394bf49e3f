// Sets that leave rows out: exact when everything is kept, near when not, and the same bytes for
// any batch and any number of threads.
#include "run_checks.hpp"

#include "mar/towers.hpp"

#include <cmath>
#include <cstdio>
#include <numeric>

namespace tessera::blocks {
namespace {

constexpr int kRefresh = 9;

class TokenCacheTest : public testing::Test {
  protected:
    void SetUp() override { write({}); }
    void write(golden::SyntheticMar shape) {
        shape.img_size = 64; // 8 x 8 tokens
        shape.encoder_depth = 3;
        shape.decoder_depth = shape.decoder_depth == 2 ? 6 : shape.decoder_depth;
        ASSERT_TRUE(golden::write_synthetic(path_, mar_file(shape)));
    }
    static RunSpec spec(int refresh, double share, std::vector<std::int64_t> labels = {1}) {
        RunSpec spec;
        spec.labels = std::move(labels);
        spec.steps = 24;
        spec.diffusion.guidance = 2.5;
        spec.diffusion.denoise_steps = "ddim5";
        spec.diffusion.token_refresh = refresh;
        spec.diffusion.token_share = share;
        spec.seed = 7;
        return spec;
    }
    // Root of the mean square of what two runs differ by, over that of the first.
    static double deviation(const std::vector<float> &exact, const std::vector<float> &other) {
        double difference = 0.0, size = 0.0;
        for (std::size_t i = 0; i < exact.size(); ++i) {
            difference += std::pow(static_cast<double>(exact[i]) - other[i], 2);
            size += std::pow(static_cast<double>(exact[i]), 2);
        }
        return std::sqrt(difference / size);
    }

    TemporaryDirectory directory_;
    const std::string path_ = directory_ / "model.safetensors";
};

TEST_F(TokenCacheTest, WithEverythingKeptItIsTheFullRun) {
    const TestDevice device(2);
    golden::SyntheticMar local, shallow, one_block;
    local.local_kernel = 3;
    shallow.decoder_depth = 3;
    one_block.decoder_depth = 1; // which has nothing to leave out
    for (const golden::SyntheticMar &shape : {golden::SyntheticMar{}, local, shallow, one_block}) {
        write(shape);
        for (const tessera_dtype precision : {TESSERA_DTYPE_F32, TESSERA_DTYPE_BF16}) {
            const mar::MarModel model = load_mar(device, path_, precision);
            EXPECT_EQ(sample(device, model, spec(kRefresh, 1.0, {1, 2})),
                      sample(device, model, spec(1, 0.0, {1, 2})))
                << "local " << shape.local_kernel << ", depth " << shape.decoder_depth;
        }
    }
}

// A seam moves every token, and known tokens are given before the first set.
TEST_F(TokenCacheTest, WhatMovesAllTokensComputesAllOfThem) {
    const TestDevice device(2);
    const mar::MarModel model = load_mar(device, path_);
    const std::vector<float> given(64 * 4, 0.25F);
    const auto tokens = [&](int refresh) {
        RunSpec own = spec(refresh, 1.0);
        own.seamless = true;
        own.known.assign(64, 0);
        for (std::size_t i = 0; i < 12; ++i) own.known[i] = 1;
        TokenRun run(device.compute, model, own);
        run.give(device.compute.to_device(sdk::host_view(given.data(), {1, 64, 4})));
        return finish(device, run);
    };
    EXPECT_EQ(tokens(kRefresh), tokens(1));
}

TEST_F(TokenCacheTest, LeavesOutWhatMovedLeast) {
    const TestDevice device(2);
    const mar::MarModel model = load_mar(device, path_);
    const std::vector<float> exact = sample(device, model, spec(1, 0.0));
    const double sparing = deviation(exact, sample(device, model, spec(kRefresh, 0.05)));
    const double half = deviation(exact, sample(device, model, spec(kRefresh, 0.8)));
    EXPECT_GT(sparing, 0.0);
    EXPECT_LT(sparing, 0.1);
    EXPECT_LT(half, sparing);
    // Next to the cache of guidance, whose whole sets stay exact.
    RunSpec both = spec(kRefresh, 0.05);
    both.diffusion.guidance_refresh = kRefresh;
    RunSpec guidance = spec(1, 0.0);
    guidance.diffusion.guidance_refresh = kRefresh;
    const std::vector<float> refreshed = sample(device, model, guidance);
    EXPECT_LT(deviation(refreshed, sample(device, model, both)), 0.1);
}

TEST_F(TokenCacheTest, BatchesAndThreadsDoNotChangeABit) {
    const TestDevice one(1);
    const TestDevice three(3);
    for (const int guidance_refresh : {1, 4}) {
        const auto spec_of = [&](std::vector<std::int64_t> labels) {
            RunSpec own = spec(kRefresh, 0.05, std::move(labels));
            own.diffusion.guidance_refresh = guidance_refresh;
            return own;
        };
        const std::vector<float> batch = sample(three, load_mar(three, path_), spec_of({2, 1}));
        RunSpec second = spec_of({1});
        second.first_image = 1;
        const std::vector<float> alone = sample(one, load_mar(one, path_), second);
        EXPECT_EQ(alone,
                  std::vector<float>(batch.end() - std::ptrdiff_t(alone.size()), batch.end()));
    }
}

// Small enough for the double of a GPU.
TEST_F(TokenCacheTest, ASmallRunOnAnyDevice) {
    golden::SyntheticMar shape; // 4 x 4 tokens
    shape.decoder_depth = 3;
    ASSERT_TRUE(golden::write_synthetic(path_, mar_file(shape)));
    const TestDevice device;
    const mar::MarModel model = load_mar(device, path_);
    const auto tokens = [&](int refresh, double share) {
        RunSpec own = spec(refresh, share);
        own.steps = 8;
        own.diffusion.denoise_steps = "ddim2";
        return sample(device, model, own);
    };
    const std::vector<float> exact = tokens(1, 0.0);
    EXPECT_EQ(tokens(kRefresh, 1.0), exact);
    const double off = deviation(exact, tokens(kRefresh, 0.05));
    EXPECT_GT(off, 0.0);
    EXPECT_LT(off, 0.1);
}

// What the README of the generator says of a trained model, next to what rounding weights costs.
TEST_F(TokenCacheTest, ATrainedModelStaysNear) {
    const TestDevice device(2);
    const std::string path =
        TESSERA_SOURCE_DIR "/plugins/models/materials_mar_latents/generator.safetensors";
    const mar::MarModel model = load_mar(device, path);
    const auto spec_of = [](int token_refresh, int guidance_refresh) {
        RunSpec own = spec(token_refresh, 0.05, {1, 5, 12, 20});
        own.steps = 12; // with what the model recommends
        own.diffusion.schedule = GuidanceSchedule::kConstant;
        own.diffusion.temperature = 1.1;
        own.diffusion.denoise_steps = "ddim25";
        own.diffusion.annealing = Annealing::kCosine;
        own.diffusion.last_denoise_steps = 5;
        own.diffusion.tokens = {-12.0, 12.0};
        own.diffusion.guidance_refresh = guidance_refresh;
        return own;
    };
    const std::vector<float> exact = sample(device, model, spec_of(1, 1));
    const auto measure = [&](const char *what, const std::vector<float> &tokens) {
        const double found = deviation(exact, tokens);
        std::printf("%-34s %.2f%% of the tokens' RMS\n", what, 100.0 * found);
        return found;
    };
    const mar::MarModel rounded = load_mar(device, path, TESSERA_DTYPE_BF16);
    EXPECT_LT(measure("bf16", sample(device, rounded, spec_of(1, 1))), 0.01);
    EXPECT_LT(measure("guidance_refresh 9", sample(device, model, spec_of(1, 9))), 0.15);
    EXPECT_LT(measure("token_refresh 9", sample(device, model, spec_of(9, 1))), 0.15);
    EXPECT_LT(measure("both", sample(device, model, spec_of(9, 9))), 0.15);
}

// The work that units say they do, which budgets are kept by, falls to what is left.
TEST_F(TokenCacheTest, SetsInBetweenAreShort) {
    const TestDevice device;
    const mar::MarModel model = load_mar(device, path_);
    mar::Towers towers(device.compute, model, 1, {kRefresh, 0.05});
    towers.set_class(0, 1, {});
    std::vector<std::int32_t> all(64);
    std::iota(all.begin(), all.end(), 0);
    const std::vector<float> tokens(64 * 4, 0.5F);
    const sdk::Tensor on_device =
        device.compute.to_device(sdk::host_view(tokens.data(), {1, 64, 4}));
    towers.embed(on_device, all, 1, 0);
    const auto work = [&](std::size_t known) {
        towers.start(std::span(all).first(known), std::span(all).subspan(known, 2));
        double sum = 0.0;
        for (int i = 0; i < towers.unit_count(); ++i) {
            sum += towers.unit_flops(i);
            towers.run_unit(i);
        }
        return sum;
    };
    const double whole = work(30);
    const double between = work(32);
    EXPECT_LT(between, 0.7 * whole);
    for (std::size_t known = 34; known < 32 + 2 * (kRefresh - 1); known += 2)
        EXPECT_LT(work(known), 0.8 * whole) << known;
    EXPECT_GT(work(48), whole);         // the next one that computes all
    towers.embed(on_device, all, 1, 0); // tokens that were seen
    EXPECT_GT(work(50), whole);
}

} // namespace
} // namespace tessera::blocks
