// Faster sampling in whole runs: integrators on both paths, annealing, the guidance interval, and
// deadlines against a clock that only the work moves.
#include "run_checks.hpp"

#include <cmath>

namespace tessera::blocks {
namespace {

class FastRunTest : public testing::Test {
  protected:
    void SetUp() override {
        golden::SyntheticMar shape;
        shape.img_size = 64; // 8 x 8 tokens
        shape.decoder_depth = 2;
        path_ = directory_ / "model.safetensors";
        ASSERT_TRUE(golden::write_synthetic(path_, mar_file(shape)));
    }
    static RunSpec spec(std::vector<std::int64_t> labels = {1}) {
        RunSpec spec;
        spec.labels = std::move(labels);
        spec.steps = 8;
        spec.diffusion.guidance = 2.5;
        spec.diffusion.temperature = 0.9;
        spec.diffusion.denoise_steps = "ddim20";
        spec.seed = 42;
        return spec;
    }
    static RunSpec fast(Integrator integrator, const std::string &steps,
                        std::vector<std::int64_t> labels = {1}) {
        RunSpec fast = spec(std::move(labels));
        fast.diffusion.integrator = integrator;
        fast.diffusion.denoise_steps = steps;
        return fast;
    }
    // All that this file is about at once.
    static RunSpec everything(std::vector<std::int64_t> labels) {
        RunSpec all = fast(Integrator::kDpm2m, "logsnr12", std::move(labels));
        all.diffusion.eta = 0.5;
        all.diffusion.annealing = Annealing::kCosine;
        all.diffusion.last_denoise_steps = 4;
        all.diffusion.guidance_low = 0.1;
        all.diffusion.guidance_high = 0.8;
        all.diffusion.hurry = "6:1";
        return all;
    }

    TemporaryDirectory directory_;
    std::string path_;
};

TEST_F(FastRunTest, TheFusedChainAgreesWithBaseOperations) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    RunSpec noisy = fast(Integrator::kDdim, "ddim10");
    noisy.diffusion.eta = 0.5;
    RunSpec noisy_dpm = fast(Integrator::kDpm2m, "logsnr10");
    noisy_dpm.diffusion.eta = 1.0;
    RunSpec half = spec();
    half.diffusion.guidance_low = 0.3;
    half.diffusion.guidance_high = 0.7;
    for (const RunSpec &best : {fast(Integrator::kDdim, "ddim10"), noisy,
                                fast(Integrator::kDpm2m, "logsnr10"), noisy_dpm, half}) {
        expect_paths_agree(device, model, best);
    }
}

TEST_F(FastRunTest, BatchesAndThreadsDoNotChangeABit) {
    const TestDevice one(1);
    const TestDevice three(3);
    for (const tessera_dtype precision : {TESSERA_DTYPE_F32, TESSERA_DTYPE_BF16}) {
        const std::vector<float> batch =
            sample(three, load_mar(three, path_, precision), everything({1, 1}));
        RunSpec second = everything({1});
        second.first_image = 1;
        const std::vector<float> alone = sample(one, load_mar(one, path_, precision), second);
        const std::vector<float> half(batch.begin() + static_cast<std::ptrdiff_t>(batch.size() / 2),
                                      batch.end());
        EXPECT_EQ(alone, half);
        for (const float value : batch) ASSERT_TRUE(std::isfinite(value));
    }
}

TEST_F(FastRunTest, SettingsThatSayNothingChangeNothing) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    const std::vector<float> reference = sample(device, model, spec());
    RunSpec same = spec();
    same.diffusion.eta = 0.7; // not of ancestral steps
    same.diffusion.annealing = Annealing::kLinear;
    same.diffusion.last_denoise_steps = 20; // down to as many as there are
    EXPECT_EQ(sample(device, model, same), reference);
    same = spec();
    same.diffusion.hurry = "9:1,20:2"; // after the end
    EXPECT_EQ(sample(device, model, same), reference);

    RunSpec annealed = spec();
    annealed.diffusion.annealing = Annealing::kTwoStage;
    annealed.diffusion.last_denoise_steps = 5;
    EXPECT_NE(sample(device, model, annealed), reference);
    EXPECT_NE(sample(device, model, fast(Integrator::kDdim, "ddim20")), reference);
}

TEST_F(FastRunTest, TemperatureOfADeterministicIntegratorIsThatOfTheFirstNoise) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    for (const Integrator integrator : {Integrator::kDdim, Integrator::kDpm2m}) {
        RunSpec cold = fast(integrator, "logsnr6");
        cold.diffusion.temperature = 0.0;
        const std::vector<float> first = sample(device, model, cold);
        cold.seed = 42;
        cold.first_image = 5; // other noise, and the order of another image
        cold.orders = {random_order(42, 0, 64, {})};
        EXPECT_EQ(sample(device, model, cold), first); // no noise at all is left
        cold.diffusion.temperature = 0.5;
        EXPECT_NE(sample(device, model, cold), first);
    }
}

TEST_F(FastRunTest, AnIntervalWithoutStepsIsNoGuidance) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    RunSpec unguided = spec();
    unguided.diffusion.guidance = 1.0;
    const std::vector<float> plain = sample(device, model, unguided);
    RunSpec empty = spec();
    empty.diffusion.guidance_low = 0.6;
    empty.diffusion.guidance_high = 0.4;
    EXPECT_EQ(sample(device, model, empty), plain);
    RunSpec whole = spec();
    RunSpec half = spec();
    half.diffusion.guidance_high = 0.5;
    EXPECT_NE(sample(device, model, half), plain);
    EXPECT_NE(sample(device, model, half), sample(device, model, whole));
}

