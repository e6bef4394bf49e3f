// bench_step: seconds of each part of a MAR-B image (64 x 100 with guidance by default) and the
// ratio to PyTorch on the same threads in the same run. A whole run takes minutes, so a few
// autoregressive steps are timed and the sum is made from them; the output says how.
#include "bench/peak.hpp"
#include "bench/torch_peer.hpp"
#include "golden/synthetic.hpp"

#include "blocks/codec/latent_codec.hpp"
#include "blocks/diffusion/sampler.hpp"
#include "blocks/sequence/order.hpp"
#include "blocks/shell/guidance_cache.hpp"
#include "mar/towers.hpp"

#include "compute/registry.hpp"
#include "host/plugin/services.hpp"

#include <CLI/CLI.hpp>

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

namespace tessera::bench {
namespace {

struct Options {
    unsigned threads = 2;
    int steps = 64;
    int denoise_steps = 100;
    int positions = 4;
    int repeats = 3;
    std::string python = "python3";
    std::string directory;
    bool peer_bf16 = false;
    bool only_f32 = false;
    bool tiny = false; // a model of 16 tokens, to see that the benchmark works
};

constexpr int kTimedDenoiseSteps = 25;
constexpr float kGuidance = 3.0f;
constexpr int kGuidanceRefresh = 9;
constexpr int kTokenRefresh = 9;

double median(std::vector<double> values) {
    if (values.empty()) return 0.0;
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

bool cpu_time = false; // of all threads, in the place of time on the wall

double seconds_of(const std::function<void()> &body) {
    const auto now = [] {
        timespec time{};
        clock_gettime(cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
        return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
    };
    const double start = now();
    body();
    return now() - start;
}

double peak_memory_mb() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmHWM:")) return std::strtod(line.c_str() + 6, nullptr) / 1024.0;
    }
    return 0.0;
}

// Median seconds at some places (tokens known, or rows), read between them by straight lines.
class Curve {
  public:
    void add(double place, double seconds) { points_[place].push_back(seconds); }
    [[nodiscard]] bool empty() const { return points_.empty(); }
    [[nodiscard]] double at(double place) const {
        const auto above = points_.lower_bound(place);
        if (above == points_.end()) return median(std::prev(above)->second);
        if (above == points_.begin() || above->first == place) return median(above->second);
        const auto below = std::prev(above);
        const double t = (place - below->first) / (above->first - below->first);
        return (1.0 - t) * median(below->second) + t * median(above->second);
    }

  private:
    std::map<double, std::vector<double>> points_;
};

// The parts of an image as one implementation runs them.
struct Timings {
    Curve encoder;  // over tokens known
    Curve decoder;  // over tokens known
    Curve denoiser; // one reverse step, over rows
    Curve picture;
    Curve half; // encoder and decoder without the unconditional half, over tokens known
    Curve kept; // the same where the token cache leaves rows out
    Curve encoder_work, decoder_work; // billions of operations, over tokens known
    Curve peak;                       // billions a second that the cores could do

    [[nodiscard]] bool empty() const { return encoder.empty(); }
};

struct Sums {
    double encoder = 0.0, decoder = 0.0, denoiser = 0.0, picture = 0.0;
    [[nodiscard]] double total() const { return encoder + decoder + denoiser + picture; }
};

// Billions of fused multiply-adds a second, counted as two operations, on so many threads; 0: not
// known for this processor.
double peak_of(unsigned threads) {
    constexpr double kWork = 4.0; // of each thread
    if (!run_at_peak(1e-3)) return 0.0;
    const double seconds = seconds_of([&] {
        std::vector<std::thread> others(threads - 1);
        for (std::thread &other : others) other = std::thread([] { run_at_peak(kWork); });
        run_at_peak(kWork);
        for (std::thread &other : others) other.join();
    });
    return threads * kWork / seconds;
}

// Our side: the parts of a model that is loaded in one precision.
class Parts {
  public:
    Parts(const sdk::Compute &compute, const sdk::Host &host, const std::string &model,
          const std::string &codec, tessera_dtype precision, const std::string &denoise_steps)
        : compute_(compute) {
        const sdk::Weights weights(host, model);
        const auto config =
            mar::MarConfig::read(blocks::Config::parse(weights.metadata("config").value(), model));
        blocks::WeightLoader loader(weights, compute);
        model_ = std::make_unique<mar::MarModel>(loader.run(
            [&](blocks::WeightLoader &l) { return mar::MarModel::load(config, l, precision); }));
        const sdk::Weights codec_weights(host, codec);
        blocks::WeightLoader codec_loader(codec_weights, compute);
        codec_ =
            std::make_unique<blocks::LatentCodec>(codec_loader.run([&](blocks::WeightLoader &l) {
                return blocks::LatentCodec::load(l, codec_weights, precision == TESSERA_DTYPE_F32);
            }));
        towers_ = make_towers(2);
        half_ = make_towers(1);

        const blocks::NoiseTables tables = blocks::cosine_tables(denoise_steps);
        steps_ = blocks::ancestral_steps(tables, 1.0);
        const std::vector<std::int32_t> times(tables.timestep_map.rbegin(),
                                              tables.timestep_map.rend());
        time_ = model_->head.time_table(compute, times);
        chain_ = std::make_unique<blocks::DenoiseChain>(compute, model_->head, config.tokens(),
                                                        tables.size(), true);
        picture_ = std::make_unique<blocks::LayerRun>(compute, codec_->decoder(),
                                                      config.latent_side(), config.latent_side());
    }

