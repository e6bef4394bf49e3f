// bench_cuda: milliseconds, launches and parts of whole MAR images (64 x 100 with guidance by
// default) of a published shape with made-up weights, on one backend. gpu.sh runs it next to
// PyTorch.
#include "golden/synthetic.hpp"

#include "blocks/codec/latent_codec.hpp"
#include "blocks/diffusion/sampler.hpp"
#include "blocks/sequence/order.hpp"
#include "mar/towers.hpp"

#include "compute/registry.hpp"
#include "host/plugin/services.hpp"

#include <tessera/ext/cuda.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

namespace tessera::bench {
namespace {

struct Options {
    std::string backend = "cuda";
    std::string shape = "base";
    std::string precision = "bf16";
    int batch = 1;
    int steps = 64;
    int denoise_steps = 100;
    int repeats = 3;
};

constexpr float kGuidance = 3.0f;

golden::SyntheticMar mar_of(const std::string &shape) {
    golden::SyntheticMar mar = golden::mar_base();
    const auto grow = [&mar](int width, int depth, int heads, int blocks, int head_width) {
        mar.encoder_embed_dim = mar.decoder_embed_dim = width;
        mar.encoder_depth = mar.decoder_depth = depth;
        mar.encoder_num_heads = mar.decoder_num_heads = heads;
        mar.diffloss_d = blocks;
        mar.diffloss_w = head_width;
    };
    if (shape == "large") grow(1024, 16, 16, 8, 1280);
    if (shape == "huge") grow(1280, 20, 16, 12, 1536);
    if (shape == "tiny") { // to see that it runs
        grow(64, 2, 2, 2, 64);
        mar.img_size = 64;
        mar.buffer_size = 4;
    }
    return mar;
}

golden::SyntheticFile codec_of(const std::string &shape) {
    return shape == "tiny" ? golden::synthetic_kl_codec(32, {1, 1, 1, 1, 1}, 1, 16, 64, 16)
                           : golden::synthetic_kl_codec(128, {1, 1, 2, 2, 4}, 2, 16, 256, 16);
}

struct Parts {
    double encoder = 0.0, decoder = 0.0, denoiser = 0.0, picture = 0.0, total = 0.0;
    std::uint64_t launches = 0;
    std::uint64_t persistent = 0; // of them
};

double now_ms() {
    using Clock = std::chrono::steady_clock;
    return std::chrono::duration<double, std::milli>(Clock::now().time_since_epoch()).count();
}

// A model, and whole images made with it.
class Bench {
  public:
    Bench(const sdk::Compute &compute, const sdk::Host &host, const Options &options,
          const std::string &directory)
        : compute_(compute), options_(options) {
        const golden::SyntheticMar shape = mar_of(options.shape);
        golden::SyntheticFile file;
        file.tensors = shape.tensors();
        file.metadata["config"] = shape.config_json();
        const std::string model = directory + "/mar.safetensors";
        const std::string codec = directory + "/codec.safetensors";
        if (!golden::write_synthetic(model, file) ||
            !golden::write_synthetic(codec, codec_of(options.shape))) {
            throw std::runtime_error("cannot write weights into " + directory);
        }
        load(host, model, codec);
    }

    // One batch; waits between the parts when they are wanted, at the end otherwise.
    Parts run(bool parts) {
        const auto order = blocks::random_order(1, 0, static_cast<int>(tokens()), {});
        const Launches before = launches();
        Parts spent;
        const double start = now_ms();
        for (const blocks::UnmaskStep &step : plan_) {
            set_tokens(order, static_cast<int>(tokens()) - step.unknown_before,
                       step.unknown_before - step.first);
            measure(parts, spent.encoder, [&] { run_towers(0, towers_->encoder_unit_count()); });
            measure(parts, spent.decoder,
                    [&] { run_towers(towers_->encoder_unit_count(), towers_->unit_count()); });
            measure(parts, spent.denoiser, [&] { denoise(step.unknown_before - step.first); });
        }
        measure(parts, spent.picture, [&] {
            for (int image = 0; image < options_.batch; ++image) {
                compute_.fill(0.2f, picture_->input());
                for (int i = 0; i < picture_->size(); ++i) picture_->run(i);
            }
        });
        compute_.synchronize();
        spent.total = now_ms() - start;
        const Launches after = launches();
        spent.launches = after.all - before.all;
        spent.persistent = after.persistent - before.persistent;
        return spent;
    }

