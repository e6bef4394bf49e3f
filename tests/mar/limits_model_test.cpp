// Settings beyond what the bundled model offers: with its range of tokens it still makes a picture
// of every class. tests/bench/limits.py goes through all combinations.
#include "test_job.hpp"
#include "tests/blocks/recording_sink.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <numeric>

namespace tessera::blocks {
namespace {

// Standard deviation of the colours of a picture.
double spread(const Picture &pixels) {
    double sum = 0.0, squares = 0.0, count = 0.0;
    for (std::size_t i = 0; i < pixels.size(); ++i) {
        if (i % 4 == 3) continue;
        sum += pixels[i];
        squares += static_cast<double>(pixels[i]) * pixels[i];
        ++count;
    }
    return std::sqrt(std::max(0.0, squares / count - sum * sum / count / count));
}

// A picture of one colour, as numbers that ended made it, has 0. Metal without any noise is nearly
// that by right: 0.52, and 0.47 where bf16 weights make bf16 products.
constexpr double kFlat = 0.25;

struct Setting {
    const char *name;
    double guidance;
    double temperature;
    Integrator integrator;
    double eta;
    int steps;
};

class LimitsModelTest : public testing::TestWithParam<Setting> {};

INSTANTIATE_TEST_SUITE_P(
    Settings, LimitsModelTest,
    testing::Values(Setting{"StrongAndHot", 20.0, 2.0, Integrator::kAncestral, 0.0, 5},
                    Setting{"StrongAndCold", 20.0, 0.0, Integrator::kDdim, 0.0, 5},
                    Setting{"SecondOrder", 20.0, 2.0, Integrator::kDpm2m, 1.0, 5},
                    Setting{"Usual", 7.0, 1.0, Integrator::kAncestral, 0.0, 12}),
    [](const auto &setting) { return std::string(setting.param.name); });

TEST_P(LimitsModelTest, EveryClassIsAPicture) {
    const std::filesystem::path folder =
        std::filesystem::path(TESSERA_SOURCE_DIR) / "plugins/models/materials_mar_latents";
    const std::string path = folder / "generator.safetensors";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "no bundled model";
    const TestDevice device(2);
    const sdk::Weights weights(device.plugin_host, path);
    const mar::MarModel model = load_mar(device, path, TESSERA_DTYPE_BF16);
    const LatentCodec codec = load_codec(device, folder / "tokenizer.safetensors");
    const Config limits = Config::parse(weights.metadata("limits").value(), path + ": limits");
    const auto [low, high] = limits.range("tokens", -1e6, 1e6);

    TestJobSpec spec;
    spec.tokens.labels.resize(static_cast<std::size_t>(model.config.classes));
    std::iota(spec.tokens.labels.begin(), spec.tokens.labels.end(), 0);
    spec.tokens.steps = GetParam().steps;
    spec.tokens.diffusion.denoise_steps =
        GetParam().integrator == Integrator::kDpm2m ? "logsnr6" : "ddim8";
    spec.tokens.diffusion.schedule = GuidanceSchedule::kConstant;
    spec.tokens.diffusion.guidance = GetParam().guidance;
    spec.tokens.diffusion.temperature = GetParam().temperature;
    spec.tokens.diffusion.integrator = GetParam().integrator;
    spec.tokens.diffusion.eta = GetParam().eta;
    spec.tokens.diffusion.tokens = {low, high};
    RecordingSink sink;
    ASSERT_EQ(failure_of([&] {
                  ModelJob job = make_job(device.compute, model, codec, spec, sink.sink());
                  while (job.step(0) == sdk::Status::kMore) {
                  }
              }),
              "");
    const std::vector<Picture> pictures = sink.final_pictures();
    ASSERT_EQ(pictures.size(), spec.tokens.labels.size());
    double least = 255.0;
    for (std::size_t i = 0; i < pictures.size(); ++i) {
        EXPECT_GT(spread(pictures[i]), kFlat) << "class " << i;
        least = std::min(least, spread(pictures[i]));
    }
    RecordProperty("least_spread", std::to_string(least));
}

} // namespace
} // namespace tessera::blocks
