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

// Styles of one class whose brightness is 0.5, of one in eight 1.5 or -0.5, whose next two numbers
// are equal, 3 and -1 by turns (of one style: 1), and all others 0.5.
blocks::StyleBank correlated_bank(std::int64_t count) {
    std::vector<float> styles;
    for (std::int64_t i = 0; i < count; ++i) {
        Style style;
        style.fill(0.5F);
        style[0] = 0.5F + (i % 8 == 0 ? (i % 16 == 0 ? 1.0F : -1.0F) : 0.0F);
        style[1] = style[2] = 1.0F + (i % 2 == 0 ? 2.0F : -2.0F) * (count > 1 ? 1.0F : 0.0F);
        styles.insert(styles.end(), style.begin(), style.end());
    }
    return {styles,
            {count},
            std::vector<float>(Style{}.size(), 0.0F),
            std::vector<float>(Style{}.size(), 1.0F)};
}

TEST(StyleBank, StraysAsTheStylesOfTheClassDiffer) {
    constexpr int kDraws = 2000;
    const blocks::StyleBank bank = correlated_bank(64);
    double mean = 0, variance = 0, apart = 0, other = 0, brightness = 0, describing = 0;
    float darkest = 0;
    float brightest = 0;
    int as_in_the_bank = 0;
    for (std::uint32_t image = 0; image < kDraws; ++image) {
        const Style style = bank.draw(0, 1.0, 5, image, 0);
        mean += style[1] / kDraws;
        variance += std::pow(style[1] - 1.0, 2) / kDraws;
        apart += std::pow(style[1] - style[2], 2) / kDraws;
        brightness += std::pow(style[0] - 0.5, 2) / kDraws;
        darkest = std::min(darkest, style[0]);
        brightest = std::max(brightest, style[0]);
        other += std::pow(style[20] - 0.5, 2) / kDraws;
        describing += std::pow(style[50] - 0.5, 2) / kDraws;
        as_in_the_bank += std::abs(std::abs(style[1] - 1.0F) - 2.0F) < 1e-3F;
    }
    EXPECT_NEAR(mean, 1.0, 0.15);
    EXPECT_NEAR(variance, 4.0, 0.4);     // as in the bank: what strays does not spread more
    EXPECT_NEAR(apart, 1.0 / 64, 0.004); // the two numbers stay together but for the one share
    EXPECT_NEAR(brightness, 0.42, 0.06); // far more than the 0.125 of the bank, within its ends
    EXPECT_EQ(darkest, -0.5F);
    EXPECT_EQ(brightest, 1.5F);
    EXPECT_NEAR(describing, 0.16 / 1.16 / 64, 0.0005);
    EXPECT_NEAR(other, 0.5 / 64, 0.002);
    EXPECT_LT(as_in_the_bank, kDraws / 100);
}

TEST(StyleBank, AClassOfOneStyleStraysInAllButBrightness) {
    const blocks::StyleBank bank = correlated_bank(1);
    double other = 0;
    for (std::uint32_t image = 0; image < 2000; ++image) {
        other += std::pow(bank.draw(0, 0.4, 5, image, 0)[20] - 0.5, 2) / 2000;
    }
    EXPECT_NEAR(std::sqrt(other), 0.4 / std::sqrt(1.16), 0.03);
}

TEST(StyleBank, DrawsFromTheClass) {
    const TestDevice device;
    const TextureModel model = load_model(device, data_path("weights.safetensors"));
    for (std::int64_t label = 0; label < model.config.classes; ++label) {
        const Style a = model.bank.draw(label, 0.0, 1, 0, 0);
        EXPECT_EQ(model.bank.draw(label, 0.0, 1, 0, 0), a);
        EXPECT_EQ(model.bank.draw(label, 0.3, 1, 0, 0), model.bank.draw(label, 0.3, 1, 0, 0));
        EXPECT_NE(model.bank.draw(label, 0.3, 1, 0, 0), a);
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
