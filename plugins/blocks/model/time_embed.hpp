// Sinusoidal features of a diffusion time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tessera::blocks {

inline constexpr int kTimeFeatures = 256;

// The frequencies exp(-ln(10000) k / 128), k = 0..127, in float32 like the reference: at time 999
// one unit in the last place moves an angle by 6e-5.
[[nodiscard]] std::vector<float> time_frequencies();

// (times, 256): cosines of time * frequency (the product in float32), then sines. A time is a step
// of a discrete schedule, or whatever number a network is told (a log-SNR).
[[nodiscard]] std::vector<float> time_features(std::span<const std::int32_t> times);
[[nodiscard]] std::vector<float> time_features(std::span<const float> times);

} // namespace tessera::blocks
