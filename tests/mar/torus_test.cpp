// What only MAR on wavelet tokens does.
#include "tests/blocks/test_device.hpp"

#include "blocks/shell/token_run.hpp"
#include "mar/torus.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace tessera::mar {
namespace {

using blocks::TestDevice;
using blocks::to_host;
using texture::kTokenNumbers;
using texture::kTokenWidth;

TorusModel load_model(const TestDevice &device) {
    const std::string path = TESSERA_SOURCE_DIR "/tests/golden/data/mar_torus/weights.safetensors";
    const sdk::Weights weights(device.plugin_host, path);
    const auto config = TorusConfig::read(
        blocks::Config::parse(weights.metadata("config").value_or("{}"), path + ": config"));
    blocks::WeightLoader loader(weights, device.compute);
    return loader.run(
        [&](blocks::WeightLoader &l) { return TorusModel::load(config, l, TESSERA_DTYPE_F32); });
}

blocks::RunSpec spec_of(std::int64_t rows, std::int64_t columns) {
    blocks::RunSpec spec;
    spec.grid = TorusConfig::grid();
    spec.grid.rows = rows;
    spec.grid.columns = columns;
    spec.labels = {1};
    spec.steps = 4;
    spec.diffusion.denoise_steps = "5";
    spec.diffusion.guidance = 2.0;
    spec.diffusion.schedule = blocks::GuidanceSchedule::kConstant;
    spec.seed = 7;
    return spec;
}

std::vector<float> finish(const TestDevice &device, blocks::TokenRun &run) {
    while (!run.is_done()) run.run_unit();
    return to_host(device.compute, run.tokens());
}

// Pictures of one run and of runs of their own have the same bytes, and a run of any other number
// of threads.
TEST(TorusRun, APictureIsTheSameAloneAndInABatch) {
    const TestDevice device(2);
    const TorusModel model = load_model(device);
    blocks::RunSpec both = spec_of(8, 9);
    both.labels = {1, 1};
    blocks::TokenRun pair(device.compute, model, both);
    const std::vector<float> batch = finish(device, pair);
    const TestDevice single(1);
    const TorusModel again = load_model(single);
    blocks::RunSpec second = spec_of(8, 9);
    second.first_image = 1;
    blocks::TokenRun alone(single.compute, again, second);
    const std::vector<float> own = finish(single, alone);
    EXPECT_TRUE(std::equal(own.begin(), own.end(),
                           batch.begin() + static_cast<std::ptrdiff_t>(own.size())));
}

// As a window of the endless canvas asks.
TEST(TorusRun, GivenTokensGiveTheirStyleEvenWhereNoneIsKept) {
    const TestDevice device(2);
    const TorusModel model = load_model(device);
    const blocks::Style style = model.trunk.bank.raw(model.trunk.bank.draw(0, 0.0, 3, 0, 0));
    std::vector<float> wide(64 * static_cast<std::size_t>(kTokenWidth));
    for (std::size_t token = 0; token < 64; ++token) {
        std::copy(style.begin(), style.end(),
                  wide.begin() + static_cast<std::ptrdiff_t>(token * kTokenWidth + kTokenNumbers));
    }
    blocks::TokenRun run(device.compute, model, spec_of(8, 8));
    run.give(device.compute.to_device(sdk::host_view(wide.data(), {1, 64, kTokenWidth})));
    const std::vector<float> tokens = finish(device, run);
    for (std::size_t token = 0; token < 64; ++token) {
        EXPECT_TRUE(std::equal(
            style.begin(), style.end(),
            tokens.begin() + static_cast<std::ptrdiff_t>(token * kTokenWidth + kTokenNumbers)));
    }
}

// Guidance at less than its price keeps styles and changes the tokens little.
TEST(TorusRun, UnguidedHalvesMayBeKept) {
    const TestDevice device(2);
    const TorusModel model = load_model(device);
    const auto tokens = [&](int refresh) {
        blocks::RunSpec spec = spec_of(8, 8);
        spec.steps = 16;
        spec.diffusion.guidance_refresh = refresh;
        blocks::TokenRun run(device.compute, model, spec);
        return finish(device, run);
    };
    const std::vector<float> exact = tokens(1);
    const std::vector<float> cached = tokens(4);
    EXPECT_NE(exact, cached);
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
        if (i % kTokenWidth >= kTokenNumbers) {
            ASSERT_EQ(exact[i], cached[i]);
            continue;
        }
        difference += std::pow(static_cast<double>(exact[i]) - cached[i], 2);
        size += std::pow(static_cast<double>(exact[i]), 2);
    }
    EXPECT_LT(difference, 0.1 * size);
}

// The chain of a watched token is as wide as a token: it is shown as a picture.
TEST(TorusRun, AWatchedTokenCarriesItsStyle) {
    const TestDevice device(2);
    const TorusModel model = load_model(device);
    blocks::RunSpec spec = spec_of(8, 8);
    spec.watched = model.order(spec, 0).back(); // the first to be made
    blocks::TokenRun run(device.compute, model, spec);
    while (!run.run_unit()) {
    }
    const sdk::View chain = run.watched_chain();
    ASSERT_NE(chain.data, nullptr);
    ASSERT_EQ(chain.shape[1], kTokenWidth);
    const auto *last = static_cast<const float *>(chain.data) + (chain.shape[0] - 1) * kTokenWidth;
    const std::vector<float> tokens = to_host(device.compute, run.tokens());
    EXPECT_TRUE(std::equal(last, last + kTokenWidth,
                           tokens.begin() + std::ptrdiff_t{spec.watched} * kTokenWidth));
}

// What the head sampled too evenly or too wildly is set right, group by group, but for what is
// given.
TEST(TorusRun, TokensOfAPictureDeviateByOne) {
    const TestDevice device(2);
    const TorusModel model = load_model(device);
    for (const double temperature : {0.6, 1.0, 1.5}) {
        blocks::RunSpec spec = spec_of(8, 8);
        spec.diffusion.temperature = temperature;
        blocks::TokenRun run(device.compute, model, spec);
        std::vector<float> numbers;
        const std::vector<float> tokens = finish(device, run);
        for (std::size_t i = 0; i < tokens.size(); i += kTokenWidth) {
            const auto from = tokens.begin() + static_cast<std::ptrdiff_t>(i);
            numbers.insert(numbers.end(), from, from + kTokenNumbers);
        }
        for (const double energy : blocks::group_energy(numbers)) EXPECT_NEAR(energy, 1.0, 1e-3);
    }
}

} // namespace
} // namespace tessera::mar
