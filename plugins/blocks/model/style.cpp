// Styles of pictures: taken out, put back, drawn, moved.
#include "blocks/model/style.hpp"

#include <tessera/compute.h>
#include <tessera/values/philox.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace tessera::blocks {
namespace {

constexpr int kChannels = 3;
constexpr std::int64_t kLow[kChannels] = {0, 64, 80}; // the low-pass numbers
constexpr double kMeanGain = 8.0;                     // of the low-pass: sqrt 2 per axis and level
constexpr std::int64_t kChroma = 16;                  // numbers that every channel has
constexpr int kWeights = 3;                           // where the weights begin
constexpr int kDeviations = 6;                        // where the deviations do
// A flat band is not blown up: its deviation is never below these.
constexpr double kFloor[kStyleGroups] = {.10,  .05,  .05, .05,  .03, .03, .03,  .015,
                                         .015, .015, .03, .015, .01, .03, .015, .01};
constexpr double kLumaFloor = 0.02; // keep weights of flat channels small
constexpr double kCoFloor = 0.004;
constexpr float kLimit = 5.0F;            // of standardised numbers
constexpr double kDescribingStrays = 0.4; // of what the exact numbers do
// Those that go into each number of a style of its own, drawn by fours.
constexpr std::size_t kNormalsOfNumbers = (kStyleNumbers + 3) / 4 * 4;

const std::array<int, kWaveletNumbers> &groups() {
    static const std::array<int, kWaveletNumbers> table = [] {
        std::array<int, kWaveletNumbers> made{};
        for (std::int64_t i = 0; i < kWaveletNumbers; ++i) {
            const WaveletPlace place = wavelet_place(i);
            if (place.channel == 0) {
                made[static_cast<std::size_t>(i)] =
                    place.level == 0 ? 0 : 3 * (place.level - 1) + place.band;
            } else {
                made[static_cast<std::size_t>(i)] = 10 + 3 * (place.channel - 1) + place.level;
            }
        }
        return made;
    }();
    return table;
}

const std::array<double, kStyleGroups> &group_sizes() {
    static const std::array<double, kStyleGroups> table = [] {
        std::array<double, kStyleGroups> made{};
        for (const int group : groups()) ++made[static_cast<std::size_t>(group)];
        return made;
    }();
    return table;
}

// Calls visit(const float *token) for every used token; returns how many.
template <class Visit>
double for_each_token(std::span<const float> tokens, std::span<const std::uint8_t> used,
                      Visit visit) {
    const std::size_t count = tokens.size() / kWaveletNumbers;
    double seen = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (!used.empty() && used[i] == 0) continue;
        visit(tokens.data() + i * kWaveletNumbers);
        ++seen;
    }
    return seen;
}

// A standard normal number pair's worth of a counter, as `normal` of compute.h makes them.
std::array<double, 4> normal_numbers(const values::PhiloxCounter &words) {
    std::array<double, 4> numbers{};
    for (std::size_t pair = 0; pair < 2; ++pair) {
        const double u = ((words[2 * pair] >> 9U) + 0.5) / 8388608.0;
        const double v = (words[2 * pair + 1] >> 8U) / 16777216.0;
        const double length = std::sqrt(-2.0 * std::log(u));
        numbers[2 * pair] = length * std::cos(2.0 * std::numbers::pi * v);
        numbers[2 * pair + 1] = length * std::sin(2.0 * std::numbers::pi * v);
    }
    return numbers;
}

// The style of the same picture with x and y exchanged.
Style exchanged(const Style &raw) {
    constexpr std::size_t kSpectrum = kStyleExact, kBins = 12, kSide = 6;
    constexpr std::size_t kKurtosis = kSpectrum + 2 * kBins + kSide * kSide;
    Style out = raw;
    for (const std::size_t level : {1U, 4U, 7U}) { // groups high in x, high in y
        std::swap(out[kDeviations + level], out[kDeviations + level + 1]);
        std::swap(out[kKurtosis + level], out[kKurtosis + level + 1]);
    }
    for (std::size_t i = 0; i < kBins; ++i) {
        std::swap(out[kSpectrum + i], out[kSpectrum + kBins + i]);
    }
    for (std::size_t y = 0; y < kSide; ++y) {
        for (std::size_t x = 0; x < kSide; ++x) {
            out[kSpectrum + 2 * kBins + y * kSide + x] = raw[kSpectrum + 2 * kBins + x * kSide + y];
        }
    }
    return out;
}

} // namespace

