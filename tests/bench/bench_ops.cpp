// Times the CPU backend's products, attention and denoise step against oneDNN and against a plain
// loop, in one run, taking turns, so that a busy machine is busy for all of them.
//
//     bench_ops [--isa NAME] [--rounds N]
//
// Prints medians over the rounds, the spread (quartiles), and the ratio to oneDNN (above 1: ours is
// faster). One thread is measured in CPU time of the calling thread, more threads in wall time.
#include "bench/peak.hpp"

#include "compute/registry.hpp"
#ifdef TESSERA_BENCH_ONEDNN
#include "onednn_products.hpp"
#include "sleeping_peer.hpp"
#endif

#include <tessera/ext/draft/mlp_denoiser.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include <ctime>

namespace tessera::bench {
namespace {

struct Options {
    std::string isa;
    int rounds = 15;
    std::string only; // one kind of operation; empty: all

    [[nodiscard]] bool runs(const std::string &kind) const { return only.empty() || only == kind; }
};

double now_us(bool cpu_time) {
    timespec time{};
    clock_gettime(cpu_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

struct Contestant {
    const char *name;
    std::function<void()> run;
    std::vector<double> times_us = {};
};

double quantile(std::vector<double> values, double q) {
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

// Runs all contestants in turns, each for some milliseconds a round. The first is the one compared.
void race(const std::string &title, std::vector<Contestant> contestants, const Options &options,
          bool cpu_time, double giga_operations) {
    constexpr double kRoundUs = 4000;
    std::vector<int> repeats;
    for (Contestant &contestant : contestants) {
        contestant.run(); // warm
        const double start = now_us(cpu_time);
        contestant.run();
        const double once = std::max(now_us(cpu_time) - start, 0.5);
        repeats.push_back(std::clamp(static_cast<int>(kRoundUs / once), 1, 2000));
    }
    for (int round = 0; round < options.rounds; ++round) {
        for (std::size_t i = 0; i < contestants.size(); ++i) {
            const double start = now_us(cpu_time);
            for (int k = 0; k < repeats[i]; ++k) contestants[i].run();
            contestants[i].times_us.push_back((now_us(cpu_time) - start) / repeats[i]);
        }
    }
    std::printf("%-34s", title.c_str());
    const double ours = quantile(contestants.front().times_us, 0.5);
    for (const Contestant &contestant : contestants) {
        const double median = quantile(contestant.times_us, 0.5);
        std::printf(" | %s %.1f us (%.1f-%.1f", contestant.name, median,
                    quantile(contestant.times_us, 0.25), quantile(contestant.times_us, 0.75));
        if (giga_operations > 0) std::printf(", %.0f GFLOP/s", giga_operations / median * 1e6);
        std::printf(")");
        if (&contestant != &contestants.front()) std::printf(" x%.2f", median / ours);
    }
    std::printf("\n");
    std::fflush(stdout);
}

// ---- tensors ----

class Device {
  public:
    Device(const Options &options, unsigned threads) : compute_(open(options, threads)) {}
    ~Device() {
        for (tessera_tensor &tensor : tensors_) compute_->release(compute_.table(), &tensor);
    }
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;

    [[nodiscard]] const tessera_compute &table() const { return *compute_.table(); }

    const tessera_tensor *tensor(std::vector<std::int64_t> shape, float scale = 1.0F) {
        tessera_tensor made{};
        made.dtype = TESSERA_DTYPE_F32;
        made.rank = static_cast<std::int32_t>(shape.size());
        for (std::size_t i = 0; i < TESSERA_MAX_RANK; ++i) {
            made.shape[i] = i < shape.size() ? shape[i] : 1;
        }
        if (table().allocate(&table(), &made) != TESSERA_OK) std::exit(1);
        std::int64_t count = 1;
        for (const std::int64_t extent : shape) count *= extent;
        for (std::int64_t i = 0; i < count; ++i) {
            static_cast<float *>(made.data)[i] = scale * next();
        }
        tensors_.push_back(made);
        return &tensors_.back();
    }
    const tessera_tensor *weight(std::int64_t out, std::int64_t in, tessera_dtype precision) {
        const tessera_tensor *plain = tensor({out, in}, 0.03F);
        tessera_tensor packed{};
        if (table().pack_linear(&table(), plain, precision, &packed) != TESSERA_OK) std::exit(1);
        tensors_.push_back(packed);
        return &tensors_.back();
    }

  private:
    static Compute open(const Options &options, unsigned threads) {
        ComputeOptions wanted;
        wanted.threads = threads;
        auto compute =
            Compute::open(options.isa.empty() ? "cpu" : "cpu:isa=" + options.isa, wanted);
        if (!compute) {
            std::fprintf(stderr, "bench_ops: %s\n", compute.error().message.c_str());
            std::exit(1);
        }
        return std::move(*compute);
    }
    float next() {
        state_ = state_ * 1664525u + 1013904223u;
        return static_cast<float>(state_ >> 8) * 0x1p-23F - 1.0F;
    }

    Compute compute_;
    std::deque<tessera_tensor> tensors_;
    std::uint32_t state_ = 1;
};

// What a plain loop makes of it, as the compiler likes.
void naive_linear(const float *x, const float *weight, std::int64_t rows, std::int64_t in,
                  std::int64_t out, float *y) {
    for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t o = 0; o < out; ++o) {
            float sum = 0;
            for (std::int64_t i = 0; i < in; ++i) sum += x[r * in + i] * weight[o * in + i];
            y[r * out + o] = sum;
        }
    }
}

// ---- cases ----

void bench_linear(const Options &options, unsigned threads) {
    struct Shape {
        std::int64_t rows, in, out;
    };
    constexpr Shape kShapes[] = {{1, 1024, 1024}, {2, 1024, 1024},  {4, 1024, 1024},
                                 {8, 1024, 1024}, {16, 1024, 3072}, {32, 1024, 1024},
                                 {8, 256, 256},   {320, 768, 3072}, {640, 3072, 768}};
    for (const Shape &shape : kShapes) {
        const std::int64_t rows = shape.rows;
        const std::int64_t in = shape.in;
        const std::int64_t out = shape.out;
        Device device(options, threads);
        const tessera_compute &table = device.table();
        const tessera_tensor *x = device.tensor({rows, in});
        const tessera_tensor *y = device.tensor({rows, out});
        const tessera_tensor *f32 = device.weight(out, in, TESSERA_DTYPE_F32);
        const tessera_tensor *bf16 = device.weight(out, in, TESSERA_DTYPE_BF16);
        const tessera_tensor *plain = device.tensor({out, in});
        std::vector<Contestant> contestants{
            {"f32", [&] { table.linear(&table, x, f32, nullptr, y); }},
            {"bf16", [&] { table.linear(&table, x, bf16, nullptr, y); }}};
#ifdef TESSERA_BENCH_ONEDNN
        OneDnn one_f32;
        OneDnn one_bf16;
        OneDnn::set_threads(static_cast<int>(threads));
        if (one_f32.make_linear(rows, in, out, false)) {
            contestants.push_back({"oneDNN f32", [&] { one_f32.run_linear(); }});
        }
        if (one_bf16.make_linear(rows, in, out, true)) {
            contestants.push_back({"oneDNN bf16", [&] { one_bf16.run_linear(); }});
        }
#endif
        if (rows <= 32 && threads == 1) {
            contestants.push_back({"plain loop", [&] {
                                       naive_linear(static_cast<const float *>(x->data),
                                                    static_cast<const float *>(plain->data), rows,
                                                    in, out, static_cast<float *>(y->data));
                                   }});
        }
        const double work = 2e-9 * static_cast<double>(rows * in * out);
        if (threads == 1 && run_at_peak(1e-3)) {
            contestants.push_back({"peak", [work] { static_cast<void>(run_at_peak(work)); }});
        }
        race("linear " + std::to_string(rows) + " x " + std::to_string(in) + " x " +
                 std::to_string(out),
             contestants, options, threads == 1, work);
    }
}

void bench_attention(const Options &options, unsigned threads) {
    struct Shape {
        std::int64_t batch, tokens, heads, width;
    };
    constexpr Shape kShapes[] = {
        {1, 320, 12, 64}, {2, 320, 12, 64}, {2, 320, 16, 80}, {1, 256, 1, 512}};
    for (const auto &[batch, tokens, heads, width] : kShapes) {
        Device device(options, threads);
        const tessera_compute &table = device.table();
        const std::vector<std::int64_t> shape{batch, tokens, heads, width};
        const tessera_tensor *q = device.tensor(shape);
        const tessera_tensor *k = device.tensor(shape);
        const tessera_tensor *v = device.tensor(shape);
        const tessera_tensor *out = device.tensor(shape);
        tessera_attention causal{};
        causal.struct_size = sizeof causal;
        causal.rule = TESSERA_RANK_LESS_OR_EQUAL;
        std::vector<Contestant> contestants{
            {"f32", [&] { table.attention(&table, q, k, v, nullptr, out); }},
            {"causal", [&] { table.attention(&table, q, k, v, &causal, out); }}};
#ifdef TESSERA_BENCH_ONEDNN
        OneDnn one;
        OneDnn::set_threads(static_cast<int>(threads));
        if (one.make_attention(batch * heads, tokens, width)) {
            contestants.push_back({"oneDNN f32", [&] { one.run_attention(); }});
        }
#endif
        race("attention " + std::to_string(batch) + " x " + std::to_string(tokens) + ", " +
                 std::to_string(heads) + " x " + std::to_string(width),
             contestants, options, threads == 1,
             4e-9 * static_cast<double>(batch * heads * tokens * tokens * width));
    }
}

// The head of MAR-B: width 1024, 6 blocks.
class DenoiseCase {
  public:
    static constexpr std::int64_t kWidth = 1024, kTokenWidth = 16, kCondition = 768, kBlocks = 6;
    static constexpr std::uint32_t kSteps = 24;

    DenoiseCase(const Options &options, unsigned threads, tessera_dtype precision,
                std::uint32_t rows)
        : device_(options, threads), precision_(precision), rows_(rows),
          chains_(*static_cast<const tessera_ext_mlp_denoiser *>(
              device_.table().get_extension(&device_.table(), TESSERA_EXT_MLP_DENOISER))) {
        for (std::int64_t i = 0; i < kBlocks; ++i) {
            blocks_.push_back({device_.tensor({kWidth}), device_.tensor({kWidth}),
                               layer(kWidth, kWidth), layer(kWidth, kWidth),
                               layer(3 * kWidth, kWidth)});
        }
        tessera_mlp_denoiser_network network{};
        network.struct_size = sizeof network;
        network.block_count = static_cast<std::uint32_t>(kBlocks);
        network.epsilon = 1e-6F;
        network.input = layer(kWidth, kTokenWidth);
        network.condition = layer(kWidth, kCondition);
        network.final_ada = layer(2 * kWidth, kWidth);
        network.final = layer(2 * kTokenWidth, kWidth);
        network.blocks = blocks_.data();
        if (chains_.create(&device_.table(), &network, rows, kSteps, 1, &chain_) != TESSERA_OK) {
            std::exit(1);
        }
        condition_ = device_.tensor({2 * rows, kCondition});
        time_ = device_.tensor({kSteps, kWidth});
        noise_ = device_.tensor({kSteps, rows, kTokenWidth});
        x_ = device_.tensor({rows, kTokenWidth});
        steps_.assign(kSteps, {0.9F, -0.01F, -3.0F, 0.5F, 0.9F});
    }
    ~DenoiseCase() { chains_.destroy(&device_.table(), chain_); }
    DenoiseCase(const DenoiseCase &) = delete;
    DenoiseCase &operator=(const DenoiseCase &) = delete;

    // A whole set: kSteps steps.
    void run() {
        tessera_mlp_denoiser_set set{};
        set.struct_size = sizeof set;
        set.rows = rows_;
        set.step_count = kSteps;
        set.guided = 1;
        set.guidance = 2.0F;
        set.condition = condition_;
        set.time = time_;
        set.steps = steps_.data();
        set.noise = noise_;
        chains_.begin(&device_.table(), chain_, &set);
        chains_.advance(&device_.table(), chain_, 0, kSteps, x_, nullptr);
        if (device_.table().synchronize(&device_.table()) != TESSERA_OK) std::exit(1);
    }

  private:
    tessera_mlp_denoiser_linear layer(std::int64_t out, std::int64_t in) {
        return {device_.weight(out, in, precision_), device_.tensor({out})};
    }

    Device device_;
    tessera_dtype precision_;
    std::uint32_t rows_;
    const tessera_ext_mlp_denoiser &chains_;
    tessera_mlp_denoiser_chain *chain_ = nullptr;
    std::vector<tessera_mlp_denoiser_block> blocks_;
    const tessera_tensor *condition_ = nullptr, *time_ = nullptr, *noise_ = nullptr, *x_ = nullptr;
    std::vector<tessera_reverse_step> steps_;
};

#ifdef TESSERA_BENCH_ONEDNN
// The same products in oneDNN, nothing between them; `hoisted`: all modulations of a set at once.
struct OneDnnDenoise {
    OneDnn input, block, ada, final_ada, final;
    bool hoisted = false, made = false;

    void make(std::int64_t rows, bool at_once, unsigned threads) {
        using Case = DenoiseCase;
        OneDnn::set_threads(static_cast<int>(threads));
        hoisted = at_once;
        const std::int64_t ada_rows = at_once ? rows * Case::kSteps : rows;
        made = input.make_linear(rows, Case::kTokenWidth, Case::kWidth, false) &&
               block.make_linear(rows, Case::kWidth, Case::kWidth, false) &&
               ada.make_linear(ada_rows, Case::kWidth, 3 * Case::kWidth, false) &&
               final_ada.make_linear(ada_rows, Case::kWidth, 2 * Case::kWidth, false) &&
               final.make_linear(rows, Case::kWidth, 2 * Case::kTokenWidth, false);
    }
    void modulations() {
        for (std::int64_t i = 0; i < DenoiseCase::kBlocks; ++i) ada.run_linear();
        final_ada.run_linear();
    }
    void run() {
        if (hoisted) modulations();
        for (std::uint32_t step = 0; step < DenoiseCase::kSteps; ++step) {
            if (!hoisted) modulations();
            input.run_linear();
            for (std::int64_t i = 0; i < 2 * DenoiseCase::kBlocks; ++i) block.run_linear();
            final.run_linear();
        }
    }
};
#endif

void bench_denoise(const Options &options, unsigned threads) {
    for (const std::uint32_t tokens : {1u, 4u, 8u, 48u}) {
        DenoiseCase f32(options, threads, TESSERA_DTYPE_F32, tokens);
        DenoiseCase bf16(options, threads, TESSERA_DTYPE_BF16, tokens);
        std::vector<Contestant> contestants{{"f32", [&] { f32.run(); }},
                                            {"bf16", [&] { bf16.run(); }}};
#ifdef TESSERA_BENCH_ONEDNN
        OneDnnDenoise plain;
        OneDnnDenoise hoisted;
        plain.make(2 * tokens, false, threads);
        hoisted.make(2 * tokens, true, threads);
        if (plain.made && hoisted.made) {
            contestants.push_back({"oneDNN f32 products", [&] { plain.run(); }});
            contestants.push_back({"oneDNN f32 products, hoisted", [&] { hoisted.run(); }});
        }
#endif
        race("denoise 24 steps, " + std::to_string(2 * tokens) + " rows", contestants, options,
             threads == 1, 0);
    }
}

int run(int argc, char **argv) {
    Options options;
    for (int i = 1; i < argc; ++i) {
        const bool has_value = i + 1 < argc;
        if (std::strcmp(argv[i], "--isa") == 0 && has_value) {
            options.isa = argv[++i];
        } else if (std::strcmp(argv[i], "--rounds") == 0 && has_value) {
            options.rounds = std::max(1, std::atoi(argv[++i]));
        } else if (std::strcmp(argv[i], "--only") == 0 && has_value) {
            options.only = argv[++i];
        } else {
            std::fprintf(stderr, "usage: bench_ops [--isa NAME] [--rounds N] "
                                 "[--only linear|attention|denoise]\n");
            return 2;
        }
    }
    for (const unsigned threads : {1u, 2u}) {
        const Device device(options, threads);
        std::printf("== %s\n", device.table().info->device);
        if (options.runs("linear")) bench_linear(options, threads);
        if (options.runs("attention")) bench_attention(options, threads);
        if (options.runs("denoise")) bench_denoise(options, threads);
    }
    return 0;
}

} // namespace
} // namespace tessera::bench

int main(int argc, char **argv) {
#ifdef TESSERA_BENCH_ONEDNN
    tessera::bench::let_idle_threads_sleep(argv);
#endif
    return tessera::bench::run(argc, argv);
}