  private:
    void load(const sdk::Host &host, const std::string &model, const std::string &codec) {
        const auto precision = options_.precision == "f32" ? TESSERA_DTYPE_F32 : TESSERA_DTYPE_BF16;
        const sdk::Weights weights(host, model);
        const auto config =
            mar::MarConfig::read(blocks::Config::parse(weights.metadata("config").value(), model));
        blocks::WeightLoader loader(weights, compute_);
        model_ = std::make_unique<mar::MarModel>(loader.run(
            [&](blocks::WeightLoader &l) { return mar::MarModel::load(config, l, precision); }));
        const sdk::Weights codec_weights(host, codec);
        blocks::WeightLoader codec_loader(codec_weights, compute_);
        codec_ =
            std::make_unique<blocks::LatentCodec>(codec_loader.run([&](blocks::WeightLoader &l) {
                return blocks::LatentCodec::load(l, codec_weights, precision == TESSERA_DTYPE_F32);
            }));
        plan_ = blocks::cosine_plan(options_.steps, static_cast<int>(tokens()));
        const std::int64_t entries = 2 * options_.batch;
        towers_ = std::make_unique<mar::Towers>(compute_, *model_, entries);
        const sdk::Tensor start = compute_.allocate({1, tokens(), config.token_width()});
        compute_.fill(0.5f, start);
        std::vector<std::int32_t> all(static_cast<std::size_t>(tokens()));
        std::iota(all.begin(), all.end(), 0);
        for (std::int64_t entry = 0; entry < entries; ++entry) {
            towers_->set_class(entry, entry < options_.batch ? 1 : -1, {});
            towers_->embed(start, all, 1, entry);
        }
        const blocks::NoiseTables tables =
            blocks::cosine_tables(std::to_string(options_.denoise_steps));
        steps_ = blocks::ancestral_steps(tables, 1.0);
        const std::vector<std::int32_t> times(tables.timestep_map.rbegin(),
                                              tables.timestep_map.rend());
        time_ = model_->head.time_table(compute_, times);
        const std::int64_t rows = tokens() * options_.batch;
        chain_ = std::make_unique<blocks::DenoiseChain>(compute_, model_->head, rows, tables.size(),
                                                        true);
        x_ = compute_.allocate({rows, config.token_width()});
        condition_ = compute_.allocate({2 * rows, config.decoder.width});
        compute_.fill(0.3f, condition_);
        picture_ = std::make_unique<blocks::LayerRun>(compute_, codec_->decoder(),
                                                      config.latent_side(), config.latent_side());
        compute_.synchronize();
    }

    [[nodiscard]] std::int64_t tokens() const { return model_->config.tokens(); }

    struct Launches {
        std::uint64_t all = 0, persistent = 0;
    };
    [[nodiscard]] Launches launches() const {
        const tessera_compute *table = compute_.table();
        const auto *cuda =
            static_cast<const tessera_ext_cuda *>(table->get_extension(table, TESSERA_EXT_CUDA));
        return cuda != nullptr ? Launches{*cuda->launch_count, *cuda->persistent_count}
                               : Launches{};
    }

    template <class Body>
    void measure(bool wanted, double &sum, Body &&body) {
        const double start = now_ms();
        body();
        if (!wanted) return;
        compute_.synchronize();
        sum += now_ms() - start;
    }

    void set_tokens(const std::vector<std::int32_t> &order, int known, int wanted) {
        std::vector<std::int32_t> have(order.end() - known, order.end());
        std::vector<std::int32_t> want(order.end() - known - wanted, order.end() - known);
        std::sort(have.begin(), have.end());
        std::sort(want.begin(), want.end());
        std::vector<std::int32_t> all_have;
        std::vector<std::int32_t> all_want;
        for (int entry = 0; entry < 2 * options_.batch; ++entry) {
            all_have.insert(all_have.end(), have.begin(), have.end());
            all_want.insert(all_want.end(), want.begin(), want.end());
        }
        towers_->start(all_have, all_want);
    }

    void run_towers(int first, int end) {
        for (int i = first; i < end; ++i) towers_->run_unit(i);
    }

