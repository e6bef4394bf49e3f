// Styles: taken out and put back, drawn, moved, taken from a part.
#include "tests/texture/test_model.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace tessera::texture {
namespace {

using blocks::Style;
using blocks::StyleMoves;

// Tokens with a style of their own: `count` of them, far louder than the floors of deviations.
std::vector<float> noisy_tokens(std::size_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> tokens(count * kTokenNumbers);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const auto number = static_cast<std::int64_t>(i % kTokenNumbers);
        tokens[i] = normal(random) * (1.0F + 0.5F * static_cast<float>(number % 7));
        if (number == 0) tokens[i] += 3.0F;
        if (number == 64) tokens[i] += 0.8F * tokens[i - 64];
    }
    return tokens;
}

TEST(Style, TakenOutLeavesMeanZeroAndDeviationOne) {
    std::vector<float> tokens = noisy_tokens(400, 1);
    const Style style = blocks::exact_style(tokens, {});
    blocks::take_out(style, tokens);
    double mean = 0;
    for (std::size_t i = 0; i < tokens.size(); i += kTokenNumbers) mean += tokens[i];
    EXPECT_NEAR(mean / 400, 0.0, 1e-3);
    for (const double energy : blocks::group_energy(tokens)) EXPECT_NEAR(energy, 1.0, 0.08);
}

TEST(Style, PutBackUndoesTakenOut) {
    const std::vector<float> tokens = noisy_tokens(30, 2);
    std::vector<float> back = tokens;
    const Style style = blocks::exact_style(tokens, {});
    blocks::take_out(style, back);
    blocks::put_back(style, 0.0, back);
    for (std::size_t i = 0; i < tokens.size(); ++i) ASSERT_NEAR(back[i], tokens[i], 1e-4);
}

TEST(Style, OfAPartIsNotThatOfTheRest) {
    std::vector<float> tokens = noisy_tokens(40, 3);
    std::vector<std::uint8_t> used(40, 1);
    used[7] = used[20] = 0;
    const Style before = blocks::exact_style(tokens, used);
    for (std::size_t i = 0; i < kTokenNumbers; ++i) {
        tokens[7 * kTokenNumbers + i] = tokens[20 * kTokenNumbers + i] = 50.0F;
    }
    EXPECT_EQ(blocks::exact_style(tokens, used), before);
    EXPECT_NE(blocks::exact_style(tokens, {}), before);
}

TEST(Style, HueTurnsColoursAndNothingElse) {
    const Style style = blocks::exact_style(noisy_tokens(40, 3), {});
    std::vector<float> plain = noisy_tokens(5, 4), turned = plain, round = plain;
    blocks::put_back(style, 0.0, plain);
    blocks::put_back(style, 1.0, turned);
    blocks::put_back(style, 2.0 * std::acos(-1.0), round);
    for (std::size_t i = 0; i < plain.size(); ++i) {
        ASSERT_NEAR(round[i], plain[i], 1e-4);
        if (i % kTokenNumbers >= 64) continue;
        ASSERT_EQ(turned[i], plain[i]);
    }
    for (std::size_t i = 64; i < 80; ++i) { // the length of a colour stays
        ASSERT_NEAR(std::hypot(turned[i], turned[i + 16]), std::hypot(plain[i], plain[i + 16]),
                    1e-4);
    }
}

TEST(Style, SlidersDoWhatTheySay) {
    const Style style = blocks::exact_style(noisy_tokens(40, 3), {});
    EXPECT_EQ(blocks::moved(style, {}), style);
    const auto tokens_of = [](const Style &of) {
        std::vector<float> tokens(200 * kTokenNumbers);
        std::mt19937 random(5);
        std::normal_distribution<float> normal;
        for (float &value : tokens) value = normal(random);
        blocks::put_back(of, 0.0, tokens);
        return tokens;
    };
    const Style plain = blocks::exact_style(tokens_of(style), {});
    const auto measured = [&](const StyleMoves &moves) {
        return blocks::exact_style(tokens_of(blocks::moved(style, moves)), {});
    };
    EXPECT_NEAR(measured({.brightness = 0.1})[0] - plain[0], 0.8, 1e-2); // 8 a unit
    EXPECT_NEAR(measured({.contrast = 2.0})[6] - plain[6], std::log(2.0), 0.05);
    EXPECT_NEAR(measured({.grain = 2.0})[6 + 8] - plain[6 + 8], std::log(2.0), 0.05);
    EXPECT_NEAR(measured({.grain = 2.0})[6] - plain[6], 0.0, 0.02);
    EXPECT_NEAR(measured({.saturation = 0.0})[1], 0.0, 0.02);
    EXPECT_NEAR(measured({.direction = 1.0})[6 + 7], plain[6 + 8], 0.06);
    EXPECT_EQ(blocks::moved(blocks::moved(style, {.direction = 1.0}), {.direction = 1.0}), style);
}

TEST(StyleBank, DrawsFromTheClassAndStraysByTheJitter) {
    const TestDevice device;
    const TextureModel model = load_model(device, data_path("weights.safetensors"));
    for (std::int64_t label = 0; label < model.config.classes; ++label) {
        const Style a = model.bank.draw(label, 0.0, 1, 0, 0);
        EXPECT_EQ(model.bank.draw(label, 0.0, 1, 0, 0), a);
        double moved = 0;
        const Style strayed = model.bank.draw(label, 0.3, 1, 0, 0);
        for (std::size_t i = 0; i < a.size(); ++i) moved += std::pow(strayed[i] - a[i], 2);
        EXPECT_NEAR(std::sqrt(moved / static_cast<double>(a.size())), 0.3, 0.1);
    }
    // Every style of a class comes up, and none of another.
    std::vector<Style> seen;
    for (std::uint32_t image = 0; image < 200; ++image) {
        const Style style = model.bank.draw(1, 0.0, 3, image, 0);
        if (std::find(seen.begin(), seen.end(), style) == seen.end()) seen.push_back(style);
    }
    EXPECT_EQ(static_cast<std::int64_t>(seen.size()), model.config.bank_counts[1]);
}

TEST(StyleBank, CompletesWhatIsKnownWithTheNearest) {
    const TestDevice device;
    const TextureModel model = load_model(device, data_path("weights.safetensors"));
    const Style whole = model.bank.raw(model.bank.draw(1, 0.0, 9, 0, 0));
    Style exact = whole;
    std::fill(exact.begin() + blocks::kStyleExact, exact.end(), 0.0F);
    exact[0] += 0.01F;
    const Style made = model.bank.complete(exact, 1);
    EXPECT_EQ(made[0], exact[0]);
    for (std::size_t i = blocks::kStyleExact; i < made.size(); ++i) {
        ASSERT_NEAR(made[i], whole[i], 1e-5);
    }
}

} // namespace
} // namespace tessera::texture
