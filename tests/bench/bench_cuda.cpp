// bench_cuda: milliseconds, launches and parts of MAR images (64 x 100 with guidance by default) of
// a published shape with made-up weights, on one backend: whole ones, or some of their sets. Prints
// a line for each part as soon as it is known, so that a failure later on takes nothing with it.
// The GPU bundle runs it next to PyTorch, report.sh on the CPU for what grows.
#include "bench/job_waits.hpp"
#include "golden/synthetic.hpp"

#include "blocks/codec/latent_codec.hpp"
#include "blocks/diffusion/sampler.hpp"
#include "blocks/sequence/order.hpp"
#include "mar/towers.hpp"

#include "compute/registry.hpp"
#include "host/plugin/services.hpp"

#include <tessera/ext/cuda.h>
#include <tessera/ext/vulkan.h>

#include <CLI/CLI.hpp>

#include <dlfcn.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

namespace tessera::bench {
namespace {

struct Options {
    std::string backend = "cuda";
    std::string shape = "base";
    std::string precision = "bf16";
    std::vector<int> batches = {1};
    int size = 256; // of the image, where the shape does not say
    int steps = 64;
    int sets = 0; // of the steps that are made, evenly spaced; 0: all
    int denoise_steps = 100;
    int repeats = 3;
    bool cold = false; // nothing is done once before it is timed
    bool tokens_only = false;
    int most_waits = 0; // of an image; 0: any
};

constexpr float kGuidance = 3.0f;

golden::SyntheticMar mar_of(const std::string &shape, int size) {
    golden::SyntheticMar mar = golden::mar_base();
    mar.img_size = size;
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
    double encoder = 0.0, decoder = 0.0, denoiser = 0.0;
};

// Megabytes of device memory in use by all programs; negative where there is no driver to ask.
double used_memory_mb() {
    using MemGetInfo = int (*)(std::size_t *, std::size_t *);
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    const auto ask = driver != nullptr
                         ? reinterpret_cast<MemGetInfo>(dlsym(driver, "cuMemGetInfo_v2"))
                         : nullptr;
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    if (ask == nullptr || ask(&free_bytes, &total_bytes) != 0) return -1.0;
    return static_cast<double>(total_bytes - free_bytes) / 1e6;
}

// The most memory that this process had since forget_peak_memory.
double peak_memory_mb() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
        double kilobytes = 0.0;
        if (word == "VmHWM:" && status >> kilobytes) return kilobytes * 1024.0 / 1e6;
    }
    return 0.0;
}
void forget_peak_memory() { std::ofstream("/proc/self/clear_refs") << 5; }

bool cpu_time = false; // of all threads, in the place of time on the wall

double now_ms() {
    timespec time{};
    clock_gettime(cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return 1e3 * static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_nsec);
}

// The weights of a model on the device; what the parts of an image are made with.
class Bench {
  public:
    Bench(const sdk::Compute &compute, const sdk::Host &host, const Options &options,
          const std::string &directory)
        : compute_(compute), options_(options) {
        const golden::SyntheticMar shape = mar_of(options.shape, options.size);
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
        for (const golden::SyntheticTensor &tensor : file.tensors) {
            numbers_ += std::accumulate(tensor.shape.begin(), tensor.shape.end(), 1.0,
                                        [](double a, std::int64_t b) { return a * double(b); });
        }
    }

    // Room for another batch; the one before it is given back.
    void set_batch(int batch) {
        batch_ = batch;
        towers_.reset();
        chain_.reset();
        forget_peak_memory();
        make_towers();
        make_chain();
        wait();
    }

    // The tokens of a batch, or some sets of them; waits between the parts when they are wanted.
    Parts tokens(bool parts) {
        const auto order = blocks::random_order(1, 0, static_cast<int>(token_count()), {});
        Parts spent;
        const std::size_t steps = plan_.size();
        const std::size_t sets =
            options_.sets == 0 ? steps : std::min<std::size_t>(options_.sets, steps);
        for (std::size_t set = 0; set < sets; ++set) {
            const blocks::UnmaskStep &step = plan_[(2 * set + 1) * steps / (2 * sets)];
            const int known = static_cast<int>(token_count()) - step.unknown_before;
            const int wanted = step.unknown_before - step.first;
            set_tokens(order, known, wanted);
            measure(parts, spent.encoder, [&] { run_towers(0, towers_->encoder_unit_count()); });
            measure(parts, spent.decoder,
                    [&] { run_towers(towers_->encoder_unit_count(), towers_->unit_count()); });
            measure(parts, spent.denoiser, [&] { denoise(wanted); });
        }
        return spent;
    }

    // A picture; those of a batch are made one after the other.
    void picture() {
        if (picture_ == nullptr) {
            const auto side = model_->config.latent_side();
            picture_ = std::make_unique<blocks::LayerRun>(compute_, codec_->decoder(), side, side);
        }
        compute_.fill(0.2f, picture_->input());
        for (int i = 0; i < picture_->size(); ++i) picture_->run(i);
    }
    [[nodiscard]] double numbers() const { return numbers_; } // of the model's file
    [[nodiscard]] bool on_host() const { return compute_.memory() == TESSERA_MEMORY_HOST; }

