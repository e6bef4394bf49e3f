// Results while other threads burn every core: a barrier that is missing, or a piece that is read
// before it is written, shows here and on quiet machines never. Bit for bit equal to one quiet
// thread.
#include "harness.hpp"

#include "compute/registry.hpp"

#include <tessera/ext/draft/mlp_denoiser.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <deque>
#include <thread>

namespace tessera::testing {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kTime = std::chrono::milliseconds(1500); // of each case
constexpr int kLeastRuns = 5;

// Threads that compete for the cores at ordinary priority.
class Burners {
  public:
    explicit Burners(unsigned count) {
        for (unsigned i = 0; i < count; ++i) {
            threads_.emplace_back([this] {
                while (!stop_.load(std::memory_order_relaxed)) {
                }
            });
        }
    }
    ~Burners() {
        stop_ = true;
        for (std::thread &thread : threads_) thread.join();
    }
    Burners(const Burners &) = delete;
    Burners &operator=(const Burners &) = delete;

  private:
    std::atomic<bool> stop_{false};
    std::vector<std::thread> threads_;
};

Compute open(unsigned threads) {
    auto compute = Compute::open("cpu", {.threads = threads});
    EXPECT_TRUE(compute.ok());
    return std::move(*compute);
}

// `run` gives the same numbers on a quiet thread as on two and on five in a crowd, again and again.
template <class Run>
void expect_unmoved(const Run &run) {
    const Array quiet = [&] {
        const Compute compute = open(1);
        return run(*compute.table());
    }();
    const Burners burners(2);
    for (const unsigned threads : {2u, 5u}) {
        const Compute compute = open(threads);
        const Clock::time_point end = Clock::now() + kTime;
        for (int runs = 0;
             (runs < kLeastRuns || Clock::now() < end) && !::testing::Test::HasFailure(); ++runs) {
            expect_identical(run(*compute.table()), quiet, "in a crowd");
        }
    }
}

class BurnerLinear : public ::testing::TestWithParam<tessera_dtype> {};

TEST_P(BurnerLinear, ChainOfProducts) {
    constexpr std::int64_t kWidth = 256;
    const Array x = random_array({9, kWidth}, 1);
    const Array weight = random_array({kWidth, kWidth}, 2, 1.0 / 16);
    const Array bias = random_array({kWidth}, 3, 0.1);
    expect_unmoved([&](const tessera_compute &compute) {
        const PackedWeight packed(compute, weight, GetParam());
        const DeviceTensor bias_tensor(compute, bias);
        const DeviceTensor a(compute, x);
        const DeviceTensor b(compute, x);
        tessera_linear options{};
        options.struct_size = sizeof options;
        options.activation = TESSERA_ACTIVATION_GELU_ERF;
        options.bias = bias_tensor.view();
        for (int i = 0; i < 20; ++i) {
            const auto &[from, to] = i % 2 == 0 ? std::pair(&a, &b) : std::pair(&b, &a);
            compute.linear(&compute, from->view(), packed.view(), &options, to->view());
        }
        EXPECT_EQ(compute.synchronize(&compute), TESSERA_OK);
        return a.download();
    });
}

INSTANTIATE_TEST_SUITE_P(Precisions, BurnerLinear,
                         ::testing::Values(TESSERA_DTYPE_F32, TESSERA_DTYPE_BF16),
                         [](const auto &test) {
                             return test.param == TESSERA_DTYPE_F32 ? "f32" : "bf16";
                         });

TEST(Burner, Attention) {
    const Shape shape{2, 65, 3, 40};
    const Array q = random_array(shape, 1);
    const Array k = random_array(shape, 2);
    const Array v = random_array(shape, 3);
    expect_unmoved([&](const tessera_compute &compute) {
        const DeviceTensor query(compute, q);
        const DeviceTensor key(compute, k);
        const DeviceTensor value(compute, v);
        const DeviceTensor out(compute, shape);
        tessera_attention options{};
        options.struct_size = sizeof options;
        options.rule = TESSERA_RANK_LESS_OR_EQUAL;
        for (int i = 0; i < 10; ++i) {
            compute.attention(&compute, query.view(), key.view(), value.view(), &options,
                              out.view());
        }
        EXPECT_EQ(compute.synchronize(&compute), TESSERA_OK);
        return out.download();
    });
}

// A denoise network of random numbers on a device.
class Network {
  public:
    Network(const tessera_compute &compute, std::int64_t token_width, std::int64_t width,
            std::int64_t blocks)
        : compute_(compute) {
        for (std::int64_t i = 0; i < blocks; ++i) {
            blocks_.push_back({vector(width), vector(width), layer(width, width),
                               layer(width, width), layer(3 * width, width)});
        }
        network_ = {.struct_size = sizeof network_,
                    .block_count = static_cast<std::uint32_t>(blocks),
                    .epsilon = 1e-6F,
                    .reserved = 0,
                    .input = layer(width, token_width),
                    .condition = layer(width, width),
                    .final_ada = layer(2 * width, width),
                    .final = layer(2 * token_width, width),
                    .blocks = blocks_.data()};
    }
    [[nodiscard]] const tessera_mlp_denoiser_network *view() const { return &network_; }

