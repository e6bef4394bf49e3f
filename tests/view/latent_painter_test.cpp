// Latents as pictures: axes against data whose directions are known, colours, what is unknown; and
// in what two runs differ.
#include "host/edit/run_difference.hpp"
#include "sandbox/view/latent_painter.hpp"

#include <tessera/generator.h>

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace tessera {
namespace {

constexpr std::uint32_t kSide = 16;
constexpr std::uint32_t kChannels = 6;

// Gaussian with deviations 4, 2, 1 along three directions at right angles, 0.1 elsewhere.
const std::array<std::array<float, kChannels>, 3> kDirections{
    {{0.6F, 0.8F, 0, 0, 0, 0}, {0, 0, 1, 0, 0, 0}, {-0.8F, 0.6F, 0, 0, 0, 0}}};

Latents known_data() {
    Latents latents{kSide, kSide, kChannels, {}};
    std::mt19937 engine(5);
    std::normal_distribution<float> normal;
    for (std::uint32_t i = 0; i < kSide * kSide; ++i) {
        const std::array<float, 3> along{4 * normal(engine), 2 * normal(engine), normal(engine)};
        for (std::uint32_t c = 0; c < kChannels; ++c) {
            float value = 3 + 0.1F * normal(engine);
            for (std::size_t k = 0; k < 3; ++k) value += along[k] * kDirections[k][c];
            latents.values.push_back(value);
        }
    }
    return latents;
}

TEST(LatentAxes, FindTheDirectionsOfLargestVariance) {
    const LatentAxes axes = LatentAxes::principal(known_data(), {}, 0);
    const std::array<float, 3> deviations{4, 2, 1};
    for (std::size_t k = 0; k < 3; ++k) {
        float product = 0;
        for (std::uint32_t c = 0; c < kChannels; ++c) {
            product += axes.along[k][c] * kDirections[k][c];
        }
        EXPECT_GT(std::abs(product), 0.99F) << k;
        EXPECT_NEAR(axes.deviation[k], deviations[k], 0.15F * deviations[k]) << k;
        const auto peak =
            std::max_element(axes.along[k].begin(), axes.along[k].end(),
                             [](float a, float b) { return std::abs(a) < std::abs(b); });
        EXPECT_GT(*peak, 0) << k;
    }
}

TEST(LatentAxes, LookAtKnownTokensOnly) {
    Latents latents = known_data();
    std::vector<std::uint8_t> known(16, TESSERA_CELL_KNOWN); // 4 x 4 tokens
    known[5] = TESSERA_CELL_UNKNOWN;
    for (std::uint32_t y = 4; y < 8; ++y) {
        for (std::uint32_t x = 4; x < 8; ++x)
            latents.values[(y * kSide + x) * kChannels + 4] = 1e6F;
    }
    EXPECT_LT(LatentAxes::principal(latents, known, 4).deviation[0], 5);
    EXPECT_GT(LatentAxes::principal(latents, {}, 0).deviation[0], 1e4F);
}

TEST(LatentAxes, ChannelsAreTakenAsTheyAreAndClamped) {
    const LatentAxes axes = LatentAxes::channels(known_data(), {}, 0, {2, 5, 99});
    EXPECT_EQ(axes.along[0], (std::vector<float>{0, 0, 1, 0, 0, 0}));
    EXPECT_EQ(axes.along[2], axes.along[1]); // the last there is
    EXPECT_NEAR(axes.deviation[0], 2, 0.3F);
}

TEST(LatentAxes, EqualCellsHaveNoDirectionAndNoTrouble) {
    const Latents flat{2, 2, 3, std::vector<float>(12, 0.5F)};
    for (const std::vector<float> &axis : LatentAxes::principal(flat, {}, 0).along) {
        for (const float value : axis) EXPECT_TRUE(std::isfinite(value));
    }
}

RunRecord one_step_run(bool ended) {
    RunRecord run;
    run.job = 7;
    run.ended = ended;
    run.columns = run.rows = 4;
    run.total_steps = 1;
    RunStep step;
    step.step = 1;
    step.latents = std::make_shared<Latents>(known_data());
    step.cells.assign(16, TESSERA_CELL_KNOWN);
    step.cells[3] = TESSERA_CELL_UNKNOWN;
    run.steps.push_back(step);
    return run;
}

TEST(LatentPainter, EveryCellIsOneColourAndUnknownTokensAreTransparent) {
    const RunRecord run = one_step_run(true);
    LatentPainter painter;
    const LatentLook look{.principal = false, .channels = {2, 2, 2}};
    const auto image = painter.paint(run, run.steps[0], look, 64, 64);
    ASSERT_EQ(image->pixels.size(), 64U * 64 * 4);
    const auto pixel = [&](std::uint32_t y, std::uint32_t x) {
        return &image->pixels[(y * 64 + x) * 4];
    };
    const LatentAxes axes =
        LatentAxes::channels(*run.steps[0].latents, run.steps[0].cells, 4, look.channels);
    for (std::uint32_t y = 0; y < 64; ++y) {
        for (std::uint32_t x = 0; x < 64; ++x) {
            const bool unknown = y < 16 && x >= 48;
            ASSERT_EQ(pixel(y, x)[3], unknown ? 0 : 255);
            if (unknown) continue;
            const float value =
                run.steps[0].latents->values[((y / 4) * kSide + x / 4) * kChannels + 2];
            const double share = 0.5 + 0.5 * (value - axes.mean[2]) / (2.5 * axes.deviation[0]);
            ASSERT_NEAR(pixel(y, x)[0], 255 * std::clamp(share, 0.0, 1.0), 1.0);
            ASSERT_EQ(pixel(y, x)[0], pixel(y, x)[2]);
        }
    }
}

TEST(LatentPainter, PaintsOnceAndAgainWhenTheLookChanges) {
    const RunRecord run = one_step_run(true);
    LatentPainter painter;
    const auto first = painter.paint(run, run.steps[0], {}, 64, 64);
    EXPECT_EQ(painter.paint(run, run.steps[0], {}, 64, 64), first);
    EXPECT_NE(painter.paint(run, run.steps[0], {.principal = false}, 64, 64), first);
}

TEST(LatentPainter, ColoursOfAnUnfinishedRunStayThoseOfTheLastOne) {
    const RunRecord ended = one_step_run(true);
    LatentPainter painter;
    const auto before = painter.paint(ended, ended.steps[0], {}, 64, 64);
    RunRecord running = ended;
    running.job = 8;
    running.ended = false;
    RunStep &step = running.steps[0];
    step.cells.assign(16, TESSERA_CELL_UNKNOWN); // little to find axes in
    step.cells[0] = TESSERA_CELL_CHANGED;
    const auto now = painter.paint(running, step, {}, 64, 64);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(now->pixels[i], before->pixels[i]);
}

TEST(RunDifference, NamesSeedsAndValuesThatDiffer) {
    RunRecord a, b;
    a.seed = 3;
    b.seed = 4;
    a.values = R"({"class": "bark", "steps": 12, "watch_token": 3})";
    b.values = R"({"class": "rust", "steps": 12, "watch_token": -1, "eta": 0.5})";
    const auto [first, second] = difference_of(a, b);
    EXPECT_EQ(first, "seed 3, class bark");
    EXPECT_EQ(second, "seed 4, class rust, eta 0.5");
    b.values = "no JSON";
    EXPECT_EQ(difference_of(b, b).first, "seed 4");
}

} // namespace
} // namespace tessera
