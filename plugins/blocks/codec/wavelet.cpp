// CDF 9/7 on the torus: lifting for the definition, 5 x 5 convolutions of 2 x 2 samples to run it.
#include "blocks/codec/wavelet.hpp"

#include "blocks/model/unit_size.hpp"

#include <algorithm>
#include <array>

namespace tessera::blocks {
namespace {

// Lifting steps of CDF 9/7 (Daubechies and Sweldens 1998, section 7.6), and gains that make both
// halves of white noise as loud as it was.
constexpr double kSteps[] = {-1.586134342059924, -0.052980118572961, 0.882911075530934,
                             0.443506852043971};
constexpr double kGain = 1.149604398860241;

constexpr std::int64_t kSide = 5; // of a kernel: the longer filter, 9 taps, sees 2 pairs each way
constexpr std::int64_t kRadius = kSide / 2;
constexpr std::int64_t kLumaNumbers = 64;
constexpr std::int64_t kChromaNumbers = 16;
constexpr int kChannels = 3;
constexpr double kUnitFlops = 4e8; // some milliseconds on two cores
// A convolution of four channels takes as long as so many times its operations in a large product.
constexpr double kSlow = 25;

// Column of a token where the bands of a level begin: after all coarser ones.
constexpr std::int64_t channel_start(int channel) {
    return channel == 0 ? 0 : kLumaNumbers + (channel - 1) * kChromaNumbers;
}
constexpr bool has_level(int channel, int level) {
    return channel == 0 || level + 1 < kWaveletLevels;
}

// Work of a row of quads in a convolution, as the pace of units counts it.
double row_flops(std::int64_t width) {
    return kSlow * 2.0 * kChannels * static_cast<double>(width) * 4 * 4 * kSide * kSide;
}

// of_i += step (by_i + by_{i + other}), round the circle. What a step adds depends on the other
// half only, so subtracting it again undoes the step exactly, whatever its factor.
void lift_step(std::span<double> of, std::span<const double> by, std::ptrdiff_t other,
               double step) {
    const auto n = static_cast<std::ptrdiff_t>(of.size());
    for (std::ptrdiff_t i = 0; i < n; ++i) {
        of[static_cast<std::size_t>(i)] +=
            step *
            (by[static_cast<std::size_t>(i)] + by[static_cast<std::size_t>((i + other + n) % n)]);
    }
}

// The filters that the lifting steps amount to. The transform is linear and the same at every pair
// of samples, so what becomes of a single 1 is all of it: lift a line with a 1 at either sample of
// the middle pair (or, for the inverse, in either half) and read the taps off around it.
//
// Taps of one direction: [sample of a pair, or half][the other][offset in pairs + kRadius].
using Taps = std::array<std::array<std::array<double, kSide>, 2>, 2>;

Taps taps_of(bool inverse) {
    constexpr std::int64_t kPairs = 8; // of the circle: wider than any filter
    Taps taps{};
    for (std::int64_t in = 0; in < 2; ++in) {
        std::vector<double> line(2 * kPairs);
        const std::int64_t middle = kPairs / 2;
        line[static_cast<std::size_t>(inverse ? in * kPairs + middle : 2 * middle + in)] = 1.0;
        inverse ? unlift(line) : lift(line);
        for (std::int64_t out = 0; out < 2; ++out) {
            for (std::int64_t k = 0; k < kSide; ++k) {
                // An output at pair p reads pair p + k - kRadius, which is the middle here.
                const std::int64_t pair = middle + kRadius - k;
                taps[out][in][k] =
                    line[static_cast<std::size_t>(inverse ? 2 * pair + out : out * kPairs + pair)];
            }
        }
    }
    return taps;
}

// Both directions in one go, as the product of their taps: a level is a 5 x 5 convolution of pairs
// with 4 channels in and out, instead of 2 x 4 lifting steps with a pass over memory each.
// (4, 4, 5, 5). Channel 2 y + x of samples is the sample (y, x) of its four; of bands, low-pass,
// high in x, high in y, both: as well 2 y + x with y and x saying which half.
std::vector<float> kernel_of(bool inverse) {
    const Taps taps = taps_of(inverse);
    std::vector<float> kernel;
    for (int out = 0; out < 4; ++out) {
        for (int in = 0; in < 4; ++in) {
            for (int y = 0; y < kSide; ++y) {
                for (int x = 0; x < kSide; ++x) {
                    kernel.push_back(
                        static_cast<float>(taps[out / 2][in / 2][y] * taps[out % 2][in % 2][x]));
                }
            }
        }
    }
    return kernel;
}

} // namespace

WaveletPlace wavelet_place(std::int64_t number) {
    WaveletPlace place{};
    place.channel = number < kLumaNumbers ? 0 : number < kLumaNumbers + kChromaNumbers ? 1 : 2;
    std::int64_t within = number - channel_start(place.channel);
    if (within == 0) return place;
    --within;
    for (place.level = 1; within >= 3 * (std::int64_t{1} << (2 * place.level - 2)); ++place.level) {
        within -= 3 * (std::int64_t{1} << (2 * place.level - 2));
    }
    place.band = 1 + static_cast<int>(within / (std::int64_t{1} << (2 * place.level - 2)));
    return place;
}

// s are the even, d the odd samples. Twice: predict d from its neighbours and keep the difference,
// then update s so that it stays a mean:
//   d_i += a (s_i + s_{i+1})   s_i += b (d_i + d_{i-1})   d_i += c (s_i + s_{i+1})
//   s_i += e (d_i + d_{i-1})   low = gain s, high = -d / gain
void lift(std::span<double> samples) {
    const std::size_t n = samples.size() / 2;
    std::vector<double> even(n), odd(n);
    for (std::size_t i = 0; i < n; ++i) {
        even[i] = samples[2 * i];
        odd[i] = samples[2 * i + 1];
    }
    lift_step(odd, even, 1, kSteps[0]);
    lift_step(even, odd, -1, kSteps[1]);
    lift_step(odd, even, 1, kSteps[2]);
    lift_step(even, odd, -1, kSteps[3]);
    for (std::size_t i = 0; i < n; ++i) {
        samples[i] = even[i] * kGain;
        samples[n + i] = -odd[i] / kGain;
    }
}

// The same steps backwards, subtracted.
void unlift(std::span<double> halves) {
    const std::size_t n = halves.size() / 2;
    std::vector<double> even(n), odd(n);
    for (std::size_t i = 0; i < n; ++i) {
        even[i] = halves[i] / kGain;
        odd[i] = -halves[n + i] * kGain;
    }
    lift_step(even, odd, -1, -kSteps[3]);
    lift_step(odd, even, 1, -kSteps[2]);
    lift_step(even, odd, -1, -kSteps[1]);
    lift_step(odd, even, 1, -kSteps[0]);
    for (std::size_t i = 0; i < n; ++i) {
        halves[2 * i] = even[i];
        halves[2 * i + 1] = odd[i];
    }
}

Wavelet::Wavelet(const sdk::Compute &compute) : compute_(compute) {
    const auto pack = [&](bool inverse) {
        const std::vector<float> kernel = kernel_of(inverse);
        return compute_.pack_conv2d(sdk::host_view(kernel.data(), {4, 4, kSide, kSide}),
                                    TESSERA_DTYPE_F32);
    };
    analysis_ = pack(false);
    synthesis_ = pack(true);
    const float to_ycocg[] = {0.25F, 0.5F, 0.25F, 0.5F, 0.0F, -0.5F, -0.25F, 0.5F, -0.25F};
    const float to_rgb[] = {1.0F, 1.0F, -1.0F, 1.0F, 0.0F, 1.0F, 1.0F, -1.0F, -1.0F};
    to_ycocg_ = compute_.pack_linear(sdk::host_view(to_ycocg, {3, 3}), TESSERA_DTYPE_F32);
    to_rgb_ = compute_.pack_linear(sdk::host_view(to_rgb, {3, 3}), TESSERA_DTYPE_F32);
}

WaveletRun::WaveletRun(const Wavelet &wavelet, Direction direction, std::int64_t rows,
                       std::int64_t columns)
    : wavelet_(wavelet), direction_(direction), rows_(rows), columns_(columns) {
    const sdk::Compute &compute = wavelet_.compute_;
    const std::int64_t height = kWaveletCell * rows, width = kWaveletCell * columns;
    tokens_ = compute.allocate({rows, columns, kWaveletNumbers});
    picture_ = compute.allocate({height, width, kChannels});
    ycocg_ = compute.allocate({1, height, width, kChannels});
    quads_ = compute.allocate({kChannels * height * width});
    for (int step = 0; step < kWaveletLevels; ++step) {
        const int level = direction == Direction::kSynthesis ? step : kWaveletLevels - 1 - step;
        const std::int64_t h = rows << level, w = columns << level;
        bands_[level] = compute.allocate({kChannels, h, w, 4});
        compute.fill(0.0F, bands_[level]); // the finest bands of chroma stay so
        const auto most = std::max<std::int64_t>(
            1, static_cast<std::int64_t>(unit_flops(compute, kUnitFlops) / row_flops(w)));
        for (std::int64_t first = 0; first < h; first += most) {
            const std::int64_t count = std::min(most, h - first);
            units_.push_back({level, first, count, first + count == h});
        }
    }
}

double WaveletRun::flops(int unit) const {
    const Unit &u = units_[static_cast<std::size_t>(unit)];
    return static_cast<double>(u.count) * row_flops(columns_ << u.level);
}

void WaveletRun::run(int unit) const {
    const Unit &u = units_[static_cast<std::size_t>(unit)];
    direction_ == Direction::kSynthesis ? synthesise(u) : analyse(u);
}

void WaveletRun::run_all() const {
    for (int unit = 0; unit < size(); ++unit) run(unit);
}

// Numbers [first, first + count) of all tokens, (1, rows, columns, count).
sdk::View WaveletRun::numbers(std::int64_t first, std::int64_t count) const {
    return sdk::slice(sdk::reshape(tokens_, {1, rows_, columns_, kWaveletNumbers}), 3, first,
                      count);
}

// Between the tokens and the bands of a level; the low-pass goes with the coarsest one.
void WaveletRun::move_bands(int level) const {
    const sdk::Compute &compute = wavelet_.compute_;
    const bool to_bands = direction_ == Direction::kSynthesis;
    const std::int64_t size = std::int64_t{1} << (2 * level); // of a band in a token
    for (int channel = 0; channel < kChannels; ++channel) {
        if (!has_level(channel, level)) continue;
        const std::int64_t start = channel_start(channel);
        const sdk::View bands = sdk::slice(bands_[level], 0, channel, 1);
        if (level == 0) {
            const sdk::View all = numbers(start, 4);
            to_bands ? compute.copy(all, bands) : compute.copy(bands, all);
            continue;
        }
        const sdk::View packed = numbers(start + size, 3 * size);
        const sdk::View high = sdk::slice(bands, 3, 1, 3);
        to_bands ? compute.pixel_shuffle(packed, 1U << level, high)
                 : compute.pixel_unshuffle(high, 1U << level, packed);
    }
}

void WaveletRun::convolve(const Unit &unit, const sdk::View &from, const sdk::View &to) const {
    tessera_conv2d options{};
    options.circular = 1;
    options.pad_top = options.pad_left = options.pad_bottom = options.pad_right = kRadius;
    options.exact = 1;
    options.first_row = static_cast<std::uint32_t>(unit.first);
    options.row_count = static_cast<std::uint32_t>(unit.count);
    const bool inverse = direction_ == Direction::kSynthesis;
    wavelet_.compute_.conv2d(from, inverse ? wavelet_.synthesis_ : wavelet_.analysis_, options,
                             sdk::slice(to, 1, unit.first, unit.count));
}

void WaveletRun::synthesise(const Unit &unit) const {
    const sdk::Compute &compute = wavelet_.compute_;
    const int level = unit.level;
    const std::int64_t h = rows_ << level, w = columns_ << level;
    const std::int64_t shape[] = {kChannels, h, w, 4};
    const sdk::View quads =
        sdk::make_view(quads_.view().data, TESSERA_DTYPE_F32, shape, quads_.view().memory);
    if (unit.first == 0) move_bands(level);
    convolve(unit, bands_[level], quads);
    if (!unit.last) return;
    if (level + 1 < kWaveletLevels) {
        compute.pixel_shuffle(quads, 2, sdk::slice(bands_[level + 1], 3, 0, 1));
        return;
    }
    for (int channel = 0; channel < kChannels; ++channel) {
        compute.pixel_shuffle(sdk::slice(quads, 0, channel, 1), 2,
                              sdk::slice(ycocg_, 3, channel, 1));
    }
    const std::int64_t pixels = kWaveletCell * kWaveletCell * rows_ * columns_;
    compute.linear(sdk::reshape(ycocg_, {pixels, kChannels}), wavelet_.to_rgb_, {},
                   sdk::reshape(picture_, {pixels, kChannels}));
}

void WaveletRun::analyse(const Unit &unit) const {
    const sdk::Compute &compute = wavelet_.compute_;
    const int level = unit.level;
    const std::int64_t h = rows_ << level, w = columns_ << level;
    const std::int64_t shape[] = {kChannels, h, w, 4};
    const sdk::View quads =
        sdk::make_view(quads_.view().data, TESSERA_DTYPE_F32, shape, quads_.view().memory);
    if (unit.first == 0 && level + 1 < kWaveletLevels) {
        compute.pixel_unshuffle(sdk::slice(bands_[level + 1], 3, 0, 1), 2, quads);
    } else if (unit.first == 0) {
        const std::int64_t pixels = kWaveletCell * kWaveletCell * rows_ * columns_;
        compute.linear(sdk::reshape(picture_, {pixels, kChannels}), wavelet_.to_ycocg_, {},
                       sdk::reshape(ycocg_, {pixels, kChannels}));
        for (int channel = 0; channel < kChannels; ++channel) {
            compute.pixel_unshuffle(sdk::slice(ycocg_, 3, channel, 1), 2,
                                    sdk::slice(quads, 0, channel, 1));
        }
    }
    convolve(unit, quads, bands_[level]);
    if (unit.last) move_bands(level);
}

} // namespace tessera::blocks
