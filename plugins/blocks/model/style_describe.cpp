// The describing numbers of a style: the spectrum of luma in bands of waves per 128 pixels,
// kurtosis and skew.
#include "blocks/model/style.hpp"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>

namespace tessera::blocks {
namespace {

using Complex = std::complex<double>;

constexpr int kEdges[] = {0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 23, 32, 64}; // of lines and columns
constexpr int kCoarseEdges[] = {0, 2, 4, 8, 16, 32, 64};               // of the plane
constexpr std::size_t kBins = std::size(kEdges) - 1;
constexpr std::size_t kCoarseBins = std::size(kCoarseEdges) - 1;
constexpr int kNyquist = 64; // waves per 128 pixels

template <std::size_t N>
std::size_t bin_of(int waves, const int (&edges)[N]) {
    std::size_t bin = 0;
    while (bin + 2 < N && waves >= edges[bin + 1]) ++bin;
    return bin;
}

// The discrete Fourier transform of n values `step` apart: halves while n is even, then plainly.
void transform(const Complex *x, std::size_t n, std::size_t step, Complex *out) {
    if (n == 1) {
        out[0] = x[0];
        return;
    }
    const double unit = -2.0 * std::numbers::pi / static_cast<double>(n);
    if (n % 2 != 0) {
        for (std::size_t k = 0; k < n; ++k) {
            out[k] = 0;
            for (std::size_t i = 0; i < n; ++i) {
                out[k] += x[i * step] * std::polar(1.0, unit * static_cast<double>(i * k % n));
            }
        }
        return;
    }
    transform(x, n / 2, 2 * step, out);
    transform(x + step, n / 2, 2 * step, out + n / 2);
    for (std::size_t k = 0; k < n / 2; ++k) {
        const Complex even = out[k];
        const Complex odd = out[n / 2 + k] * std::polar(1.0, unit * static_cast<double>(k));
        out[k] = even + odd;
        out[n / 2 + k] = even - odd;
    }
}

// |F|^2 of luma for columns 0 to width / 2 and all rows, (height, width / 2 + 1).
std::vector<double> power_of(const std::vector<double> &luma, std::size_t height,
                             std::size_t width) {
    const std::size_t columns = width / 2 + 1;
    std::vector<Complex> half(height * columns), line(std::max(height, width)),
        made(std::max(height, width));
    for (std::size_t y = 0; y < height; ++y) {
        std::copy_n(luma.begin() + static_cast<std::ptrdiff_t>(y * width), width, line.begin());
        transform(line.data(), width, 1, made.data());
        std::copy_n(made.begin(), columns, half.begin() + static_cast<std::ptrdiff_t>(y * columns));
    }
    std::vector<double> power(half.size());
    for (std::size_t x = 0; x < columns; ++x) {
        for (std::size_t y = 0; y < height; ++y) line[y] = half[y * columns + x];
        transform(line.data(), height, 1, made.data());
        for (std::size_t y = 0; y < height; ++y) power[y * columns + x] = std::norm(made[y]);
    }
    return power;
}

// Luma without its mean.
std::vector<double> luma_of(std::span<const float> picture) {
    std::vector<double> luma(picture.size() / 3);
    double sum = 0;
    for (std::size_t i = 0; i < luma.size(); ++i) {
        luma[i] = 0.25 * static_cast<double>(picture[3 * i]) +
                  0.5 * static_cast<double>(picture[3 * i + 1]) +
                  0.25 * static_cast<double>(picture[3 * i + 2]);
        sum += luma[i];
    }
    const double mean = sum / static_cast<double>(luma.size());
    for (double &value : luma) value -= mean;
    return luma;
}

double skew_of(const std::vector<double> &luma) {
    double squares = 0, cubes = 0;
    for (const double value : luma) squares += value * value;
    const auto count = static_cast<double>(luma.size());
    const double deviation = std::sqrt(squares / std::max(count - 1, 1.0)) + 0.01;
    for (const double value : luma) cubes += value * value * value;
    return std::clamp(cubes / count / (deviation * deviation * deviation), -4.0, 4.0);
}

std::array<double, kStyleGroups> kurtosis_of(std::span<const float> tokens,
                                             std::span<const std::uint8_t> used) {
    constexpr double kMost = 1e9; // of one number, and 1e4 of a group
    std::array<double, kStyleGroups> sum{}, count{};
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (!used.empty() && used[i / kWaveletNumbers] == 0) continue;
        const auto group =
            static_cast<std::size_t>(style_group(static_cast<std::int64_t>(i) % kWaveletNumbers));
        const double square = static_cast<double>(tokens[i]) * static_cast<double>(tokens[i]);
        sum[group] += std::min(square * square, kMost);
        ++count[group];
    }
    for (std::size_t g = 0; g < sum.size(); ++g) {
        sum[g] = std::min(sum[g] / std::max(count[g], 1.0), 1e4);
    }
    return sum;
}

} // namespace

void describe_style(std::span<const float> picture, std::int64_t height, std::int64_t width,
                    std::span<const float> tokens, std::span<const std::uint8_t> used, Style &raw) {
    const auto rows = static_cast<std::size_t>(height), whole = static_cast<std::size_t>(width);
    const std::size_t columns = whole / 2 + 1;
    const std::vector<double> luma = luma_of(picture);
    const std::vector<double> power = power_of(luma, rows, whole);
    double total = 1e-3;
    for (const double value : power) total += value;

    std::array<double, kBins> across{}, down{};
    std::array<double, kCoarseBins * kCoarseBins> plane{};
    const auto waves = [](std::size_t k, std::size_t side) {
        return std::min(static_cast<int>(k * 128 / side), kNyquist - 1);
    };
    for (std::size_t y = 0; y < rows; ++y) {
        const int ky = waves(std::min(y, rows - y), rows);
        for (std::size_t x = 0; x < columns; ++x) {
            const int kx = waves(x, whole);
            const double share = power[y * columns + x] / total;
            across[bin_of(kx, kEdges)] += share;
            down[bin_of(ky, kEdges)] += share;
            plane[bin_of(ky, kCoarseEdges) * kCoarseBins + bin_of(kx, kCoarseEdges)] += share;
        }
    }
    std::size_t at = kStyleExact;
    const auto put = [&](double value) { raw[at++] = static_cast<float>(value); };
    for (const double share : across) put(std::log(share + 1e-4));
    for (const double share : down) put(std::log(share + 1e-4));
    for (const double share : plane) put(std::log(share + 1e-4));
    for (const double value : kurtosis_of(tokens, used)) put(std::log(value + 0.1));
    put(skew_of(luma));
}

} // namespace tessera::blocks
