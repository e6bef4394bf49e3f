// The fused denoise chain against the reference and against the base operations.
#include "devices.hpp"
#include "harness.hpp"

#include <tessera/ext/vulkan.h>

#include <cmath>
#include <deque>
#include <limits>

namespace tessera::testing {
namespace {

struct ChainCase {
    std::int64_t rows, token_width, width, condition_width, blocks, steps;
    bool guided;
    std::vector<std::uint32_t> calls = {}; // steps of each advance; empty: all at once
};

const ChainCase kCases[] = {
    {1, 4, 32, 16, 1, 3, false},
    {2, 16, 64, 48, 3, 10, true},
    {13, 16, 96, 32, 2, 5, false, {1, 1, 3}},
    {7, 5, 77, 33, 2, 7, true, {2, 4, 1}},
    {40, 16, 64, 64, 2, 4, true},
    {120, 16, 48, 32, 1, 3, true}, // more rows than a backend may like to run together
    {3, 16, 32, 16, 0, 2, false},  // no block
    {3, 16, 1024, 32, 1, 2, true}, // the width of MAR-B
};

reference::DenoiseLinear random_layer(std::int64_t out, std::int64_t in, std::uint64_t seed) {
    return {random_array({out, in}, seed, 0.7 / std::sqrt(static_cast<double>(in))),
            random_array({out}, seed + 1000, 0.1)};
}

reference::DenoiseNetwork random_network(const ChainCase &c) {
    reference::DenoiseNetwork network;
    network.epsilon = static_cast<double>(1e-6F);
    network.input = random_layer(c.width, c.token_width, 1);
    network.condition = random_layer(c.width, c.condition_width, 2);
    network.final_ada = random_layer(2 * c.width, c.width, 3);
    network.final = random_layer(2 * c.token_width, c.width, 4);
    for (std::int64_t i = 0; i < c.blocks; ++i) {
        const auto seed = static_cast<std::uint64_t>(10 + 10 * i);
        network.blocks.push_back(
            {random_array({c.width}, seed, 0.1, 1), random_array({c.width}, seed + 1, 0.1),
             random_layer(c.width, c.width, seed + 2), random_layer(c.width, c.width, seed + 3),
             random_layer(3 * c.width, c.width, seed + 4)});
    }
    return network;
}

reference::DenoiseSet random_set(const ChainCase &c) {
    reference::DenoiseSet set;
    set.guided = c.guided;
    set.guidance = 2.5;
    set.condition = random_array({c.guided ? 2 * c.rows : c.rows, c.condition_width}, 5);
    set.time = random_array({c.steps, c.width}, 6);
    set.noise = random_array({c.steps, c.rows, c.token_width}, 7);
    for (std::int64_t s = 0; s < c.steps; ++s) {
        const float noise = s + 1 < c.steps ? 0.9F : 0.0F; // none at the last step
        set.steps.push_back({1.02F, -0.15F, -3.0F, 0.5F, noise});
    }
    return set;
}

void round_weights(reference::DenoiseNetwork &network, tessera_dtype precision) {
    for (auto *layer : {&network.input, &network.condition, &network.final_ada, &network.final})
        layer->weight = rounded(layer->weight, precision);
    for (auto &block : network.blocks)
        for (auto *layer : {&block.mlp_in, &block.mlp_out, &block.ada})
            layer->weight = rounded(layer->weight, precision);
}

// The network on a device; its first and last layer (those next to the token) in float32 if wanted.
class DeviceNetwork {
  public:
    DeviceNetwork(const tessera_compute &compute, const reference::DenoiseNetwork &given,
                  tessera_dtype precision, bool exact_ends = false)
        : compute_(compute), precision_(precision) {
        network_.struct_size = sizeof network_;
        network_.epsilon = static_cast<float>(given.epsilon);
        network_.input = layer(given.input, exact_ends);
        network_.condition = layer(given.condition);
        network_.final_ada = layer(given.final_ada);
        network_.final = layer(given.final, exact_ends);
        for (const auto &block : given.blocks)
            blocks_.push_back({vector(block.gamma), vector(block.beta), layer(block.mlp_in),
                               layer(block.mlp_out), layer(block.ada)});
        network_.blocks = blocks_.data();
        network_.block_count = static_cast<std::uint32_t>(blocks_.size());
    }
    [[nodiscard]] const tessera_mlp_denoiser_network *view() const { return &network_; }