    // Seconds and billions of operations.
    struct Cost {
        double seconds = 0.0, work = 0.0;
    };
    // Encoder and decoder with `known` tokens, of which `wanted` more are predicted.
    std::pair<Cost, Cost> towers(int known, int wanted) { return run(*towers_, 2, known, wanted); }
    double half(int known, int wanted) {
        const auto [encoder, decoder] = run(*half_, 1, known, wanted);
        return encoder.seconds + decoder.seconds;
    }

    // The same of a set that leaves rows out and comes `before` tokens after one that does not.
    double kept(int known, int wanted, int before) {
        if (kept_ == nullptr) kept_ = make_towers(1, {kTokenRefresh, 0.05});
        kept_->set_class(0, 1, {}); // all that is kept is forgotten
        (void)run(*kept_, 1, known - before, before);
        const auto [encoder, decoder] = run(*kept_, 1, known, wanted);
        return encoder.seconds + decoder.seconds;
    }

    std::pair<Cost, Cost> run(mar::Towers &towers, int batch, int known, int wanted) {
        const std::vector<std::int32_t> order =
            blocks::random_order(1, 0, static_cast<int>(model_->config.tokens()), {});
        std::vector<std::int32_t> have(order.end() - known, order.end());
        std::vector<std::int32_t> want(order.end() - known - wanted, order.end() - known);
        std::sort(have.begin(), have.end());
        std::sort(want.begin(), want.end());
        if (batch == 2) {
            have.insert(have.end(), have.begin(), have.begin() + known);
            want.insert(want.end(), want.begin(), want.begin() + wanted);
        }
        towers.start(have, want);
        const auto units = [&](int first, int end) {
            Cost cost;
            cost.seconds = seconds_of([&] {
                for (int i = first; i < end; ++i) towers.run_unit(i);
                compute_.synchronize();
            });
            for (int i = first; i < end; ++i) cost.work += 1e-9 * towers.unit_flops(i);
            return cost;
        };
        const Cost encoder = units(0, towers.encoder_unit_count());
        return {encoder, units(towers.encoder_unit_count(), towers.unit_count())};
    }

    // One reverse step of `rows` tokens, with its share of what is hoisted out of the chain.
    double denoise(int rows) {
        const std::int64_t width = model_->config.token_width();
        const sdk::Tensor condition = compute_.allocate({2 * rows, model_->config.decoder.width});
        const sdk::Tensor x = compute_.allocate({rows, width});
        compute_.fill(0.3f, condition);
        compute_.fill(0.1f, x);
        std::vector<std::int32_t> index;
        for (int row = 0; row < rows; ++row) index.insert(index.end(), {0, row});
        const sdk::View index_view = sdk::host_view(index.data(), {rows, 2});
        blocks::DenoiseSet set;
        set.condition = condition;
        set.time = time_;
        set.steps = steps_;
        set.guidance = kGuidance;
        set.random.stream = TESSERA_STREAM_STEP_NOISE;
        set.random.index = &index_view;
        const int count = std::min(kTimedDenoiseSteps, static_cast<int>(steps_.size()));
        return seconds_of([&] {
                   chain_->begin(set, rows);
                   chain_->advance(0, count, x);
                   compute_.synchronize();
               }) /
               count;
    }

