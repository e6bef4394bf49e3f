// A random decoder of images, badly conditioned on purpose: rounding errors of one convolution grow
// on their way through the others, and only exact convolutions stay within the limit of a decoder.
// Measured: 1.5e-5 here; 4.5e-5 by Winograd, and as much by sums over all terms in one row.
#include "devices.hpp"
#include "harness.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

namespace tessera::testing {
namespace {

constexpr double kDecoderLimit = 3e-5; // absolute, of a decoded image in exact precision
constexpr std::int64_t kGroups = 8;
constexpr double kEpsilon = 1e-6;
// Far from what training gives: convolutions over ones that keep the variance, and norms.
constexpr double kGain = 6.0;
constexpr double kNormGain = 2.5;

// conv3x3(swish(GN(x))), plus x where the channels stay; a nearest upsampling before it.
struct Layer {
    std::int64_t in, out;
    std::int64_t upsample = 1;
    bool normed = true;
};
constexpr Layer kLayers[] = {{4, 48, 1, false}, {48, 48}, {48, 48},           {48, 48, 2, false},
                             {48, 48},          {48, 48}, {48, 48, 2, false}, {48, 48},
                             {48, 48},          {48, 3}};

struct LayerWeights {
    Array weight, bias, gamma, beta;
};

std::vector<LayerWeights> random_weights() {
    std::vector<LayerWeights> all;
    std::uint64_t seed = 100;
    for (const Layer &layer : kLayers) {
        const double deviation = kGain / std::sqrt(9.0 * static_cast<double>(layer.in));
        LayerWeights w;
        w.weight = random_array({layer.out, layer.in, 3, 3}, ++seed, deviation);
        w.bias = random_array({layer.out}, ++seed);
        w.gamma = random_array({layer.in}, ++seed, 0.5, kNormGain);
        w.beta = random_array({layer.in}, ++seed, 0.5);
        all.push_back(std::move(w));
    }
    return all;
}

bool adds_input(const Layer &layer) { return layer.normed && layer.in == layer.out; }

Array reference_image(const std::vector<LayerWeights> &weights, const Array &z) {
    Array x = z;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const Layer &layer = kLayers[i];
        const LayerWeights &w = weights[i];
        reference::ConvOptions options;
        options.upsample = layer.upsample;
        options.pad_top = options.pad_left = options.pad_bottom = options.pad_right = 1;
        options.bias = &w.bias;
        options.residual = adds_input(layer) ? &x : nullptr;
        const Array in = layer.normed ? reference::group_norm(x, kGroups, w.gamma, w.beta, kEpsilon,
                                                              TESSERA_ACTIVATION_SILU)
                                      : x;
        x = reference::conv2d(in, w.weight, options).value;
    }
    return x;
}

Array image(const tessera_compute &compute, const std::vector<LayerWeights> &weights,
            const Array &z, bool exact) {
    auto x = std::make_unique<DeviceTensor>(compute, z);
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const Layer &layer = kLayers[i];
        const LayerWeights &w = weights[i];
        const Shape in_shape(x->view()->shape, x->view()->shape + 4);
        const Shape out_shape{1, in_shape[1] * layer.upsample, in_shape[2] * layer.upsample,
                              layer.out};
        const PackedWeight weight(compute, w.weight, TESSERA_DTYPE_F32);
        const DeviceTensor bias(compute, w.bias);
        const DeviceTensor gamma(compute, w.gamma);
        const DeviceTensor beta(compute, w.beta);
        const DeviceTensor normed(compute, in_shape);
        auto out = std::make_unique<DeviceTensor>(compute, out_shape);
        tessera_conv2d options{};
        options.struct_size = sizeof options;
        options.upsample = static_cast<std::uint32_t>(layer.upsample);
        options.pad_top = options.pad_left = options.pad_bottom = options.pad_right = 1;
        options.bias = bias.view();
        options.residual = adds_input(layer) ? x->view() : nullptr;
        options.exact = exact ? 1 : 0;
        if (layer.normed) {
            compute.group_norm(&compute, x->view(), kGroups, gamma.view(), beta.view(),
                               static_cast<float>(kEpsilon), TESSERA_ACTIVATION_SILU,
                               normed.view());
        }
        const tessera_tensor *in = layer.normed ? normed.view() : x->view();
        compute.conv2d(&compute, in, weight.view(), &options, out->view());
        x = std::move(out);
    }
    return x->download();
}

double largest_difference(const Array &a, const Array &b) {
    double largest = 0;
    for (std::int64_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
    return largest;
}

class ExactStackTest : public DeviceTest {};
TESSERA_ON_ALL_DEVICES(ExactStackTest);

TEST_P(ExactStackTest, StaysWithinTheLimitOfADecoder) {
    const std::vector<LayerWeights> weights = random_weights();
    const Array z = random_array({1, 8, 8, 4}, 99);
    const Array want = reference_image(weights, z);
    EXPECT_LT(largest_difference(image(device(), weights, z, true), want), kDecoderLimit);
}

} // namespace
} // namespace tessera::testing
