// Sinusoidal features of a diffusion time.
#include "blocks/model/time_embed.hpp"

#include <cmath>
#include <numbers>

namespace tessera::blocks {
namespace {

// exp in float32 with the rounding of the vector code that the reference ran on: reduction by ln 2
// in two parts, then a polynomial, all in fused multiply-adds. A correctly rounded exp differs in
// the last place for 15 of the 128 frequencies.
float exp_like_reference(float x) {
    constexpr float kLog2E = 1.44269504f;
    constexpr float kLn2High = 0.693145751953125f;
    constexpr float kLn2Low = 1.42860677e-6f;
    constexpr float kPolynomial[] = {0.000198527618f, 0.00139304355f, 0.00833336078f,
                                     0.0416664854f,   0.166666672f,   0.5f};
    const float power = std::nearbyintf(x * kLog2E);
    const float rest = std::fmaf(power, -kLn2Low, std::fmaf(power, -kLn2High, x));
    float sum = kPolynomial[0];
    for (int i = 1; i < 6; ++i) sum = std::fmaf(sum, rest, kPolynomial[i]);
    return std::ldexp(1.0f + std::fmaf(rest * rest, sum, rest), static_cast<int>(power));
}

} // namespace

std::vector<float> time_frequencies() {
    constexpr int kHalf = kTimeFeatures / 2;
    constexpr auto kLogPeriod = static_cast<float>(4.0 * std::numbers::ln10); // ln(10000)
    std::vector<float> frequencies;
    for (int k = 0; k < kHalf; ++k) {
        const float exponent = -kLogPeriod * static_cast<float>(k) / static_cast<float>(kHalf);
        frequencies.push_back(exp_like_reference(exponent));
    }
    return frequencies;
}

std::vector<float> time_features(std::span<const std::int32_t> times) {
    return time_features(std::vector<float>(times.begin(), times.end()));
}

std::vector<float> time_features(std::span<const float> times) {
    const std::vector<float> frequencies = time_frequencies();
    std::vector<float> features;
    features.reserve(times.size() * kTimeFeatures);
    for (const float time : times) {
        std::vector<double> angles;
        angles.reserve(frequencies.size());
        for (const float frequency : frequencies) {
            angles.push_back(static_cast<double>(time * frequency));
        }
        for (const double angle : angles) features.push_back(static_cast<float>(std::cos(angle)));
        for (const double angle : angles) features.push_back(static_cast<float>(std::sin(angle)));
    }
    return features;
}

} // namespace tessera::blocks