    double picture() {
        compute_.fill(0.2f, picture_->input());
        return seconds_of([&] {
            for (int i = 0; i < picture_->size(); ++i) picture_->run(i);
            compute_.synchronize();
        });
    }

    [[nodiscard]] const mar::MarConfig &config() const { return model_->config; }

  private:
    std::unique_ptr<mar::Towers> make_towers(int batch,
                                             const mar::TokenCache::Settings &cache = {}) {
        auto towers = std::make_unique<mar::Towers>(compute_, *model_, batch, cache);
        const mar::MarConfig &config = model_->config;
        const sdk::Tensor tokens = compute_.allocate({1, config.tokens(), config.token_width()});
        compute_.fill(0.5f, tokens);
        std::vector<std::int32_t> all(static_cast<std::size_t>(config.tokens()));
        std::iota(all.begin(), all.end(), 0);
        for (int entry = 0; entry < batch; ++entry) {
            towers->set_class(entry, entry == 0 ? 1 : -1, {});
            towers->embed(tokens, all, 1, entry);
        }
        return towers;
    }

    sdk::Compute compute_;
    std::unique_ptr<mar::MarModel> model_;
    std::unique_ptr<blocks::LatentCodec> codec_;
    std::unique_ptr<mar::Towers> towers_; // of both halves
    std::unique_ptr<mar::Towers> half_;
    std::unique_ptr<mar::Towers> kept_;
    std::unique_ptr<blocks::DenoiseChain> chain_;
    std::unique_ptr<blocks::LayerRun> picture_;
    std::vector<tessera_reverse_step> steps_;
    sdk::Tensor time_;
};

class StepBench {
  public:
    StepBench(const Options &options, const std::string &directory)
        : options_(options), model_path_(directory + "/mar_base.safetensors"),
          codec_path_(directory + "/kl16.safetensors"),
          denoise_steps_(std::to_string(options.denoise_steps)),
          mar_(options.tiny ? golden::SyntheticMar{} : golden::mar_base()),
          tokens_(mar_.tokens_per_image()), plan_(blocks::cosine_plan(options.steps, tokens_)) {}

    int run();

  private:
    bool write_models() const;
    void measure(Parts &parts, Timings &ours, TorchPeer &peer,
                 const std::vector<std::string> &dtypes);
    void measure_kept(Parts &parts, Timings &ours) const;
    void ask(TorchPeer &peer, const std::string &dtype, const std::string &part, double place,
             Curve &curve, double divisor = 1.0);
    [[nodiscard]] Sums sum(const Timings &timings) const;
    // Of a run with the parameter guidance_refresh, and with token_refresh: both towers as one
    // number.
    [[nodiscard]] Sums sum_refreshed(const Timings &timings, bool keeps_tokens) const;
    void print(const char *name, const Sums &sums) const;
    // How much of what the cores could do the towers reach.
    void print_share_of_peak(const Timings &timings) const;