    void denoise(int wanted) {
        const std::int64_t rows = static_cast<std::int64_t>(wanted) * options_.batch;
        index_.clear();
        for (std::int32_t row = 0; row < rows; ++row) index_.insert(index_.end(), {0, row});
        const sdk::View index = sdk::host_view(index_.data(), {rows, 2});
        const sdk::View x = sdk::slice(x_, 0, 0, rows);
        compute_.fill(0.1f, x);
        blocks::DenoiseSet set;
        set.condition = sdk::slice(condition_, 0, 0, 2 * rows);
        set.time = time_;
        set.steps = steps_;
        set.guidance = kGuidance;
        set.random.stream = TESSERA_STREAM_STEP_NOISE;
        set.random.index = &index;
        chain_->begin(set, rows);
        chain_->advance(0, static_cast<std::int64_t>(steps_.size()), x);
    }

    sdk::Compute compute_;
    const Options &options_;
    std::unique_ptr<mar::MarModel> model_;
    std::unique_ptr<blocks::LatentCodec> codec_;
    std::vector<blocks::UnmaskStep> plan_;
    std::unique_ptr<mar::Towers> towers_;
    std::unique_ptr<blocks::DenoiseChain> chain_;
    std::unique_ptr<blocks::LayerRun> picture_;
    std::vector<tessera_reverse_step> steps_;
    std::vector<std::int32_t> index_;
    sdk::Tensor time_, x_, condition_;
};

int run(const Options &options, const std::string &directory) {
    auto opened = Compute::open(options.backend);
    if (!opened) {
        std::fprintf(stderr, "bench_cuda: %s\n", opened.error().message.c_str());
        return 77;
    }
    const sdk::Compute compute(opened->table());
    const auto host = Host::create({});
    const sdk::Host plugin_host(host->table(), "bench");
    Bench bench(compute, plugin_host, options, directory);
    bench.run(false); // graphs are made, clocks go up
    std::vector<Parts> whole;
    for (int i = 0; i < options.repeats; ++i) whole.push_back(bench.run(false));
    std::sort(whole.begin(), whole.end(),
              [](const Parts &a, const Parts &b) { return a.total < b.total; });
    const Parts parts = bench.run(true);
    const double n = options.batch;
    std::printf("%-6s %-4s batch %d, %d x %d: %8.2f ms an image (%.2f to %.2f), %.0f launches an "
                "image\n",
                options.shape.c_str(), options.precision.c_str(), options.batch, options.steps,
                options.denoise_steps, whole[whole.size() / 2].total / n, whole.front().total / n,
                whole.back().total / n, static_cast<double>(whole.front().launches) / n);
    std::printf("       parts, waiting between them: encoder %.2f, decoder %.2f, denoiser %.2f, "
                "picture %.2f ms an image\n",
                parts.encoder / n, parts.decoder / n, parts.denoiser / n, parts.picture / n);
    if (whole.front().persistent > 0) {
        std::printf("       denoiser: the persistent kernel, %.1f launches an image\n",
                    static_cast<double>(whole.front().persistent) / n);
    } else if (whole.front().launches > 0) {
        std::printf("       denoiser: graphs\n");
    }
    return 0;
}

} // namespace
} // namespace tessera::bench

int main(int argc, char **argv) {
    tessera::bench::Options options;
    CLI::App app{"Times whole MAR images of published shapes. Exit status 77: no such backend."};
    app.add_option("--backend", options.backend)->capture_default_str();
    app.add_option("--shape", options.shape)
        ->check(CLI::IsMember({"base", "large", "huge", "tiny"}))
        ->capture_default_str();
    app.add_option("--precision", options.precision)
        ->check(CLI::IsMember({"bf16", "f32"}))
        ->capture_default_str();
    app.add_option("--batch", options.batch)->check(CLI::Range(1, 64))->capture_default_str();
    app.add_option("--steps", options.steps)->check(CLI::Range(1, 256))->capture_default_str();
    app.add_option("--denoise-steps", options.denoise_steps)
        ->check(CLI::Range(2, 1000))
        ->capture_default_str();
    app.add_option("--repeats", options.repeats)->check(CLI::Range(1, 100))->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    std::string pattern =
        (std::filesystem::temp_directory_path() / "tessera_bench_XXXXXX").string();
    const char *directory = mkdtemp(pattern.data());
    if (directory == nullptr) {
        std::fprintf(stderr, "bench_cuda: cannot make a temporary directory\n");
        return 1;
    }
    int status = 1;
    try {
        status = tessera::bench::run(options, directory);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "bench_cuda: %s\n", error.what());
    }
    std::filesystem::remove_all(directory);
    return status;
}