int style_group(std::int64_t number) { return groups()[static_cast<std::size_t>(number)]; }

Style moved(const Style &raw, const StyleMoves &moves) {
    constexpr double kDarkest = 0.97; // and brightest
    constexpr double kSmallest = 1e-3;
    Style out = raw;
    if (moves.direction != 0.0) {
        const Style other = exchanged(raw);
        const auto share = static_cast<float>(moves.direction);
        for (std::size_t i = 0; i < out.size(); ++i) out[i] += share * (other[i] - out[i]);
    }
    if (moves.brightness != 0.0) {
        const double mean = out[0] + kMeanGain * moves.brightness;
        out[0] = static_cast<float>(std::clamp(mean, -kMeanGain * kDarkest, kMeanGain * kDarkest));
    }
    for (const std::size_t i : {1U, 2U, 3U, 4U}) { // colour, and what follows luma
        out[i] *= static_cast<float>(moves.saturation);
    }
    for (std::size_t group = 0; group < kStyleGroups; ++group) {
        double by = std::log(std::max(moves.contrast, kSmallest));
        if (group >= 4) by += std::log(std::max(moves.grain, kSmallest));
        if (group >= 10) by = std::log(std::max(moves.saturation, kSmallest));
        if (by != 0.0) out[kDeviations + group] += static_cast<float>(by);
    }
    return out;
}

void put_back(const Style &raw, double hue, std::span<float> tokens) {
    std::array<float, kWaveletNumbers> scale{};
    for (std::size_t i = 0; i < scale.size(); ++i) {
        scale[i] = std::exp(raw[static_cast<std::size_t>(kDeviations + groups()[i])]);
    }
    const float co_y = raw[kWeights], cg_y = raw[kWeights + 1], cg_co = raw[kWeights + 2];
    const auto cosine = static_cast<float>(std::cos(hue));
    const auto sine = static_cast<float>(std::sin(hue));
    for (std::size_t token = 0; token + kWaveletNumbers <= tokens.size();
         token += kWaveletNumbers) {
        float *const x = tokens.data() + token;
        for (std::size_t i = 0; i < scale.size(); ++i) x[i] *= scale[i];
        for (std::int64_t i = 0; i < kChroma; ++i) {
            float &co = x[kLow[1] + i];
            float &cg = x[kLow[2] + i];
            cg += cg_y * x[i] + cg_co * co;
            co += co_y * x[i];
        }
        for (int c = 0; c < kChannels; ++c) x[kLow[c]] += raw[static_cast<std::size_t>(c)];
        if (hue == 0.0) continue;
        for (std::int64_t i = 0; i < kChroma; ++i) {
            const float co = x[kLow[1] + i], cg = x[kLow[2] + i];
            x[kLow[1] + i] = cosine * co - sine * cg;
            x[kLow[2] + i] = sine * co + cosine * cg;
        }
    }
}