    [[nodiscard]] std::int64_t token_count() const { return model_->config.tokens(); }
    // Of a whole job, on the double.
    [[nodiscard]] std::optional<JobWaits> waits() const {
        return job_waits(compute_, *model_, *codec_, options_.steps, options_.denoise_steps,
                         kGuidance);
    }
    // Throws what went wrong on the device.
    void wait() { compute_.synchronize(); }

    struct Launches {
        std::uint64_t all = 0, persistent = 0; // of CUDA
        std::uint64_t submissions = 0; // of Vulkan, whose replays are no launches of the host
    };
    [[nodiscard]] Launches launches() const {
        const tessera_compute *table = compute_.table();
        const auto *cuda =
            static_cast<const tessera_ext_cuda *>(table->get_extension(table, TESSERA_EXT_CUDA));
        const auto *vulkan = static_cast<const tessera_ext_vulkan *>(
            table->get_extension(table, TESSERA_EXT_VULKAN));
        if (vulkan != nullptr) return {.submissions = *vulkan->submission_count};
        return cuda != nullptr ? Launches{*cuda->launch_count, *cuda->persistent_count}
                               : Launches{};
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
        plan_ = blocks::cosine_plan(options_.steps, static_cast<int>(token_count()));
        const blocks::NoiseTables tables =
            blocks::cosine_tables(std::to_string(options_.denoise_steps));
        steps_ = blocks::ancestral_steps(tables, 1.0);
        const std::vector<std::int32_t> times(tables.timestep_map.rbegin(),
                                              tables.timestep_map.rend());
        time_ = model_->head.time_table(compute_, times);
        wait();
    }

    void make_towers() {
        const mar::MarConfig &config = model_->config;
        const std::int64_t entries = 2 * static_cast<std::int64_t>(batch_);
        towers_ = std::make_unique<mar::Towers>(compute_, *model_, entries);
        const sdk::Tensor start = compute_.allocate({1, token_count(), config.token_width()});
        compute_.fill(0.5f, start);
        std::vector<std::int32_t> all(static_cast<std::size_t>(token_count()));
        std::iota(all.begin(), all.end(), 0);
        for (std::int64_t entry = 0; entry < entries; ++entry) {
            towers_->set_class(entry, entry < batch_ ? 1 : -1, {});
            towers_->embed(start, all, 1, entry);
        }
        wait(); // `start` and `all` end here
    }

    void make_chain() {
        const std::int64_t rows = token_count() * batch_;
        chain_ = std::make_unique<blocks::DenoiseChain>(
            compute_, model_->head, rows, static_cast<std::int64_t>(steps_.size()), true);
        x_ = compute_.allocate({rows, model_->config.token_width()});
        condition_ = compute_.allocate({2 * rows, model_->config.decoder.width});
        compute_.fill(0.3f, condition_);
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
        for (int entry = 0; entry < 2 * batch_; ++entry) {
            all_have.insert(all_have.end(), have.begin(), have.end());
            all_want.insert(all_want.end(), want.begin(), want.end());
        }
        towers_->start(all_have, all_want);
    }

    void run_towers(int first, int end) {
        for (int i = first; i < end; ++i) towers_->run_unit(i);
    }