  private:
    const tessera_tensor *vector(const Array &values) {
        return tensors_.emplace_back(compute_, values).view();
    }
    tessera_mlp_denoiser_linear layer(const reference::DenoiseLinear &given, bool exact = false) {
        const tessera_dtype precision = exact ? TESSERA_DTYPE_F32 : precision_;
        return {weights_.emplace_back(compute_, given.weight, precision).view(),
                vector(given.bias)};
    }

    const tessera_compute &compute_;
    tessera_dtype precision_;
    std::deque<DeviceTensor> tensors_;
    std::deque<PackedWeight> weights_;
    std::vector<tessera_mlp_denoiser_block> blocks_;
    tessera_mlp_denoiser_network network_{};
};

struct ChainRun {
    std::uint32_t room_rows = 0; // 0: as many as the set has
    const tessera_random *random = nullptr;
    bool exact_ends = false;
};

const tessera_ext_mlp_denoiser *denoise_of(const tessera_compute &compute) {
    return static_cast<const tessera_ext_mlp_denoiser *>(
        compute.get_extension(&compute, TESSERA_EXT_MLP_DENOISER));
}

reference::DenoiseResult run_chain(const tessera_compute &compute, const ChainCase &c,
                                   const reference::DenoiseNetwork &given,
                                   const reference::DenoiseSet &set, tessera_dtype precision,
                                   const Array &start, const ChainRun &run = {}) {
    const tessera_ext_mlp_denoiser &denoise = *denoise_of(compute);
    const DeviceNetwork network(compute, given, precision, run.exact_ends);
    const auto rows = static_cast<std::uint32_t>(c.rows);
    const auto steps = static_cast<std::uint32_t>(c.steps);
    tessera_mlp_denoiser_chain *chain = nullptr;
    EXPECT_EQ(denoise.create(&compute, network.view(), std::max(run.room_rows, rows), steps + 2,
                             c.guided ? 1 : 0, &chain),
              TESSERA_OK);
    const DeviceTensor condition(compute, set.condition);
    const DeviceTensor time(compute, set.time);
    const DeviceTensor noise(compute, set.noise);
    const DeviceTensor x(compute, start);
    const DeviceTensor model_out(compute, Shape{c.rows, 2 * c.token_width});
    tessera_mlp_denoiser_set begun{};
    begun.struct_size = sizeof begun;
    begun.rows = rows;
    begun.step_count = steps;
    begun.guided = c.guided ? 1 : 0;
    begun.guidance = static_cast<float>(set.guidance);
    begun.condition = condition.view();
    begun.time = time.view();
    begun.steps = set.steps.data();
    begun.noise = run.random == nullptr ? noise.view() : nullptr;
    begun.random = run.random;
    begun.memory = set.memory.empty() ? nullptr : set.memory.data();
    begun.clean = set.clean.empty() ? nullptr : set.clean.data();
    const std::vector<float> guidances(set.step_guidance.begin(), set.step_guidance.end());
    begun.step_guidance = guidances.empty() ? nullptr : guidances.data();
    denoise.begin(&compute, chain, &begun);
    const std::vector<std::uint32_t> calls = c.calls.empty() ? std::vector{steps} : c.calls;
    std::uint32_t done = 0;
    for (const std::uint32_t count : calls) {
        denoise.advance(&compute, chain, done, count, x.view(), model_out.view());
        done += count;
    }
    EXPECT_EQ(compute.synchronize(&compute), TESSERA_OK);
    reference::DenoiseResult result{x.download(), model_out.download()};
    denoise.destroy(&compute, chain);
    return result;
}

class DenoiseTest : public DeviceTest {
  protected:
    void SetUp() override {
        DeviceTest::SetUp();
        if (denoise_of(device()) == nullptr) GTEST_SKIP() << "this backend has no denoise chain";
    }
    static bool is_vulkan() { return GetParam().name == "vulkan"; }
    // A compute of one thread, or nullptr where threads of the host do not compute.
    const tessera_compute *single_thread() {
        return GetParam().name.starts_with("cpu") ? &device_with_threads(1) : nullptr;
    }
    // Vulkan has one path for all widths and for more than eight rows; software takes seconds for
    // the largest.
    static bool is_too_large(const ChainCase &c) {
        return is_vulkan() && (c.width >= 1024 || c.rows >= 100);
    }
};
TESSERA_ON_DEVICES(DenoiseTest, denoise_device_configs());

// Runs the chain and compares it with the reference; returns what it gave.
reference::DenoiseResult expect_reference(const tessera_compute &device, const ChainCase &c,
                                          const reference::DenoiseSet &set, const Array &start,
                                          const reference::DenoiseNetwork &network,
                                          tessera_dtype precision) {
    const auto want = reference::denoise_chain(network, set, start);
    auto got = run_chain(device, c, network, set, precision, start);
    // Some ten layers of float32 rounding a step; bf16 adds 2^-9 to each activation that enters a
    // product and to stored modulations, and steps of the chain feed on each other.
    const double tolerance = precision == TESSERA_DTYPE_BF16 ? 4e-2 : 2e-5;
    expect_close(got.x, want.x, nullptr, tolerance, 0, "x after the chain");
    expect_close(got.model_out, want.model_out, nullptr, tolerance, 0, "model output");
    return got;
}

TEST_P(DenoiseTest, EqualsReference) {
    for (const ChainCase &c : kCases) {
        const reference::DenoiseSet set = random_set(c);
        const Array start = random_array({c.rows, c.token_width}, 8);
        for (const tessera_dtype precision : kPrecisions) {
            reference::DenoiseNetwork network = random_network(c);
            round_weights(network, precision);
            const auto got = expect_reference(device(), c, set, start, network, precision);
            if (precision != TESSERA_DTYPE_F16) continue;
            const auto wide = run_chain(device(), c, network, set, TESSERA_DTYPE_F32, start);
            expect_identical(got.x, wide.x, "f16 weights as float32");
            expect_identical(got.model_out, wide.model_out, "f16 weights as float32");
        }
    }
}

// What lies beyond the range ends on its border; what lies within keeps its bytes.
TEST_P(DenoiseTest, BoundsTheCleanEstimate) {
    for (const ChainCase &c : {kCases[1], kCases[3]}) {
        reference::DenoiseSet set = random_set(c);
        const Array start = random_array({c.rows, c.token_width}, 8);
        reference::DenoiseNetwork network = random_network(c);
        const auto free = run_chain(device(), c, network, set, TESSERA_DTYPE_F32, start);
        set.clean.assign(static_cast<size_t>(c.steps), {1.1F, -0.4F, -1e6F, 1e6F});
        const auto wide = run_chain(device(), c, network, set, TESSERA_DTYPE_F32, start);
        expect_identical(wide.x, free.x, "a range that nothing reaches");
        for (std::int64_t s = 0; s < c.steps; ++s) {
            set.clean[static_cast<size_t>(s)] = {1.1F, -0.4F, -0.7F, 0.6F};
            set.memory.push_back({s == 0 ? 0.0F : -0.35F, 1.1F, -0.4F});
        }
        set.clean[1] = {1.1F, -0.4F, 0, 0}; // none at this step
        expect_reference(device(), c, set, start, network, TESSERA_DTYPE_F32);

        // Guidance that would leave the numbers.
        set.memory.clear();
        set.guidance = 1e30;
        for (tessera_reverse_step &step : set.steps) step.x_scale = 0;
        set.clean.assign(static_cast<size_t>(c.steps), {0.0F, -0.4F, -0.7F, 0.6F});
        const auto strong = run_chain(device(), c, network, set, TESSERA_DTYPE_F32, start);
        for (const double value : strong.x.values) ASSERT_TRUE(std::isfinite(value));
    }
}

// As MAR has it: bf16 inside, float32 next to the token.
TEST_P(DenoiseTest, TakesBothPrecisionsInOneNetwork) {
    const ChainCase c{7, 5, 77, 33, 2, 7, true, {2, 4, 1}};
    const reference::DenoiseSet set = random_set(c);
    const Array start = random_array({c.rows, c.token_width}, 8);
    reference::DenoiseNetwork network = random_network(c);
    const reference::DenoiseNetwork exact = network;
    round_weights(network, TESSERA_DTYPE_BF16);
    network.input = exact.input;
    network.final = exact.final;
    const auto want = reference::denoise_chain(network, set, start);
    ChainRun run;
    run.exact_ends = true;
    const auto got = run_chain(device(), c, network, set, TESSERA_DTYPE_BF16, start, run);
    expect_close(got.x, want.x, nullptr, 4e-2, 0, "x after the chain");
    expect_close(got.model_out, want.model_out, nullptr, 4e-2, 0, "model output");
}

TEST_P(DenoiseTest, CallsThreadsAndRoomDoNotMatter) {
    const tessera_compute *const single = single_thread();
    for (const ChainCase &c : kCases) {
        if (is_too_large(c)) continue;
        const reference::DenoiseNetwork network = random_network(c);
        const reference::DenoiseSet set = random_set(c);
        const Array start = random_array({c.rows, c.token_width}, 8);
        for (const tessera_dtype precision : {TESSERA_DTYPE_F32, TESSERA_DTYPE_BF16}) {
            const auto want = run_chain(device(), c, network, set, precision, start);
            if (single != nullptr) {
                const auto one = run_chain(*single, c, network, set, precision, start);
                expect_identical(one.x, want.x, "one thread");
            }
            ChainRun roomy;
            roomy.room_rows = 64;
            const auto room = run_chain(device(), c, network, set, precision, start, roomy);
            expect_identical(room.x, want.x, "a chain with more room");
            ChainCase stepwise = c;
            stepwise.calls.assign(static_cast<size_t>(c.steps), 1);
            const auto steps = run_chain(device(), stepwise, network, set, precision, start);
            expect_identical(steps.x, want.x, "one step a call");
            expect_identical(steps.model_out, want.model_out, "one step a call");
        }
    }
}

std::vector<DeviceConfig> vulkan_configs() {
    std::vector<DeviceConfig> configs = backend_configs();
    std::erase_if(configs, [](const DeviceConfig &config) { return config.name != "vulkan"; });
    return configs;
}
class VulkanDenoiseTest : public DenoiseTest {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(VulkanDenoiseTest); // without that backend
TESSERA_ON_DEVICES(VulkanDenoiseTest, vulkan_configs());

// As runtime/compute/vulkan/README.md counts them for MAR-B: 3 B + 4 a step, one more with
// guidance, and B + 2 for the modulations of eight steps. What was recorded is not launched again.
TEST_P(VulkanDenoiseTest, LaunchesWhatItsReadmeSays) {
    const auto *const vulkan = static_cast<const tessera_ext_vulkan *>(
        device().get_extension(&device(), TESSERA_EXT_VULKAN));
    const auto launches = [&](std::int64_t blocks, std::int64_t steps, bool guided) {
        const ChainCase c{2, 4, 16, 16, blocks, steps, guided};
        const std::uint64_t before = *vulkan->dispatch_count;
        (void)run_chain(device(), c, random_network(c), random_set(c), TESSERA_DTYPE_F32,
                        random_array({c.rows, c.token_width}, 8));
        return *vulkan->dispatch_count - before;
    };
    const std::uint64_t one = launches(6, 1, true);
    EXPECT_EQ(launches(6, 2, true) - one, 23U);
    EXPECT_EQ(launches(6, 2, false) - launches(6, 1, false), 22U);
    EXPECT_EQ(one - launches(0, 1, true), 6U * 3 + 6U) << "of steps and of modulations";
    EXPECT_EQ(launches(6, 9, true) - launches(6, 8, true), 8U) << "modulations of the ninth step";
}

TEST_P(DenoiseTest, RowsDoNotDependOnEachOther) {
    const ChainCase c{13, 16, 64, 32, 2, 4, true};
    const reference::DenoiseNetwork network = random_network(c);
    const reference::DenoiseSet set = random_set(c);
    const Array start = random_array({c.rows, c.token_width}, 8);
    for (const tessera_dtype precision : {TESSERA_DTYPE_F32, TESSERA_DTYPE_BF16}) {
        const auto together = run_chain(device(), c, network, set, precision, start);
        for (const std::int64_t row : {0, 6, 12}) {
            ChainCase one = c;
            one.rows = 1;
            reference::DenoiseSet alone = random_set(one);
            Array alone_start({1, c.token_width});
            Array want({1, c.token_width});
            for (std::int64_t i = 0; i < c.token_width; ++i) {
                alone_start[i] = start.at(row, i);
                want[i] = together.x.at(row, i);
                for (std::int64_t s = 0; s < c.steps; ++s)
                    alone.noise[s * c.token_width + i] =
                        set.noise[(s * c.rows + row) * c.token_width + i];
            }
            for (std::int64_t i = 0; i < c.condition_width; ++i) {
                alone.condition.at(0, i) = set.condition.at(row, i);
                alone.condition.at(1, i) = set.condition.at(c.rows + row, i);
            }
            alone.time = set.time;
            expect_identical(run_chain(device(), one, network, alone, precision, alone_start).x,
                             want, "one row alone");
        }
    }
}

// Steps that look back, and guidance that is off at some of them.
reference::DenoiseSet rich_set(const ChainCase &c) {
    reference::DenoiseSet set = random_set(c);
    for (std::int64_t s = 0; s < c.steps; ++s) {
        set.memory.push_back({s == 0 ? 0.0F : -0.35F, 1.1F, -0.4F});
        set.step_guidance.push_back(s % 3 == 1 ? 1.0 : 2.0 + 0.25 * static_cast<double>(s));
    }
    return set;
}

TEST_P(DenoiseTest, LooksBackAndGuidesStepByStepLikeTheReference) {
    const tessera_compute *const single = single_thread();
    for (const ChainCase &c : kCases) {
        if (is_too_large(c)) continue;
        const reference::DenoiseSet set = rich_set(c);
        const Array start = random_array({c.rows, c.token_width}, 8);
        for (const tessera_dtype precision : {TESSERA_DTYPE_F32, TESSERA_DTYPE_BF16}) {
            reference::DenoiseNetwork network = random_network(c);
            round_weights(network, precision);
            const auto got = expect_reference(device(), c, set, start, network, precision);
            ChainCase stepwise = c;
            stepwise.calls.assign(static_cast<size_t>(c.steps), 1);
            const auto steps = run_chain(device(), stepwise, network, set, precision, start);
            expect_identical(steps.x, got.x, "one step a call");
            if (single == nullptr) continue;
            const auto one = run_chain(*single, c, network, set, precision, start);
            expect_identical(one.x, got.x, "one thread");
        }
    }
}

// Where guidance is 1 the unconditional rows are not even read.
TEST_P(DenoiseTest, StepsWithoutGuidanceDoNotTouchUnconditionalRows) {
    const ChainCase c{5, 6, 32, 16, 2, 4, true};
    const reference::DenoiseNetwork network = random_network(c);
    reference::DenoiseSet set = random_set(c);
    set.step_guidance = {1.0, 1.0, 1.0, 1.0};
    const Array start = random_array({c.rows, c.token_width}, 8);
    const auto plain = run_chain(device(), c, network, set, TESSERA_DTYPE_F32, start);
    for (std::int64_t i = 0; i < c.rows * c.condition_width; ++i)
        set.condition[c.rows * c.condition_width + i] = std::nan("");
    const auto poisoned = run_chain(device(), c, network, set, TESSERA_DTYPE_F32, start);
    expect_identical(poisoned.x, plain.x, "unconditional rows that are not numbers");

    ChainCase alone = c;
    alone.guided = false;
    reference::DenoiseSet unguided = random_set(alone);
    unguided.noise = set.noise;
    unguided.time = set.time;
    for (std::int64_t i = 0; i < unguided.condition.size(); ++i)
        unguided.condition[i] = set.condition[i];
    const auto want = run_chain(device(), alone, network, unguided, TESSERA_DTYPE_F32, start);
    expect_identical(plain.x, want.x, "a chain without guidance");
}

TEST_P(DenoiseTest, RefusesNumbersThatNoStepCanHave) {
    const ChainCase c{2, 4, 16, 8, 1, 3, false};
    const DeviceNetwork network(device(), random_network(c), TESSERA_DTYPE_F32);
    const reference::DenoiseSet given = random_set(c);
    const DeviceTensor condition(device(), given.condition);
    const DeviceTensor time(device(), given.time);
    const DeviceTensor noise(device(), given.noise);
    tessera_mlp_denoiser_chain *chain = nullptr;
    ASSERT_EQ(denoise_of(device())->create(&device(), network.view(), 2, 3, 0, &chain), TESSERA_OK);
    const auto begin = [&](const std::vector<tessera_mlp_denoiser_memory> &memory,
                           const std::vector<float> &guidance) {
        tessera_mlp_denoiser_set set{};
        set.struct_size = sizeof set;
        set.rows = 2;
        set.step_count = 3;
        set.condition = condition.view();
        set.time = time.view();
        set.steps = given.steps.data();
        set.noise = noise.view();
        set.memory = memory.empty() ? nullptr : memory.data();
        set.step_guidance = guidance.empty() ? nullptr : guidance.data();
        denoise_of(device())->begin(&device(), chain, &set);
        return device().synchronize(&device());
    };
    EXPECT_EQ(begin({}, {}), TESSERA_OK);
    EXPECT_EQ(begin({{0, 1, 1}, {0.5F, 1, 1}, {0.5F, 1, 1}}, {1, 1, 1}), TESSERA_OK);
    const float infinite = std::numeric_limits<float>::infinity();
    EXPECT_EQ(begin({{0.5F, 1, 1}, {0, 1, 1}, {0, 1, 1}}, {}), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(begin({{0, 1, 1}, {0, infinite, 1}, {0, 1, 1}}, {}), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(begin({}, {1, 1, std::nanf("")}), TESSERA_ERROR_INVALID_ARGUMENT);
    denoise_of(device())->destroy(&device(), chain);
}

// Drawn noise is that of `normal`, step s from draw first + s ceil(d / 4) on.
TEST_P(DenoiseTest, DrawsTheNoiseOfNormal) {
    const ChainCase c{5, 6, 32, 16, 1, 4, false};
    const reference::DenoiseNetwork network = random_network(c);
    reference::DenoiseSet set = random_set(c);
    const Array start = random_array({c.rows, c.token_width}, 8);
    Indices index;
    for (std::int32_t row = 0; row < c.rows; ++row) index.insert(index.end(), {3, 10 + row});
    const HostTensor host(index, {c.rows, 2});
    tessera_random random{};
    random.struct_size = sizeof random;
    random.seed = 99;
    random.stream = TESSERA_STREAM_STEP_NOISE;
    random.first_draw = 8;
    random.index = host.view();
    ChainRun drawn;
    drawn.random = &random;
    const auto got = run_chain(device(), c, network, set, TESSERA_DTYPE_F32, start, drawn);

    for (std::int64_t s = 0; s < c.steps; ++s) {
        tessera_random step = random;
        step.first_draw = 8 + static_cast<std::uint32_t>(s) * 2;
        const DeviceTensor noise(device(), Shape{c.rows, c.token_width});
        device().normal(&device(), &step, noise.view());
        const Array values = noise.download();
        for (std::int64_t i = 0; i < values.size(); ++i)
            set.noise[s * values.size() + i] = values[i];
    }
    const auto want = run_chain(device(), c, network, set, TESSERA_DTYPE_F32, start);
    expect_identical(got.x, want.x, "drawn noise");
}

} // namespace
} // namespace tessera::testing
