// Runs of the texture model: the same bytes however it is run, known tokens, bounds.
#include "tests/texture/test_model.hpp"

#include "blocks/texture/encoding.hpp"

#include <tessera/generator.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace tessera::texture {
namespace {

const std::string kWeights = data_path("weights.safetensors");

// Tokens (S, 195) of a made-up picture: noise, in one style of the model.
std::vector<float> made_up(const TextureModel &model, Grid grid, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const blocks::Style style = model.bank.raw(model.bank.draw(0, 0.1, seed, 0, 0));
    std::vector<float> tokens;
    for (std::int64_t token = 0; token < grid.tokens(); ++token) {
        for (std::int64_t i = 0; i < kTokenNumbers; ++i) tokens.push_back(normal(random));
        tokens.insert(tokens.end(), style.begin(), style.end());
    }
    return tokens;
}

std::vector<std::uint8_t> box_hole(Grid grid) {
    std::vector<std::uint8_t> known(static_cast<std::size_t>(grid.tokens()), 1);
    for (std::int64_t y = 1; y < 4; ++y) {
        for (std::int64_t x = 2; x < 4; ++x)
            known[static_cast<std::size_t>(y * grid.columns + x)] = 0;
    }
    return known;
}

TEST(TextureTimes, AreDenseAtNoiseAboveAPowerOfOne) {
    TextureConfig config;
    EXPECT_EQ(run_times(config, 4), (std::vector<double>{0.996, 0.75, 0.5, 0.25, 0.004}));
    config.time_power = 2.0;
    EXPECT_THAT(run_times(config, 4), testing::Pointwise(testing::DoubleNear(1e-12),
                                                         {0.996, 0.934, 0.748, 0.438, 0.004}));
}

TEST(TextureRun, APictureIsTheSameAloneAndAmongOthersOnAnyNumberOfThreads) {
    const TestDevice one(1), three(3);
    RunRequest request;
    request.labels = {0, 2, -1};
    request.first_image = 4;
    const std::vector<float> together = run_tokens(three, load_model(three, kWeights), request);
    const TextureModel model = load_model(one, kWeights);
    const auto size = static_cast<std::ptrdiff_t>(together.size() / 3);
    for (std::ptrdiff_t i = 0; i < 3; ++i) {
        RunRequest alone = request;
        alone.labels = {request.labels[static_cast<std::size_t>(i)]};
        alone.first_image += static_cast<std::uint32_t>(i);
        const std::vector<float> made = run_tokens(one, model, alone);
        EXPECT_TRUE(std::equal(made.begin(), made.end(), together.begin() + i * size)) << i;
    }
    EXPECT_FALSE(std::equal(together.begin(), together.begin() + size, together.begin() + size));
}

// A device for models that shall have float32 weights where they ask for f16. One at a time.
class Widening {
  public:
    explicit Widening(const tessera_compute &over) : table_(over) {
        linear_ = over.pack_linear;
        conv2d_ = over.pack_conv2d;
        asked_ = 0;
        table_.pack_linear = pack<&linear_>;
        table_.pack_conv2d = pack<&conv2d_>;
    }
    [[nodiscard]] const tessera_compute *table() const { return &table_; }
    [[nodiscard]] static int asked() { return asked_; } // how often for f16