    void denoise(int wanted) {
        const std::int64_t rows = static_cast<std::int64_t>(wanted) * batch_;
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
    int batch_ = 0;
    double numbers_ = 0.0;
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

// The median, least and most of a few runs of `body`, in milliseconds an image.
struct Times {
    double median = 0.0, least = 0.0, most = 0.0;
};
template <class Body>
Times time(const Options &options, int batch, Body &&body) {
    std::vector<double> all;
    for (int i = 0; i < options.repeats; ++i) {
        const double start = now_ms();
        body();
        all.push_back((now_ms() - start) / batch);
    }
    std::sort(all.begin(), all.end());
    return {all[all.size() / 2], all.front(), all.back()};
}

void print_launches(const Bench::Launches &before, const Bench::Launches &after, double images) {
    const auto an_image = [&](std::uint64_t count) { return static_cast<double>(count) / images; };
    if (after.submissions > 0) {
        std::printf("       %.0f submissions an image\n",
                    an_image(after.submissions - before.submissions));
        return;
    }
    const std::uint64_t all = after.all - before.all;
    const std::uint64_t persistent = after.persistent - before.persistent;
    std::printf("       %.0f launches an image, %.0f of them the persistent denoiser%s\n",
                an_image(all), an_image(persistent),
                all > 0 && persistent == 0 ? " (graphs or single steps instead)" : "");
}

// False: an image takes more than the option allows.
bool print_waits(const Bench &bench, const Options &options) {
    const std::optional<JobWaits> waits = bench.waits();
    if (!waits) {
        if (options.most_waits == 0) return true;
        std::fprintf(stderr, "bench_cuda: nothing counts waits but the execution double\n");
        return false;
    }
    std::printf("       waits for the device: %ld an image in one call; %ld in %ld calls of a unit "
                "each, %ld with a picture after every step\n",
                waits->whole, waits->in_units, waits->calls, waits->watched);
    const long most = std::max({waits->whole, waits->in_units, waits->watched});
    if (options.most_waits == 0 || most <= options.most_waits) return true;
    std::fprintf(stderr, "bench_cuda: %ld waits an image, at most %d are allowed\n", most,
                 options.most_waits);
    return false;
}

// `picture`: milliseconds of one; negative: not measured yet.
void run_batch(Bench &bench, const Options &options, int batch, double &picture) {
    bench.set_batch(batch);
    Parts parts;
    const auto make = [&] {
        parts = bench.tokens(bench.on_host()); // where there is nothing to wait for
        bench.wait();
    };
    const double begin = now_ms();
    if (!options.cold) make(); // kernels are loaded, graphs made, clocks go up
    const double first = now_ms() - begin;
    const Bench::Launches before = bench.launches();
    const Times tokens = time(options, batch, make);
    const Bench::Launches after = bench.launches();
    std::printf("%-6s %-4s batch %d, %d tokens, %d x %d", options.shape.c_str(),
                options.precision.c_str(), batch, static_cast<int>(bench.token_count()),
                options.steps, options.denoise_steps);
    if (options.sets > 0) std::printf(" (%d of the steps)", options.sets);
    std::printf(": tokens %9.2f ms an image (%.2f to %.2f), the first time %.2f\n", tokens.median,
                tokens.least, tokens.most, first / batch);
    print_launches(before, after, static_cast<double>(batch) * options.repeats);
    if (!bench.on_host()) parts = bench.tokens(true);
    std::printf(
        "       parts, waiting between them: encoder %.2f, decoder %.2f, denoiser %.2f ms an "
        "image\n",
        parts.encoder / batch, parts.decoder / batch, parts.denoiser / batch);
    if (const double used = used_memory_mb(); used >= 0.0)
        std::printf("       device memory in use: %.0f MB\n", used);
    if (picture < 0.0) {
        const auto make_picture = [&] {
            bench.picture();
            bench.wait();
        };
        if (!options.cold) make_picture();
        picture = time(options, 1, make_picture).median;
    }
    std::printf(
        "       picture %.2f ms; total %9.2f ms an image; peak memory %.0f MB of the host\n",
        picture, tokens.median + picture, peak_memory_mb());
}

int run(const Options &options, const std::string &directory) {
    auto opened = Compute::open(options.backend);
    if (!opened) {
        std::fprintf(stderr, "bench_cuda: %s\n", opened.error().message.c_str());
        return 77;
    }
    const sdk::Compute compute(opened->table());
    const auto host = Host::create({});
    const sdk::Host plugin_host(host->table(), "bench");
    const double start = now_ms();
    Bench bench(compute, plugin_host, options, directory);
    std::printf("%s; %s, %.0f million numbers, ready after %.1f s\n", compute.table()->info->device,
                options.shape.c_str(), 1e-6 * bench.numbers(), 1e-3 * (now_ms() - start));
    double picture = options.tokens_only ? 0.0 : -1.0;
    for (const int batch : options.batches) run_batch(bench, options, batch, picture);
    return print_waits(bench, options) ? 0 : 1;
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
    app.add_option("--batch", options.batches, "Images at once, one or more numbers of them")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    app.add_option("--size", options.size, "Of the image, for all shapes but tiny")
        ->check(CLI::Range(64, 2048))
        ->capture_default_str();
    app.add_option("--steps", options.steps)->check(CLI::Range(1, 256))->capture_default_str();
    app.add_option("--sets", options.sets, "Of the steps, so many are made, evenly spaced (0: all)")
        ->check(CLI::Range(0, 256))
        ->capture_default_str();
    app.add_option("--denoise-steps", options.denoise_steps)
        ->check(CLI::Range(2, 1000))
        ->capture_default_str();
    app.add_option("--repeats", options.repeats)->check(CLI::Range(1, 100))->capture_default_str();
    app.add_flag("--cold", options.cold, "No run before those that are timed");
    app.add_flag("--tokens-only", options.tokens_only, "No pictures");
    app.add_option(
           "--most-waits", options.most_waits,
           "Fails when an image waits more often for the device (0: any; counted on the double)")
        ->check(CLI::NonNegativeNumber);
    app.add_flag("--cpu-time", tessera::bench::cpu_time,
                 "Time of all threads together, which other programs change little");
    CLI11_PARSE(app, argc, argv);
    std::setvbuf(stdout, nullptr, _IOLBF, 0); // a line that is printed stays, whatever comes next
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