Style exact_style(std::span<const float> tokens, std::span<const std::uint8_t> used) {
    double sum[kChannels] = {};
    const double count = for_each_token(tokens, used, [&](const float *x) {
        for (int c = 0; c < kChannels; ++c) sum[c] += x[kLow[c]];
    });
    Style raw{};
    double mean[kChannels];
    for (int c = 0; c < kChannels; ++c) {
        mean[c] = sum[c] / std::max(count, 1.0);
        raw[static_cast<std::size_t>(c)] = static_cast<float>(mean[c]);
    }
    // What of Co follows Y, and of Cg follows Y and the rest of Co, by least squares, one after the
    // other: Co = a1 Y + Co', Cg = a2 Y + a3 Co' + Cg', with
    //   a1 = <Co, Y> / <Y, Y>, a2 = <Cg, Y> / <Y, Y>, a3 = <Cg, Co'> / <Co', Co'>,
    //   <Co', Co'> = <Co, Co> - 2 a1 <Co, Y> + a1^2 <Y, Y>, <Cg, Co'> = <Cg, Co> - a1 <Cg, Y>.
    // The floors keep ratios of almost nothing small.
    double yy = 0, co_y = 0, cg_y = 0, co_co = 0, cg_co = 0;
    for_each_token(tokens, used, [&](const float *x) {
        for (std::int64_t i = 0; i < kChroma; ++i) {
            const double y = x[i] - (i == 0 ? mean[0] : 0.0);
            const double co = x[kLow[1] + i] - (i == 0 ? mean[1] : 0.0);
            const double cg = x[kLow[2] + i] - (i == 0 ? mean[2] : 0.0);
            yy += y * y;
            co_y += co * y;
            cg_y += cg * y;
            co_co += co * co;
            cg_co += cg * co;
        }
    });
    const double n = std::max(count, 1.0);
    const double luma = yy / n + kLumaFloor;
    const double a1 = co_y / n / luma, a2 = cg_y / n / luma;
    // Of what is left of Co: sum (co - a1 y)^2 and sum cg (co - a1 y).
    const double rest = (co_co - 2 * a1 * co_y + a1 * a1 * yy) / n;
    const double a3 = (cg_co - a1 * cg_y) / n / (rest + kCoFloor);
    raw[kWeights] = static_cast<float>(a1);
    raw[kWeights + 1] = static_cast<float>(a2);
    raw[kWeights + 2] = static_cast<float>(a3);
    double energy[kStyleGroups] = {};
    for_each_token(tokens, used, [&](const float *x) {
        for (std::int64_t i = 0; i < kWaveletNumbers; ++i) {
            const WaveletPlace place = wavelet_place(i);
            const std::int64_t within = i - kLow[place.channel];
            double value = x[i] - (within == 0 ? mean[place.channel] : 0.0);
            if (place.channel != 0) {
                const double y = x[within] - (within == 0 ? mean[0] : 0.0);
                const double co = x[kLow[1] + within] - (within == 0 ? mean[1] : 0.0) - a1 * y;
                value = place.channel == 1 ? co : value - a2 * y - a3 * co;
            }
            energy[groups()[static_cast<std::size_t>(i)]] += value * value;
        }
    });
    for (std::size_t g = 0; g < kStyleGroups; ++g) {
        const double variance = energy[g] / n / group_sizes()[g];
        raw[kDeviations + g] = static_cast<float>(0.5 * std::log(variance + kFloor[g] * kFloor[g]));
    }
    return raw;
}

void take_out(const Style &raw, std::span<float> tokens) {
    std::array<float, kWaveletNumbers> scale{};
    for (std::size_t i = 0; i < scale.size(); ++i) {
        scale[i] = std::exp(-raw[static_cast<std::size_t>(kDeviations + groups()[i])]);
    }
    const float co_y = raw[kWeights], cg_y = raw[kWeights + 1], cg_co = raw[kWeights + 2];
    for (std::size_t token = 0; token + kWaveletNumbers <= tokens.size();
         token += kWaveletNumbers) {
        float *const x = tokens.data() + token;
        for (int c = 0; c < kChannels; ++c) x[kLow[c]] -= raw[static_cast<std::size_t>(c)];
        for (std::int64_t i = 0; i < kChroma; ++i) {
            float &co = x[kLow[1] + i];
            float &cg = x[kLow[2] + i];
            co -= co_y * x[i];
            cg -= cg_y * x[i] + cg_co * co;
        }
        for (std::size_t i = 0; i < scale.size(); ++i) x[i] *= scale[i];
    }
}

std::array<double, kStyleGroups> group_energy(std::span<const float> tokens) {
    std::array<double, kWaveletNumbers> squares{};
    const double count = for_each_token(tokens, {}, [&](const float *x) {
        for (std::size_t i = 0; i < squares.size(); ++i) {
            squares[i] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
        }
    });
    std::array<double, kStyleGroups> energy{};
    for (std::size_t i = 0; i < squares.size(); ++i) {
        energy[static_cast<std::size_t>(groups()[i])] += squares[i];
    }
    for (std::size_t g = 0; g < energy.size(); ++g) {
        energy[g] /= std::max(count, 1.0) * group_sizes()[g];
    }
    return energy;
}

StyleBank::StyleBank(std::vector<float> styles, std::vector<std::int64_t> counts,
                     std::vector<float> mean, std::vector<float> deviation)
    : styles_(std::move(styles)), counts_(std::move(counts)), mean_(std::move(mean)),
      deviation_(std::move(deviation)) {}

Style StyleBank::standard(const Style &raw) const {
    Style out{};
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = std::clamp((raw[i] - mean_[i]) / deviation_[i], -kLimit, kLimit);
    }
    return out;
}

Style StyleBank::raw(const Style &standard) const {
    Style out{};
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = standard[i] * deviation_[i] + mean_[i];
    return out;
}