    const Options &options_;
    std::string model_path_;
    std::string codec_path_;
    std::string denoise_steps_;
    golden::SyntheticMar mar_;
    int tokens_;
    std::vector<blocks::UnmaskStep> plan_;
    std::map<std::string, Timings> torch_; // by dtype
};

bool StepBench::write_models() const {
    golden::SyntheticFile file;
    file.tensors = mar_.tensors();
    file.metadata["config"] = mar_.config_json();
    const golden::SyntheticFile codec =
        options_.tiny ? golden::synthetic_kl_codec(32, {1, 1, 1, 1}, 1, 4, 32, 8)
                      : golden::synthetic_kl_codec(128, {1, 1, 2, 2, 4}, 2, 16, 256, 16);
    return golden::write_synthetic(model_path_, file) &&
           golden::write_synthetic(codec_path_, codec);
}

void StepBench::ask(TorchPeer &peer, const std::string &dtype, const std::string &part,
                    double place, Curve &curve, double divisor) {
    curve.add(place, peer.time(dtype + " " + part) / divisor);
}

// Ours and PyTorch's in turns, so that what else the machine does falls on both.
void StepBench::measure(Parts &parts, Timings &ours, TorchPeer &peer,
                        const std::vector<std::string> &dtypes) {
    for (int repeat = 0; repeat <= options_.repeats; ++repeat) {
        const bool warm_up = repeat == 0;
        Timings ignored;
        Timings &our_target = warm_up ? ignored : ours;
        const auto target = [&](const std::string &dtype) -> Timings & {
            return warm_up ? ignored : torch_[dtype];
        };
        const auto last = static_cast<int>(plan_.size()) - 1;
        for (int i = 0; i < options_.positions; ++i) {
            if (warm_up && i > 0) break;
            const int k = options_.positions > 1 ? i * last / (options_.positions - 1) : last / 2;
            const int known = tokens_ - plan_[k].unknown_before;
            const int wanted = plan_[k].unknown_before - plan_[k].first;
            const auto [encoder, decoder] = parts.towers(known, wanted);
            our_target.encoder.add(known, encoder.seconds);
            our_target.decoder.add(known, decoder.seconds);
            our_target.encoder_work.add(known, encoder.work);
            our_target.decoder_work.add(known, decoder.work);
            our_target.peak.add(0, peak_of(options_.threads));
            our_target.half.add(known, parts.half(known, wanted));
            for (const std::string &dtype : dtypes) {
                ask(peer, dtype, "encode " + std::to_string(known), known, target(dtype).encoder);
                ask(peer, dtype, "decode " + std::to_string(known), known, target(dtype).decoder);
            }
        }
        for (const int rows : {1, 2, 4, 6, 8}) {
            our_target.denoiser.add(rows, parts.denoise(rows));
            const int count = warm_up ? 1 : 5;
            for (const std::string &dtype : dtypes) {
                ask(peer, dtype, "denoise " + std::to_string(rows) + " " + std::to_string(count),
                    rows, target(dtype).denoiser, count);
            }
        }
        our_target.picture.add(0, parts.picture());
        for (const std::string &dtype : dtypes) {
            ask(peer, dtype, "picture", 0, target(dtype).picture);
        }
    }
}

// Where the share of the decoder's rows changes, and at the end.
void StepBench::measure_kept(Parts &parts, Timings &ours) const {
    const int last = static_cast<int>(plan_.size()) - 1;
    for (int repeat = 0; repeat < options_.repeats; ++repeat) {
        for (const int place : {21, 25, 30, 35, 40, 63}) {
            const int k = std::max(1, place * last / 63);
            const int known = tokens_ - plan_[k].unknown_before;
            const int before = known - (tokens_ - plan_[k - 1].unknown_before);
            ours.kept.add(known,
                          parts.kept(known, plan_[k].unknown_before - plan_[k].first, before));
        }
    }
}

Sums StepBench::sum(const Timings &timings) const {
    Sums sums;
    for (const blocks::UnmaskStep &step : plan_) {
        const int known = tokens_ - step.unknown_before;
        sums.encoder += timings.encoder.at(known);
        sums.decoder += timings.decoder.at(known);
        sums.denoiser +=
            options_.denoise_steps * timings.denoiser.at(step.unknown_before - step.first);
    }
    sums.picture = timings.picture.at(0);
    return sums;
}

Sums StepBench::sum_refreshed(const Timings &timings, bool keeps_tokens) const {
    Sums sums = sum(timings);
    sums.encoder = sums.decoder = 0.0;
    int kept = 0; // sets since one that left nothing out
    const int steps = static_cast<int>(plan_.size());
    for (int k = 0; k < steps; ++k) {
        const int known = tokens_ - plan_[k].unknown_before;
        const bool whole = blocks::GuidanceCache::is_whole(k, steps, kGuidanceRefresh);
        if (whole) {
            sums.decoder += timings.encoder.at(known) + timings.decoder.at(known);
            continue;
        }
        const bool leaves_out =
            keeps_tokens && !mar::TokenCache::is_early(known, tokens_) && ++kept < kTokenRefresh;
        if (!leaves_out) kept = 0;
        sums.decoder += leaves_out ? timings.kept.at(known) : timings.half.at(known);
    }
    return sums;
}

void StepBench::print(const char *name, const Sums &sums) const {
    std::printf("%-24s %9.2f %9.2f %9.2f %9.3f %9.2f\n", name, sums.encoder, sums.decoder,
                sums.denoiser, sums.picture, sums.total());
}

void StepBench::print_share_of_peak(const Timings &timings) const {
    const double peak = timings.peak.at(0);
    if (peak == 0.0) return;
    double encoder = 0.0, decoder = 0.0;
    for (const blocks::UnmaskStep &step : plan_) {
        const int known = tokens_ - step.unknown_before;
        encoder += timings.encoder_work.at(known);
        decoder += timings.decoder_work.at(known);
    }
    const Sums seconds = sum(timings);
    std::printf("%-24s %8.0f%% %8.0f%%   of %.0f GFLOP/s, the peak of %u threads in this run\n",
                "float32 / peak", 100 * encoder / seconds.encoder / peak,
                100 * decoder / seconds.decoder / peak, peak, options_.threads);
}

int StepBench::run() {
    if (!write_models()) {
        std::fprintf(stderr, "bench_step: cannot write %s\n", model_path_.c_str());
        return 1;
    }
    ComputeOptions compute_options;
    compute_options.threads = options_.threads;
    auto opened = Compute::open("cpu", compute_options);
    if (!opened) {
        std::fprintf(stderr, "bench_step: %s\n", opened.error().message.c_str());
        return 1;
    }
    const sdk::Compute compute(opened->table());
    const auto host = Host::create({});
    const sdk::Host plugin_host(host->table(), "bench");
    std::vector<std::string> arguments = {"--threads", std::to_string(options_.threads),
                                          "--config",  mar_.config_json(),
                                          "--steps",   denoise_steps_};
    if (options_.tiny) arguments.emplace_back("--tiny-codec");
    TorchPeer peer(options_.python, TESSERA_SOURCE_DIR "/tests/bench/torch_peer.py", arguments);

    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    std::printf("%s (made-up weights), %d x %d, %d x %d with guidance %.1f, one image\n",
                options_.tiny ? "A tiny MAR" : "MAR-B", mar_.img_size, mar_.img_size,
                options_.steps, options_.denoise_steps, kGuidance);
    std::printf("ours:  %s\n", compute.table()->info->device);
    const bool has_bf16 =
        std::string(compute.table()->info->device).find("bf16") != std::string::npos;
    if (!has_bf16) {
        std::printf("       no bf16 instructions here: bf16 weights are widened to float32 in the "
                    "kernels, so bf16 halves memory but not arithmetic\n");
    }
    std::printf("peer:  %s\n", peer.is_running() ? peer.description().c_str()
                                                 : "none (no Python with PyTorch; --python)");

    // PyTorch emulates bf16 where there are no instructions for it: minutes a pass, and no
    // baseline.
    std::vector<std::string> dtypes;
    if (peer.is_running()) dtypes.emplace_back("float32");
    if (peer.is_running() && !options_.only_f32 && (has_bf16 || options_.peer_bf16))
        dtypes.emplace_back("bfloat16");
    Timings bf16, exact;
    double bf16_peak_mb = 0.0;
    if (!options_.only_f32) {
        Parts parts(compute, plugin_host, model_path_, codec_path_, TESSERA_DTYPE_BF16,
                    denoise_steps_);
        measure(parts, bf16, peer, dtypes);
        bf16_peak_mb = peak_memory_mb();
    }
    {
        Parts parts(compute, plugin_host, model_path_, codec_path_, TESSERA_DTYPE_F32,
                    denoise_steps_);
        measure(parts, exact, peer, dtypes);
        measure_kept(parts, exact);
    }

    std::printf("\n%-24s %9s %9s %9s %9s %9s   seconds\n", "", "encoder", "decoder", "denoiser",
                "picture", "total");
    const Sums our_exact = sum(exact);
    const Sums our_bf16 = options_.only_f32 ? Sums{} : sum(bf16);
    print("ours, float32", our_exact);
    if (!options_.only_f32) print("ours, bf16", our_bf16);
    const Sums refreshed = sum_refreshed(exact, false);
    print("ours, guidance_refresh 9", refreshed);
    print("ours, token_refresh too", sum_refreshed(exact, true));
    print_share_of_peak(exact);
    for (const std::string &dtype : dtypes) {
        print(("PyTorch, " + dtype).c_str(), sum(torch_[dtype]));
    }
    if (!dtypes.empty()) {
        const Sums f = sum(torch_["float32"]);
        const auto row = [](const char *name, const Sums &theirs, const Sums &mine, double goal) {
            std::printf("%-24s %8.2fx %8.2fx %8.2fx %8.2fx %8.2fx   goal %.1fx\n", name,
                        theirs.encoder / mine.encoder, theirs.decoder / mine.decoder,
                        theirs.denoiser / mine.denoiser, theirs.picture / mine.picture,
                        theirs.total() / mine.total(), goal);
        };
        row("float32 / float32", f, our_exact, 3.5);
        if (dtypes.size() > 1) {
            row("bf16 / bf16", sum(torch_["bfloat16"]), our_bf16, 1.8);
        } else if (!options_.only_f32) {
            std::printf("%-24s not measured: no bf16 instructions (--peer-bf16 does it anyway)\n",
                        "bf16 / bf16");
        }
        if (!options_.only_f32) row("PyTorch float32 / bf16", f, our_bf16, 6.0);
        std::printf("%-24s %9s %9s %9s %8.2fx %8.2fx   goal 5.0x, of both towers %.2fx\n",
                    "float32 / refresh 9", "-", "-", "-", f.picture / refreshed.picture,
                    f.total() / refreshed.total(),
                    (f.encoder + f.decoder) / (refreshed.encoder + refreshed.decoder));
    }
    std::printf(
        "\nHow the sums are made: medians of %d runs, ours and PyTorch's in turns. Encoder "
        "and decoder: %d of the %d steps, straight lines over the known tokens between "
        "them. Denoiser: one reverse step at 1, 2, 4, 6 and 8 tokens (ours from %d steps of "
        "a chain, so with its share of the hoisted products; PyTorch from 5), straight lines "
        "between, times %d, over the tokens of each step. Picture: one KL-16 decoding.\n",
        options_.repeats, options_.positions, options_.steps, kTimedDenoiseSteps,
        options_.denoise_steps);
    if (options_.only_f32) return 0;
    double weights_mb = 0.0;
    for (const auto &tensor : mar_.tensors()) {
        weights_mb += 2.0 *
                      static_cast<double>(std::accumulate(tensor.shape.begin(), tensor.shape.end(),
                                                          std::int64_t{1}, std::multiplies<>())) /
                      1e6;
    }
    const double codec_mb = static_cast<double>(std::filesystem::file_size(codec_path_)) / 1e6;
    std::printf("Peak memory in bf16: %.0f MB, of which weights %.0f MB (generator in bf16) + %.0f "
                "MB (KL-16 in float32)\n",
                bf16_peak_mb * 1.048576, weights_mb, codec_mb);
    return 0;
}

} // namespace
} // namespace tessera::bench

