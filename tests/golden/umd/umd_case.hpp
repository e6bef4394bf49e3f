// What cases of UMD share: the model, labels, pictures as tokens, recorded masks.
#pragma once

#include "golden/check_case.hpp"
#include "umd/run.hpp"

#include <vector>

namespace tessera::golden {

// Limits; the second ones are for bf16 weights, where only gross mistakes can be told from
// rounding.
struct UmdLimits {
    double network;  // of max(1, largest value)
    double features; // of the time features, which are float32 angles
    double run;      // in units of float32's own deviation from float64
};
inline constexpr UmdLimits kUmdExact{1e-5, 1e-4, 8.0};
inline constexpr UmdLimits kUmdMixed{5e-2, 1e-4, 1e9};

[[nodiscard]] umd::UmdModel load_umd(const CaseContext &context, const sdk::Weights &weights);

// (batch, height, width, channels) on the device as tokens (batch, S, d), and back.
[[nodiscard]] sdk::Tensor umd_tokens(const sdk::Compute &compute, const umd::UmdConfig &config,
                                     const Values<float> &pictures);
[[nodiscard]] std::vector<float>
umd_pictures(const sdk::Compute &compute, const umd::UmdConfig &config, const sdk::View &tokens);

// Classes by the tensor `name`, -1 for the null class; all -1 where the file does not hold it.
[[nodiscard]] std::vector<std::int64_t> umd_labels(const CaseFile &file, const char *name,
                                                   const umd::UmdConfig &config,
                                                   std::int64_t images);

// A random mask by its scores: the lowest int(S (1 - ratio)) tokens stay.
struct UmdMask {
    std::vector<std::int32_t> visible; // (batch x kept), in the order of their scores
    std::vector<std::int64_t> removed; // (batch x S)
    std::vector<std::int64_t> restore; // (batch x S): where each token is in the order of scores
    std::vector<std::int64_t> pixels;  // (batch, height, width): removed
};
[[nodiscard]] UmdMask umd_mask(const umd::UmdConfig &config, const Values<float> &scores,
                               double ratio);

// (count, ...) of a tensor whose two leading dimensions the file's reader has made one.
[[nodiscard]] Values<float> unfolded(Values<float> values, std::int64_t count);

// Runs a pass over pictures to its end; the network stays as it is then.
void run_umd(umd::Network &network, const sdk::View &tokens, std::span<const std::int32_t> times,
             std::span<const std::int32_t> visible, std::span<const std::int64_t> labels);

// Part `head` (0: x0, 1: eps) of an output (batch, height, width, 2 channels).
[[nodiscard]] std::vector<float> head_of(const std::vector<float> &output, std::int64_t channels,
                                         int head);

// How many whole numbers differ.
[[nodiscard]] double count_differences(std::span<const std::int64_t> a,
                                       std::span<const std::int64_t> b);

} // namespace tessera::golden