TEST_F(FastRunTest, TheIntervalSavesTheRowsItLeavesOut) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    const auto work = [&](double low, double high) {
        DiffusionSettings settings = spec().diffusion;
        settings.guidance_low = low;
        settings.guidance_high = high;
        const int counts[] = {20};
        return DenoiseTables(device.compute, model.head, settings, counts).work(20, 5.0, 1.0);
    };
    // 20 steps at times 0, 50, ..., 950 of 999, on 5 rows, 10 when guided.
    EXPECT_EQ(work(0.0, 1.0), 20 * head_work(10.0, 1.0));
    EXPECT_EQ(work(0.0, 0.5), 10 * head_work(10.0, 1.0) + 10 * head_work(5.0, 1.0));
    EXPECT_EQ(work(0.3, 0.7), 8 * head_work(10.0, 1.0) + 12 * head_work(5.0, 1.0));
    EXPECT_EQ(work(1.0, 0.0), 20 * head_work(5.0, 1.0));
}

// A run whose clock goes on by its work alone.
struct Timed {
    std::vector<float> tokens;
    std::string hurried;
    int steps = 0;
    double seconds = 0.0;
};
constexpr double kSecondsPerFlop = 1e-6;

Timed run_timed(const TestDevice &device, const mar::MarModel &model, RunSpec spec, double target,
                Paces &paces, double slow_down = 1.0) {
    double now = 7.0;
    Deadline deadline(
        target, [&] { return now; }, paces);
    if (target > 0.0) spec.deadline = &deadline;
    TokenRun run(device.compute, model, spec);
    while (!run.is_done()) {
        const bool late = run.steps_done() > run.step_count() / 2;
        now += run.next_flops() * kSecondsPerFlop * (late ? slow_down : 1.0);
        run.run_unit();
    }
    return {to_host(device.compute, run.tokens()), run.hurried(), run.step_count(), now - 7.0};
}

TEST_F(FastRunTest, DeadlinesAreKeptAndCanBeMadeAgain) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    Paces unused;
    RunSpec slow = spec({1, 2});
    slow.steps = 16;
    const Timed full = run_timed(device, model, slow, 0.0, unused);
    Timed before = full;
    Paces paces; // the first run learns them
    for (const double share : {1.1, 0.8, 0.6, 0.4, 0.2}) {
        const double target = share * full.seconds;
        const Timed run = run_timed(device, model, slow, target, paces);
        EXPECT_LE(run.seconds, target) << share;
        EXPECT_GE(run.seconds, std::min(full.seconds, 0.7 * target)) << share;
        if (share > 1.0) {
            EXPECT_EQ(run.tokens, full.tokens);
            EXPECT_EQ(run.hurried, "");
        } else {
            EXPECT_NE(run.hurried, "");
        }
        EXPECT_LE(run.steps, before.steps);
        RunSpec again = slow;
        again.diffusion.hurry = run.hurried;
        const Timed same = run_timed(device, model, again, 0.0, unused);
        EXPECT_EQ(same.tokens, run.tokens) << share;
        EXPECT_EQ(same.steps, run.steps);
        before = run;
    }
    EXPECT_EQ(run_timed(device, model, slow, 0.6 * full.seconds, paces).tokens,
              run_timed(device, model, slow, 0.6 * full.seconds, paces).tokens);
}

TEST_F(FastRunTest, ADeadlineCopesWithAMachineThatSlowsDown) {
    const TestDevice device(1);
    const mar::MarModel model = load_mar(device, path_);
    RunSpec slow = spec();
    slow.steps = 16;
    Paces unused, paces;
    const Timed full = run_timed(device, model, slow, 0.0, unused);
    const Timed run = run_timed(device, model, slow, 0.9 * full.seconds, paces, 2.0);
    EXPECT_LE(run.seconds, 0.9 * full.seconds);
    EXPECT_GT(run_timed(device, model, slow, 0.0, unused, 2.0).seconds, 1.3 * full.seconds);
    // What cannot be kept ends as soon as it may.
    const Timed hopeless = run_timed(device, model, slow, 1e-6 * full.seconds, paces);
    EXPECT_EQ(hopeless.steps, 1);
    EXPECT_EQ(hopeless.hurried, "1:6");
}

TEST_F(FastRunTest, UnitsAllocateNothingOnTheDevice) {
    const TestDevice device(1, true);
    const mar::MarModel model = load_mar(device, path_);
    for (const auto path : {DenoiseChain::Path::kBest, DenoiseChain::Path::kBaseOperations}) {
        double now = 0.0;
        Paces paces;
        Deadline deadline(
            1.0, [&] { return now += 0.01; }, paces);
        RunSpec checked = everything({1, 2});
        checked.path = path;
        checked.deadline = &deadline;
        TokenRun run(device.compute, model, checked);
        device.compute.synchronize();
        device.owner.set_stepping(true);
        while (!run.is_done()) run.run_unit();
        EXPECT_NO_THROW(device.compute.synchronize());
        device.owner.set_stepping(false);
    }
}

} // namespace
} // namespace tessera::blocks
