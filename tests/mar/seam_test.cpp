// Seamless runs: which tokens are made again and where the model sees them, what stays, and
// decoding that wraps around.
#include "run_checks.hpp"

#include <gmock/gmock.h>

namespace tessera::blocks {
namespace {

using testing::ElementsAre;

std::vector<int> wanted_tokens(const SeamRound &round) {
    std::vector<int> tokens;
    for (std::size_t i = 0; i < round.wanted.size(); ++i) {
        if (round.wanted[i] != 0) tokens.push_back(static_cast<int>(i));
    }
    return tokens;
}

TEST(SeamRounds, ACrossThenItsEnds) {
    //  0  1  2  3    in the middle of the rolled grid    10 11  8  9
    //  4  5  6  7    lies what surrounds the corners     14 15 12 13
    //  8  9 10 11                                         2  3  0  1
    // 12 13 14 15                                         6  7  4  5
    const std::vector<SeamRound> rounds = seam_rounds(4, 8, {});
    ASSERT_EQ(rounds.size(), 3u);
    EXPECT_EQ(rounds[0].roll_y, 2);
    EXPECT_EQ(rounds[0].roll_x, 2);
    EXPECT_THAT(wanted_tokens(rounds[0]), ElementsAre(0, 3, 12, 15));
    EXPECT_EQ(rounds[1].roll_y, 2);
    EXPECT_EQ(rounds[1].roll_x, 0);
    EXPECT_THAT(wanted_tokens(rounds[1]), ElementsAre(1, 2, 13, 14));
    EXPECT_EQ(rounds[2].roll_y, 0);
    EXPECT_EQ(rounds[2].roll_x, 2);
    EXPECT_THAT(wanted_tokens(rounds[2]), ElementsAre(4, 7, 8, 11));
    for (const SeamRound &round : rounds) EXPECT_EQ(round.steps.size(), 2u); // a quarter each
}

// Every border token is made again once, no other token is, and no wanted token lies on the border
// of the grid as the model sees it: there it would not see its neighbours across the wrap.
TEST(SeamRounds, MakeTheWholeBorderAndSeeItInTheMiddle) {
    for (const int side : {4, 5, 8, 9, 16}) {
        std::vector<int> times(static_cast<std::size_t>(side * side));
        for (const SeamRound &round : seam_rounds(side, 12, {})) {
            std::vector<int> seen(times.size());
            for (std::int32_t token = 0; token < side * side; ++token) {
                const std::int32_t at = rolled(token, side, round);
                ++seen[static_cast<std::size_t>(at)];
                if (round.wanted[static_cast<std::size_t>(token)] == 0) continue;
                ++times[static_cast<std::size_t>(token)];
                EXPECT_TRUE(at % side > 0 && at % side + 1 < side && at / side > 0 &&
                            at / side + 1 < side)
                    << side << ": " << token << " at " << at;
            }
            EXPECT_THAT(seen, testing::Each(1));
            EXPECT_EQ(round.steps.front().unknown_before,
                      static_cast<int>(wanted_tokens(round).size()));
        }
        for (int token = 0; token < side * side; ++token) {
            const int y = token / side, x = token % side;
            const bool border = y == 0 || x == 0 || y + 1 == side || x + 1 == side;
            EXPECT_EQ(times[static_cast<std::size_t>(token)], border ? 1 : 0)
                << side << ": " << token;
        }
    }
}

TEST(SeamRounds, KnownTokensStayAndSmallGridsHaveNone) {
    std::vector<std::uint8_t> known(16, 0);
    known[0] = known[4] = known[7] = known[8] = known[11] = 1;
    const std::vector<SeamRound> rounds = seam_rounds(4, 4, known);
    ASSERT_EQ(rounds.size(), 2u); // nothing is left of the third
    EXPECT_THAT(wanted_tokens(rounds[0]), ElementsAre(3, 12, 15));
    EXPECT_EQ(rounds[0].steps.size(), 1u);
    for (const int side : {1, 2, 3}) EXPECT_TRUE(seam_rounds(side, 8, {}).empty());
}

// The parameter is the `local_kernel` of the model.
class SeamlessRunTest : public testing::TestWithParam<int> {
  protected:
    void SetUp() override {
        golden::SyntheticMar shape;
        shape.img_size = 40; // 5 x 5 tokens
        shape.local_kernel = GetParam();
        path_ = directory_ / "model.safetensors";
        ASSERT_TRUE(golden::write_synthetic(path_, mar_file(shape)));
    }
    static RunSpec spec(std::vector<std::int64_t> labels) {
        RunSpec spec;
        spec.labels = std::move(labels);
        spec.steps = 8;
        spec.diffusion.guidance = 2.0;
        spec.diffusion.denoise_steps = "5";
        spec.seed = 11;
        spec.seamless = true;
        return spec;
    }