StyleBank::Range StyleBank::range_of(std::int64_t label) const {
    if (label < 0) return {0, styles_.size() / kStyleNumbers};
    std::size_t first = 0;
    for (std::int64_t i = 0; i < label; ++i) {
        first += static_cast<std::size_t>(counts_[static_cast<std::size_t>(i)]);
    }
    return {first, static_cast<std::size_t>(counts_[static_cast<std::size_t>(label)])};
}

StyleBank::Class StyleBank::class_of(std::int64_t label) const {
    const Range range = range_of(label);
    Class made{range, {}, row(range.first)[0], row(range.first)[0]};
    const double share = 1.0 / static_cast<double>(range.count);
    for (std::size_t i = 0; i < range.count; ++i) {
        const float *of = row(range.first + i);
        for (std::size_t k = 0; k < made.mean.size(); ++k) made.mean[k] += share * of[k];
        made.darkest = std::min(made.darkest, of[0]);
        made.brightest = std::max(made.brightest, of[0]);
    }
    return made;
}

// e = p^1/2 z + n^-1/2 sum of z_i (s_i - m), all z normal, has the covariance of the class's n
// styles s_i around their mean m and p of that of all classes, which is 1 for every number:
// p = 1/n, as if seen once, and 1 for brightness, the first. How bright the light was says
// nothing of a material, and is most of what tells two pictures of an even one apart.
std::array<double, kStyleNumbers> StyleBank::noise(const Class &of,
                                                   const std::vector<double> &normals) const {
    const double share = 1.0 / static_cast<double>(of.range.count);
    std::array<double, kStyleNumbers> noise{};
    for (std::size_t k = 0; k < noise.size(); ++k) {
        noise[k] = std::sqrt(k == 0 ? 1.0 : share) * normals[k];
    }
    for (std::size_t i = 0; i < of.range.count; ++i) {
        const double z = std::sqrt(share) * normals[kNormalsOfNumbers + i];
        for (std::size_t k = 0; k < noise.size(); ++k) {
            noise[k] += z * (row(of.range.first + i)[k] - of.mean[k]);
        }
    }
    return noise;
}

// s' = m + (s + j e - m) / (1 + j^2)^1/2 spreads as s does; j is the jitter, and less of it for
// the numbers that describe: between the spectra of two layouts there is none.
Style StyleBank::draw(std::int64_t label, double jitter, std::uint64_t seed, std::uint32_t image,
                      std::uint32_t part) const {
    const Class of = class_of(label);
    const values::PhiloxKey key = values::philox_key(seed);
    const auto words = [&](std::size_t draw) {
        return values::philox({TESSERA_STREAM_OTHER, image, part, static_cast<std::uint32_t>(draw)},
                              key);
    };
    std::vector<double> normals;
    for (std::size_t draw = 1; normals.size() < kNormalsOfNumbers + of.range.count; ++draw) {
        const std::array<double, 4> four = normal_numbers(words(draw));
        normals.insert(normals.end(), four.begin(), four.end());
    }
    const std::array<double, kStyleNumbers> strayed = noise(of, normals);
    const std::uint64_t word = words(0)[0];
    const float *const chosen =
        row(of.range.first + static_cast<std::size_t>(word * of.range.count >> 32U));
    Style style{};
    for (std::size_t k = 0; k < style.size(); ++k) {
        const double strays = k < kStyleExact ? jitter : kDescribingStrays * jitter;
        const double spread = 1.0 / std::sqrt(1.0 + strays * strays);
        const double to = spread * (chosen[k] + strays * strayed[k]) + (1.0 - spread) * of.mean[k];
        style[k] = std::clamp(static_cast<float>(to), -kLimit, kLimit);
    }
    style[0] = std::clamp(style[0], of.darkest, of.brightest); // snow that is brighter is white
    return style;
}

Style StyleBank::complete(const Style &exact, std::int64_t label) const {
    const Style wanted = standard(exact);
    const Range range = range_of(label);
    std::size_t best = range.first;
    double best_distance = HUGE_VAL;
    for (std::size_t i = range.first; i < range.first + range.count; ++i) {
        double distance = 0;
        for (int k = 0; k < kStyleExact; ++k) {
            const double d = static_cast<double>(row(i)[k]) - wanted[static_cast<std::size_t>(k)];
            distance += d * d;
        }
        if (distance >= best_distance) continue;
        best_distance = distance;
        best = i;
    }
    Style style{};
    std::copy_n(row(best), kStyleNumbers, style.begin());
    style = raw(style);
    std::copy_n(exact.begin(), kStyleExact, style.begin());
    return style;
}

} // namespace tessera::blocks