  private:
    const tessera_tensor *vector(std::int64_t width) {
        return tensors_.emplace_back(compute_, random_array({width}, ++seed_, 0.2, 0.5)).view();
    }
    tessera_mlp_denoiser_linear layer(std::int64_t out, std::int64_t in) {
        const double scale = 0.5 / std::sqrt(static_cast<double>(in));
        const tessera_dtype precision = ++seed_ % 2 == 0 ? TESSERA_DTYPE_F32 : TESSERA_DTYPE_BF16;
        weights_.emplace_back(compute_, random_array({out, in}, seed_, scale), precision);
        return {weights_.back().view(), vector(out)};
    }

    const tessera_compute &compute_;
    std::uint64_t seed_ = 0;
    std::deque<DeviceTensor> tensors_;
    std::deque<PackedWeight> weights_;
    std::vector<tessera_mlp_denoiser_block> blocks_;
    tessera_mlp_denoiser_network network_{};
};

Array denoise(const tessera_compute &compute, std::uint32_t rows, std::int64_t width) {
    constexpr std::int64_t kTokenWidth = 16;
    constexpr std::uint32_t kSteps = 12;
    const auto &chains = *static_cast<const tessera_ext_mlp_denoiser *>(
        compute.get_extension(&compute, TESSERA_EXT_MLP_DENOISER));
    const Network network(compute, kTokenWidth, width, 3);
    tessera_mlp_denoiser_chain *chain = nullptr;
    EXPECT_EQ(chains.create(&compute, network.view(), rows, kSteps, 1, &chain), TESSERA_OK);
    const DeviceTensor condition(compute, random_array({2 * rows, width}, 100));
    const DeviceTensor time(compute, random_array({kSteps, width}, 101));
    const DeviceTensor x(compute, random_array({rows, kTokenWidth}, 102));
    Indices places;
    for (std::uint32_t r = 0; r < rows; ++r) {
        places.push_back(0);
        places.push_back(static_cast<std::int32_t>(r));
    }
    const HostTensor index(places, Shape{rows, 2});
    const tessera_random random{.struct_size = sizeof random,
                                .stream = TESSERA_STREAM_STEP_NOISE,
                                .seed = 7,
                                .first_draw = 0,
                                .reserved = 0,
                                .index = index.view()};
    const std::vector<tessera_reverse_step> steps(kSteps, {0.98F, -0.1F, -3.0F, 0.5F, 0.9F});
    tessera_mlp_denoiser_set set{};
    set.struct_size = sizeof set;
    set.rows = rows;
    set.step_count = kSteps;
    set.guided = 1;
    set.guidance = 2.0F;
    set.condition = condition.view();
    set.time = time.view();
    set.steps = steps.data();
    set.random = &random;
    chains.begin(&compute, chain, &set);
    chains.advance(&compute, chain, 0, 5, x.view(), nullptr);
    chains.advance(&compute, chain, 5, kSteps - 5, x.view(), nullptr);
    EXPECT_EQ(compute.synchronize(&compute), TESSERA_OK);
    chains.destroy(&compute, chain);
    return x.download();
}

TEST(Burner, DenoiseOfFewTokens) {
    expect_unmoved([](const tessera_compute &compute) { return denoise(compute, 3, 128); });
}

// More tokens than one group of the chain holds.
TEST(Burner, DenoiseOfManyTokens) {
    expect_unmoved([](const tessera_compute &compute) { return denoise(compute, 70, 64); });
}

} // namespace
} // namespace tessera::testing