    TemporaryDirectory directory_;
    std::string path_;
};

INSTANTIATE_TEST_SUITE_P(LocalKernel, SeamlessRunTest, testing::Values(0, 3), [](const auto &test) {
    return test.param == 0 ? "without" : "window_of_3";
});

TEST_P(SeamlessRunTest, OnlyTheBorderChangesAfterAnOrdinaryRun) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    RunSpec plain = spec({1, 2});
    plain.seamless = false;
    const std::vector<float> before = sample(device, model, plain);

    TokenRun run(device.compute, model, spec({1, 2}));
    EXPECT_EQ(run.plan().size(), 8);
    EXPECT_EQ(run.step_count(), 8 + 3 + 1 + 1); // shares of 8, 4 and 4 of the 25 tokens
    while (run.steps_done() < run.plan().size()) run.run_unit();
    EXPECT_EQ(to_host(device.compute, run.tokens()), before);
    std::vector<int> changes(50);
    while (!run.is_done()) {
        if (!run.run_unit()) continue;
        for (int image = 0; image < 2; ++image) {
            for (int token = 0; token < 25; ++token) {
                const std::uint8_t cell = run.cells(image)[token];
                EXPECT_TRUE(cell == TESSERA_CELL_CHANGED || cell == TESSERA_CELL_KNOWN);
                if (cell == TESSERA_CELL_CHANGED) ++changes[image * 25 + token];
            }
        }
    }
    const std::vector<float> after = to_host(device.compute, run.tokens());
    const std::int64_t width = model.config.token_width();
    for (int i = 0; i < 50; ++i) {
        const int y = i % 25 / 5, x = i % 5;
        const bool border = y == 0 || x == 0 || y == 4 || x == 4;
        const auto first = static_cast<std::ptrdiff_t>(i * width);
        EXPECT_EQ(std::equal(after.begin() + first, after.begin() + first + width,
                             before.begin() + first),
                  !border)
            << i;
        EXPECT_EQ(changes[i], border ? 1 : 0) << i;
    }
}

TEST_P(SeamlessRunTest, TheSameAloneInABatchOnAnyThreadsAndByBaseOperations) {
    const TestDevice one(1);
    const TestDevice three(3);
    const mar::MarModel model = load_mar(one, path_);
    const std::vector<float> batch = sample(one, model, spec({1, 1}));
    RunSpec second = spec({1});
    second.first_image = 1;
    EXPECT_EQ(sample(one, model, second),
              std::vector<float>(batch.begin() + static_cast<std::ptrdiff_t>(batch.size() / 2),
                                 batch.end()));
    EXPECT_EQ(sample(three, load_mar(three, path_), spec({1, 1})), batch);
}

TEST_P(SeamlessRunTest, GivenTokensStay) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    const std::int64_t width = model.config.token_width();
    const std::vector<float> given(static_cast<std::size_t>(25 * width), 0.25f);
    RunSpec completion = spec({1});
    completion.known.assign(25, 1);
    completion.known[2] = completion.known[22] = 0; // the middles of the first and last row
    TokenRun run(device.compute, model, completion);
    EXPECT_EQ(run.step_count(), 2 + 1); // one round, of two tokens
    run.give(device.compute.to_device(sdk::host_view(given.data(), {1, 25, width})));
    const std::vector<float> result = finish(device, run);
    for (std::int64_t i = 0; i < 25 * width; ++i) {
        const bool is_given = i / width != 2 && i / width != 22;
        ASSERT_EQ(result[static_cast<std::size_t>(i)] == 0.25f, is_given);
        EXPECT_EQ(run.cells(0)[static_cast<std::size_t>(i / width)],
                  is_given ? TESSERA_CELL_GIVEN : TESSERA_CELL_CHANGED);
    }
}