int main(int argc, char **argv) {
    tessera::bench::Options options;
    CLI::App app{"Times the parts of a MAR-B image against PyTorch."};
    app.add_option("--threads", options.threads, "Of both sides")->capture_default_str();
    app.add_option("--steps", options.steps, "Autoregressive steps")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    app.add_option("--denoise-steps", options.denoise_steps)
        ->check(CLI::Range(2, 1000))
        ->capture_default_str();
    app.add_option("--positions", options.positions, "Autoregressive steps that are timed")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    app.add_option("--repeats", options.repeats)->check(CLI::Range(1, 100))->capture_default_str();
    app.add_option("--python", options.python, "Python with PyTorch")->capture_default_str();
    app.add_flag("--peer-bf16", options.peer_bf16,
                 "PyTorch in bf16 also where the processor has no bf16");
    app.add_option_function<std::string>(
           "--precision", [&](const std::string &name) { options.only_f32 = name == "f32"; },
           "f32: float32 alone; default: bf16, then float32")
        ->check(CLI::IsMember({"f32", "default"}));
    app.add_flag("--cpu-time", tessera::bench::cpu_time,
                 "Time of all threads together, which other programs change little");
    app.add_flag("--tiny", options.tiny, "A tiny model: shows that the benchmark works, no more");
    app.add_option("--directory", options.directory,
                   "Where the made-up weights (1.1 GB) are written; default: a temporary place");
    CLI11_PARSE(app, argc, argv);

    std::string directory = options.directory;
    std::string pattern =
        (std::filesystem::temp_directory_path() / "tessera_bench_XXXXXX").string();
    if (directory.empty()) {
        const char *made = mkdtemp(pattern.data());
        if (made == nullptr) {
            std::fprintf(stderr, "bench_step: cannot make a temporary directory\n");
            return 1;
        }
        directory = made;
    }
    int status = 1;
    try {
        status = tessera::bench::StepBench(options, directory).run();
    } catch (const std::exception &error) {
        std::fprintf(stderr, "bench_step: %s\n", error.what());
    }
    if (options.directory.empty()) std::filesystem::remove_all(directory);
    return status;
}