  private:
    using Pack = decltype(tessera_compute::pack_linear);
    template <Pack *kPack>
    static tessera_status pack(const tessera_compute *compute, const tessera_tensor *weight,
                               tessera_dtype precision, tessera_tensor *packed) {
        const bool f16 = precision == TESSERA_DTYPE_F16;
        asked_ += f16 ? 1 : 0;
        return (*kPack)(compute, weight, f16 ? TESSERA_DTYPE_F32 : precision, packed);
    }
    static inline Pack linear_, conv2d_;
    static inline int asked_;
    tessera_compute table_;
};

TEST(TextureRun, F16WeightsMakeTheBytesOfFloat32) {
    const std::string bundled =
        TESSERA_SOURCE_DIR "/plugins/models/materials/generator.safetensors";
    const TestDevice device;
    TestDevice wide;
    const Widening widening(*wide.owner.table());
    wide.compute = sdk::Compute(widening.table());
    RunRequest request;
    request.grid = {4, 3};
    request.steps = 2;
    const TextureModel model = load_model(wide, bundled);
    EXPECT_GT(Widening::asked(), 20);
    EXPECT_EQ(run_tokens(device, load_model(device, bundled), request),
              run_tokens(wide, model, request));
}

TEST(TextureRun, AnotherSeedAndAnotherClassAreOthers) {
    const TestDevice device;
    const TextureModel model = load_model(device, kWeights);
    RunRequest request;
    const std::vector<float> first = run_tokens(device, model, request);
    EXPECT_EQ(run_tokens(device, model, request), first);
    request.seed = 8;
    EXPECT_NE(run_tokens(device, model, request), first);
    request.seed = 7;
    request.labels = {2};
    EXPECT_NE(run_tokens(device, model, request), first);
}

TEST(TextureRun, KnownTokensStayAsTheyAreAndDecideTheStyle) {
    const TestDevice device;
    const TextureModel model = load_model(device, kWeights);
    RunRequest request;
    request.labels = {0, 1};
    request.known = box_hole(request.grid);
    request.given = made_up(model, request.grid, 3);
    for (const int sets : {1, 3}) {
        request.sets = sets;
        const std::vector<float> made = run_tokens(device, model, request);
        for (std::size_t i = 0; i < made.size(); ++i) {
            const std::size_t place = i % request.given.size();
            const bool style = place % kTokenWidth >= kTokenNumbers;
            if (style) {
                ASSERT_NEAR(made[i], request.given[place], 1e-6);
            } else if (request.known[place / kTokenWidth] != 0) {
                ASSERT_EQ(made[i], request.given[place]);
            } else {
                ASSERT_NE(made[i], request.given[place]);
            }
        }
    }
}

TEST(TextureRun, WhatIsInTheHoleIsNotReadAndWhatIsKnownIs) {
    const TestDevice device;
    const TextureModel model = load_model(device, kWeights);
    RunRequest request;
    request.known = box_hole(request.grid);
    request.given = made_up(model, request.grid, 3);
    const std::vector<float> made = run_tokens(device, model, request);
    RunRequest other = request;
    for (std::size_t i = 0; i < other.given.size(); ++i) {
        if (other.known[i / kTokenWidth] == 0) other.given[i] = 1e3F;
    }
    EXPECT_EQ(run_tokens(device, model, other), made);
    other = request;
    other.given[0] += 2.0F; // the first token is known and next to the hole
    const std::vector<float> changed = run_tokens(device, model, other);
    const auto in_hole = static_cast<std::ptrdiff_t>((request.grid.columns + 2) * kTokenWidth);
    EXPECT_FALSE(std::equal(made.begin() + in_hole, made.begin() + in_hole + kTokenNumbers,
                            changed.begin() + in_hole));
}

TEST(TextureRun, NothingToMakeIsDoneAtOnce) {
    const TestDevice device;
    const TextureModel model = load_model(device, kWeights);
    RunRequest request;
    request.known.assign(static_cast<std::size_t>(request.grid.tokens()), 1);
    request.given = made_up(model, request.grid, 5);
    TextureRun run(device.compute, model, spec_of(request), request.sets);
    EXPECT_EQ(run.step_count(), 0);
    const std::vector<float> made = finish(device, run, request);
    for (std::size_t i = 0; i < made.size(); ++i) ASSERT_NEAR(made[i], request.given[i], 1e-6);
}

// Whatever is asked for, tokens stay within what the model has seen, and none is not a number.
TEST(TextureRun, StaysInRangeAtAnyGuidanceTemperatureAndIntegrator) {
    const TestDevice device(2);
    const TextureModel model = load_model(device, kWeights);
    RunRequest request;
    request.grid = {5, 7};
    for (const auto integrator :
         {blocks::Integrator::kAncestral, blocks::Integrator::kDdim, blocks::Integrator::kDpm2m}) {
        for (const double guidance : {1.0, 20.0}) {
            for (const double temperature : {0.0, 1.0, 2.0}) {
                request.integrator = integrator;
                request.guidance = guidance;
                request.temperature = temperature;
                const std::vector<float> made = run_tokens(device, model, request);
                for (std::size_t i = 0; i < made.size(); ++i) {
                    const std::size_t number = i % kTokenWidth;
                    if (number >= kTokenNumbers) continue;
                    ASSERT_LE(std::abs(made[i]), model.limit[number]) << i;
                }
                const std::vector<float> picture = picture_of(device, made, request.grid);
                ASSERT_TRUE(std::all_of(picture.begin(), picture.end(),
                                        [](float v) { return std::isfinite(v); }));
            }
        }
    }
}

TEST(TextureRun, NoiseOfTheStepsIsOfTheTemperatureAndTheSeed) {
    const TestDevice device;
    const TextureModel model = load_model(device, kWeights);
    RunRequest request;
    request.integrator = blocks::Integrator::kDdim;
    const std::vector<float> still = run_tokens(device, model, request);
    request.eta = 1.0;
    const std::vector<float> noisy = run_tokens(device, model, request);
    EXPECT_NE(noisy, still);
    EXPECT_EQ(run_tokens(device, model, request), noisy);
    request.integrator = blocks::Integrator::kAncestral; // is ddim with all of the noise
    request.eta = 0.0;
    EXPECT_EQ(run_tokens(device, model, request), noisy);
}

TEST(TextureRun, CellsTellWhichSetIsWhich) {
    const TestDevice device;
    const TextureModel model = load_model(device, kWeights);
    RunRequest request;
    request.sets = 4;
    request.known = box_hole(request.grid);
    request.given = made_up(model, request.grid, 3);
    TextureRun run(device.compute, model, spec_of(request), request.sets);
    const sdk::Tensor given = device.compute.to_device(
        sdk::host_view(request.given.data(), {1, request.grid.tokens(), kTokenWidth}));
    run.give(given);
    EXPECT_EQ(run.step_count(), 4 * request.steps);
    std::int64_t made = 0;
    while (!run.is_done()) {
        while (!run.run_unit()) {
        }
        const auto cells = run.cells(0);
        std::int64_t now = 0;
        for (std::size_t i = 0; i < cells.size(); ++i) {
            EXPECT_EQ(cells[i] == TESSERA_CELL_GIVEN, request.known[i] != 0);
            now += cells[i] == TESSERA_CELL_KNOWN || cells[i] == TESSERA_CELL_CHANGED ? 1 : 0;
        }
        EXPECT_GE(now, made);
        made = now;
    }
    EXPECT_EQ(made, std::count(request.known.begin(), request.known.end(), std::uint8_t{0}));
}

TEST(TextureRun, TheWatchedTokenIsKeptLevelByLevel) {
    const TestDevice device;
    const TextureModel model = load_model(device, kWeights);
    RunRequest request;
    request.watched = 11;
    TextureRun run(device.compute, model, spec_of(request), request.sets);
    const std::vector<float> tokens = finish(device, run, request);
    const sdk::View chain = run.watched_chain();
    ASSERT_EQ(chain.shape[0], request.steps + 1);
    ASSERT_EQ(chain.shape[1], kTokenWidth);
    const auto *last = static_cast<const float *>(chain.data) + request.steps * kTokenWidth;
    EXPECT_TRUE(std::equal(last, last + kTokenWidth, tokens.begin() + 11 * kTokenWidth));
}

// The trunk lives on the torus and a style has no place: what stands for a picture moves with it.
TEST(TextureEncoding, MovesWithThePictureAndHoldsItsStyle) {
    const TestDevice device;
    const TextureModel model = load_model(device, kWeights);
    const Grid grid{4, 3}; // one window: cut grids attend to parts of themselves
    const std::int64_t width = model.config.width + blocks::kStyleNumbers;
    RunRequest request;
    request.grid = grid;
    std::vector<float> tokens = run_tokens(device, model, request);
    const auto encoded = [&](int layer) {
        Encoding encoding(device.compute, model, spec_of(request).grid, layer);
        const sdk::Tensor given = device.compute.to_device(
            sdk::host_view(tokens.data(), {1, grid.tokens(), kTokenWidth}));
        encoding.give(given);
        while (!encoding.is_done()) encoding.run_unit();
        const auto [pooled, dense] = encoding.features();
        return std::pair(to_host(device.compute, pooled), to_host(device.compute, dense));
    };
    const int layers = static_cast<int>(model.config.layers.size());
    const auto [pooled, dense] = encoded(layers);
    ASSERT_EQ(pooled.size(), static_cast<std::size_t>(width));
    blocks::Style raw{};
    std::copy_n(tokens.begin() + kTokenNumbers, raw.size(), raw.begin());
    const blocks::Style style = model.bank.standard(raw);
    EXPECT_TRUE(std::equal(style.begin(), style.end(), pooled.begin() + model.config.width));
    EXPECT_NE(encoded(1).second, dense);

    std::rotate(tokens.begin(), tokens.begin() + grid.columns * kTokenWidth, tokens.end());
    std::vector<float> moved = dense;
    std::rotate(moved.begin(), moved.begin() + grid.columns * width, moved.end());
    const auto [still, there] = encoded(layers);
    for (std::size_t i = 0; i < moved.size(); ++i) ASSERT_NEAR(there[i], moved[i], 1e-3) << i;
    for (std::size_t i = 0; i < pooled.size(); ++i) ASSERT_NEAR(still[i], pooled[i], 1e-4) << i;
}

TEST(TextureRun, MixingGoesFromOneClassToTheOther) {
    const TestDevice device;
    const TextureModel model = load_model(device, kWeights);
    RunRequest request;
    request.labels = {0};
    const std::vector<float> first = run_tokens(device, model, request);
    request.mix = {2, 0.0F};
    EXPECT_EQ(run_tokens(device, model, request), first);
    request.mix = {2, 0.5F};
    const std::vector<float> half = run_tokens(device, model, request);
    EXPECT_NE(half, first);
    request.mix = {2, 1.0F};
    const std::vector<float> whole = run_tokens(device, model, request);
    request.labels = {2};
    request.mix = {};
    const std::vector<float> second = run_tokens(device, model, request);
    for (std::size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(whole[i], second[i], 1e-3);
}

TEST(TextureWindows, EveryTokenIsMadeOnceAndSeenInItsOwnWindow) {
    for (const std::int64_t side : {3, 16, 17, 24, 31, 32, 33, 48, 128}) {
        for (const std::int64_t offset : {0, 5, 27}) {
            const AxisWindows made = axis_windows(side, 16, offset);
            ASSERT_EQ(static_cast<std::int64_t>(made.rows.size()), made.count * made.length);
            for (std::int64_t token = 0; token < side; ++token) {
                const auto t = static_cast<std::size_t>(token);
                const std::int64_t at = made.owner[t] * made.length + made.place[t];
                EXPECT_EQ(made.rows[static_cast<std::size_t>(at)], token);
            }
        }
    }
}

// A run whose clock goes on by its work alone.
struct Timed {
    std::vector<float> tokens;
    std::string hurried;
    int steps = 0;
    double seconds = 0.0;
};

Timed run_timed(const TestDevice &device, const TextureModel &model, const RunRequest &request,
                double target, blocks::Paces &paces, const std::string &hurry = {},
                double slow_down = 1.0) {
    constexpr double kSecondsPerFlop = 1e-6;
    double now = 7.0;
    blocks::Deadline deadline(
        target, [&] { return now; }, paces);
    blocks::RunSpec spec = spec_of(request);
    spec.diffusion.hurry = hurry;
    if (target > 0.0) spec.deadline = &deadline;
    TextureRun run(device.compute, model, spec, request.sets);
    while (!run.is_done()) {
        const bool late = run.steps_done() > run.step_count() / 2;
        now += run.next_flops() * kSecondsPerFlop * (late ? slow_down : 1.0);
        run.run_unit();
    }
    return {to_host(device.compute, run.tokens()), run.hurried(), run.step_count(), now - 7.0};
}

TEST(TextureRun, DeadlinesAreKeptAndCanBeMadeAgain) {
    const TestDevice device;
    const TextureModel model = load_model(device, kWeights);
    for (const int sets : {1, 3}) {
        RunRequest request;
        request.labels = {0, 2};
        request.steps = 16;
        request.sets = sets;
        blocks::Paces unused, paces; // the first run learns them
        const Timed full = run_timed(device, model, request, 0.0, unused);
        EXPECT_EQ(full.steps, 16 * sets);
        Timed before = full;
        for (const double share : {1.1, 0.8, 0.6, 0.4, 0.2}) {
            const double target = share * full.seconds;
            const Timed run = run_timed(device, model, request, target, paces);
            EXPECT_LE(run.seconds, target) << share;
            EXPECT_GE(run.seconds, std::min(full.seconds, 0.5 * target)) << share;
            EXPECT_EQ(run.hurried.empty(), share > 1.0) << share;
            EXPECT_EQ(run.tokens == full.tokens, share > 1.0) << share;
            EXPECT_LE(run.steps, before.steps);
            const Timed same = run_timed(device, model, request, 0.0, unused, run.hurried);
            EXPECT_EQ(same.tokens, run.tokens) << share;
            EXPECT_EQ(same.steps, run.steps);
            before = run;
        }
        const Timed late = run_timed(device, model, request, 0.9 * full.seconds, paces, {}, 2.0);
        EXPECT_LE(late.seconds, 0.9 * full.seconds);
        // What cannot be kept ends as soon as it may.
        const Timed hopeless = run_timed(device, model, request, 1e-6 * full.seconds, paces);
        EXPECT_EQ(hopeless.steps, sets);
        EXPECT_EQ(hopeless.hurried, "1:6");
    }
}

} // namespace
} // namespace tessera::texture