// A round is an ordinary completion of the rolled tokens, rolled back.
TEST_P(SeamlessRunTest, ARoundIsACompletionInTheRolledFrame) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    const std::int64_t width = model.config.token_width();
    const SeamRound round = seam_rounds(5, 8, {}).front();
    std::vector<UnmaskStep> steps = cosine_plan(8, 25);
    steps.insert(steps.end(), round.steps.begin(), round.steps.end());
    std::vector<StepNoise> noise;
    std::vector<sdk::Tensor> tensors;
    for (const UnmaskStep &step : steps) {
        const std::int64_t rows = step.unknown_before - step.first;
        std::vector<float> values;
        for (std::int64_t i = 0; i < 5 * rows * width; ++i) {
            values.push_back(0.01f * static_cast<float>((i * 31 + rows * 7) % 199) - 1.0f);
        }
        tensors.push_back(device.compute.to_device(sdk::host_view(values.data(), {rows, width})));
        tensors.push_back(
            device.compute.to_device(sdk::host_view(values.data(), {5, rows, width})));
        noise.push_back({tensors[tensors.size() - 2].view(), tensors.back().view()});
    }
    RunSpec seamless = spec({1});
    seamless.recorded = [&](int step) { return noise[static_cast<std::size_t>(step)]; };
    TokenRun run(device.compute, model, seamless);
    while (run.steps_done() < 8) run.run_unit();
    const std::vector<float> before = to_host(device.compute, run.tokens());
    while (run.steps_done() < static_cast<int>(steps.size())) run.run_unit();
    const std::vector<float> after = to_host(device.compute, run.tokens());

    const auto roll = [&](const std::vector<float> &tokens) {
        std::vector<float> result(tokens.size());
        for (std::int32_t token = 0; token < 25; ++token) {
            std::copy_n(tokens.begin() + token * width, width,
                        result.begin() + rolled(token, 5, round) * width);
        }
        return result;
    };
    RunSpec completion = spec({1});
    completion.seamless = false;
    completion.steps = static_cast<int>(round.steps.size());
    completion.known.assign(25, 0);
    std::vector<std::uint8_t> kept(25);
    for (std::int32_t token = 0; token < 25; ++token) {
        kept[token] = completion.known[rolled(token, 5, round)] = round.wanted[token] == 0;
    }
    completion.orders = {random_order(completion.seed, 0, 25, kept)};
    for (std::int32_t &token : completion.orders[0]) token = rolled(token, 5, round);
    completion.recorded = [&](int step) { return noise[static_cast<std::size_t>(8 + step)]; };
    TokenRun same(device.compute, model, completion);
    same.give(device.compute.to_device(sdk::host_view(roll(before).data(), {1, 25, width})));
    EXPECT_EQ(finish(device, same), roll(after));
    EXPECT_NE(before, after);
}

TEST_P(SeamlessRunTest, UnitsAllocateNothingOnTheDevice) {
    const TestDevice device(1, true);
    const mar::MarModel model = load_mar(device, path_);
    TokenRun run(device.compute, model, spec({1, 2}));
    device.compute.synchronize();
    device.owner.set_stepping(true);
    while (!run.is_done()) run.run_unit();
    EXPECT_NO_THROW(device.compute.synchronize());
    device.owner.set_stepping(false);
}

// Rolling what goes in rolls what comes out.
TEST(WrapAroundDecoding, KnowsNoBorder) {
    const TestDevice device(2);
    const TemporaryDirectory directory;
    const std::string path = directory / "codec.safetensors";
    ASSERT_TRUE(
        golden::write_synthetic(path, golden::synthetic_kl_codec(64, {1, 2}, 1, 4, 32, 16)));
    const LatentCodec codec = load_codec(device, path, true);
    constexpr std::int64_t kSide = 6, kRoll = 2;
    const std::int64_t channels = codec.latent_channels(), stride = codec.stride();
    const auto decode = [&](std::int64_t roll, bool wrap) {
        const LayerRun run(device.compute, codec.decoder(), kSide, kSide, LayerRun::kUnitFlops,
                           wrap);
        std::vector<float> latents;
        for (std::int64_t i = 0; i < kSide * kSide * channels; ++i) {
            const std::int64_t y = (i / channels / kSide + kSide - roll) % kSide;
            const std::int64_t x = (i / channels % kSide + kSide - roll) % kSide;
            latents.push_back(
                0.01f * static_cast<float>(((y * kSide + x) * channels + i % channels) * 37 % 211));
        }
        device.compute.upload(sdk::host_view(latents.data(), {1, kSide, kSide, channels}),
                              run.input());
        for (int i = 0; i < run.size(); ++i) run.run(i);
        return to_host(device.compute, run.output());
    };
    // The largest difference between the rolled input's result and the rolled result, as a share of
    // the largest value.
    const auto difference = [&](bool wrap) {
        const std::vector<float> straight = decode(0, wrap), moved = decode(kRoll, wrap);
        const std::int64_t side = kSide * stride;
        double largest = 0, worst = 0;
        for (std::int64_t y = 0; y < side; ++y) {
            for (std::int64_t x = 0; x < side; ++x) {
                const std::int64_t to =
                    (y + kRoll * stride) % side * side + (x + kRoll * stride) % side;
                for (std::int64_t c = 0; c < 3; ++c) {
                    const double value = straight[static_cast<std::size_t>((y * side + x) * 3 + c)];
                    largest = std::max(largest, std::abs(value));
                    worst = std::max(worst,
                                     std::abs(moved[static_cast<std::size_t>(to * 3 + c)] - value));
                }
            }
        }
        return worst / largest;
    };
    EXPECT_LT(difference(true), 1e-4);
    EXPECT_GT(difference(false), 1e-2);
}

} // namespace
} // namespace tessera::blocks
