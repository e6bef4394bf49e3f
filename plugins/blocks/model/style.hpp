// Style: the numbers that are taken out of a picture's wavelet tokens, so that what is left has
// mean 0 and deviation 1 for every picture, and put back after sampling.
//
// Exact, by which tokens are restored: 3 mean colours (Y, Co, Cg; times 8), 3 weights of how chroma
// follows luma (Co by Y, Cg by Y, Cg by what is left of Co), 16 logarithms of deviations, one for
// each group of bands. The rest only describes, for the network: the spectrum of luma, kurtosis of
// the groups, skew of luma.
//
//   raw = measure_style(...)  or  standard = bank.draw(...), raw = bank.raw(standard)
//   raw = moved(raw, sliders)
//   network: bank.standard(raw);  tokens: put_back(raw, hue, tokens, count)
#pragma once

#include "blocks/codec/wavelet.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tessera::blocks {

inline constexpr int kStyleNumbers = 99;
inline constexpr int kStyleExact = 22;
inline constexpr int kStyleGroups = 16;
using Style = std::array<float, kStyleNumbers>;

// Group of a token's number: luma 0 low-pass, 1 to 9 its bands coarse first; Co 10 to 12 and Cg 13
// to 15 by level.
[[nodiscard]] int style_group(std::int64_t number);

// What sliders do to a style, in an artist's terms; as they are here they do nothing.
struct StyleMoves {
    double brightness = 0.0; // added to the mean; 1 is half the range from black to white
    double contrast = 1.0;   // times the deviations of luma
    double grain = 1.0;      // times those of its two finer levels
    double saturation = 1.0; // times chroma
    double direction =
        0.0; // 1: what varied in x does so in y and the other way round; 0.5: in both
};
[[nodiscard]] Style moved(const Style &raw, const StyleMoves &moves);

// What a request says of the styles of its pictures.
struct StyleSettings {
    double jitter = 0.0; // how far drawn styles stray from those of the bank
    StyleMoves moves;
    double hue = 0.0; // radians
    // Raw: one for all pictures, or one each. Empty: drawn. Given tokens have their own instead.
    std::vector<Style> styles;
};

// Of tokens of 96 numbers, in place. `hue` turns colours by so many radians.
void put_back(const Style &raw, double hue, std::span<float> tokens);

// The exact numbers of tokens, all of them or those that `used` marks (empty: all); the rest of the
// style is 0. At least one token has to be used.
[[nodiscard]] Style exact_style(std::span<const float> tokens, std::span<const std::uint8_t> used);
// Takes the exact numbers out, in place: the inverse of put_back without hue.
void take_out(const Style &raw, std::span<float> tokens);

// Fills in the describing numbers, of a whole picture (height, width, 3) about [-1, 1] and its
// tokens after take_out, all of them or those that `used` marks. Sides are multiples of 8.
void describe_style(std::span<const float> picture, std::int64_t height, std::int64_t width,
                    std::span<const float> tokens, std::span<const std::uint8_t> used, Style &raw);

// The mean square of each group over tokens.
[[nodiscard]] std::array<double, kStyleGroups> group_energy(std::span<const float> tokens);

// The styles of a model's training pictures, by class: what new ones are drawn from.
class StyleBank {
  public:
    StyleBank() = default;
    // `styles` (sum of counts, 99), standardised with mean and deviation (99) and sorted by class.
    StyleBank(std::vector<float> styles, std::vector<std::int64_t> counts, std::vector<float> mean,
              std::vector<float> deviation);

    [[nodiscard]] Style standard(const Style &raw) const; // bounded to what networks have seen
    [[nodiscard]] Style raw(const Style &standard) const;

    // A style of the class (-1: of any), moved as the styles of the class differ, by `jitter` of
    // it: at 0 one of the bank's, at 1 half of what tells it from the mean is new; brightness
    // by that of all classes too. Standardised.
    // Counters are (TESSERA_STREAM_OTHER, image, part, draw).
    [[nodiscard]] Style draw(std::int64_t label, double jitter, std::uint64_t seed,
                             std::uint32_t image, std::uint32_t part) const;
    // The style of the class whose exact numbers are nearest, with those numbers replaced by the
    // given ones. Raw, both.
    [[nodiscard]] Style complete(const Style &exact, std::int64_t label) const;

  private:
    struct Range {
        std::size_t first;
        std::size_t count;
    };
    struct Class {
        Range range;
        std::array<double, kStyleNumbers> mean;
        float darkest; // mean luma of its pictures
        float brightest;
    };
    [[nodiscard]] Range range_of(std::int64_t label) const;
    [[nodiscard]] Class class_of(std::int64_t label) const;
    // How far a new style strays, at a jitter of 1. `normals`: one for each number, made up to
    // whole fours, then one for each style of the class.
    [[nodiscard]] std::array<double, kStyleNumbers> noise(const Class &of,
                                                          const std::vector<double> &normals) const;
    [[nodiscard]] const float *row(std::size_t index) const {
        return styles_.data() + index * kStyleNumbers;
    }

    std::vector<float> styles_;
    std::vector<std::int64_t> counts_;
    std::vector<float> mean_;
    std::vector<float> deviation_;
};

} // namespace tessera::blocks
