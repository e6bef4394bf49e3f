// bench_causal: what a cache of keys and values saves a causal MAR over all tokens of an image, and
// the ratio to PyTorch's cached loop of the same model on the same threads in the same run. Only
// the network is timed; the head is the same for all of them.
#include "bench/torch_peer.hpp"
#include "golden/synthetic.hpp"

#include "mar/causal_network.hpp"

#include "compute/registry.hpp"
#include "host/plugin/services.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

namespace tessera::bench {
namespace {

struct Options {
    unsigned threads = 2;
    int side = 16; // tokens
    int width = 768;
    int depth = 12;
    int heads = 12;
    int repeats = 3;
    std::string python = "python3";
};

constexpr int kEntries = 2;   // an image with guidance
constexpr int kPositions = 5; // at which a pass without cache is timed

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

class CausalBench {
  public:
    CausalBench(const sdk::Compute &compute, mar::CausalModel &model)
        : compute_(compute), model_(model), network_(compute, model, kEntries) {
        network_.set_class(0, 1, {});
        network_.set_class(1, -1, {});
        token_ = compute_.allocate({1, 1, model.config.token_width()});
        compute_.fill(0.4f, sdk::reshape(token_, {1, model.config.token_width()}));
    }

    // Seconds of all tokens, each through what the cache has of those before it.
    double cached() {
        model_.keeps = true;
        const auto start = std::chrono::steady_clock::now();
        for (std::int32_t token = 0; token < tokens(); ++token) pass(token);
        return seconds_since(start);
    }
    // The same from passes over all rows at some places, by straight lines between them.
    double uncached() {
        model_.keeps = false;
        double sum = 0.0, last_seconds = 0.0;
        std::int32_t last = 0;
        for (int i = 0; i < kPositions; ++i) {
            const std::int32_t token = i * (tokens() - 1) / (kPositions - 1);
            const auto start = std::chrono::steady_clock::now();
            pass(token);
            const double seconds = seconds_since(start);
            if (i > 0) sum += 0.5 * (last_seconds + seconds) * (token - last);
            last_seconds = seconds;
            last = token;
        }
        return sum + last_seconds;
    }

  private:
    [[nodiscard]] std::int32_t tokens() const {
        return static_cast<std::int32_t>(model_.config.tokens());
    }
    static double seconds_since(std::chrono::steady_clock::time_point start) {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    // The condition of a token that follows all those before it.
    void pass(std::int32_t token) {
        if (token > 0) {
            const std::int32_t place[] = {token - 1};
            for (int entry = 0; entry < kEntries; ++entry) network_.embed(token_, place, 1, entry);
        }
        known_.clear();
        for (int entry = 0; entry < kEntries; ++entry) {
            for (std::int32_t before = 0; before < token; ++before) known_.push_back(before);
        }
        const std::int32_t wanted[kEntries] = {token, token};
        network_.start(known_, wanted);
        for (int unit = 0; unit < network_.unit_count(); ++unit) network_.run_unit(unit);
        compute_.synchronize();
    }

    sdk::Compute compute_;
    mar::CausalModel &model_;
    mar::CausalNetwork network_;
    sdk::Tensor token_;
    std::vector<std::int32_t> known_;
};

golden::SyntheticMar shape_of(const Options &options) {
    golden::SyntheticMar shape;
    shape.variant = "raster";
    shape.vae_stride = 16;
    shape.vae_embed_dim = 16;
    shape.img_size = options.side * 16;
    shape.encoder_embed_dim = options.width;
    shape.encoder_num_heads = options.heads;
    shape.encoder_depth = options.depth;
    shape.decoder_depth = 0;
    return shape;
}

mar::CausalModel load(const sdk::Host &host, const sdk::Compute &compute, const std::string &path,
                      tessera_dtype precision) {
    const sdk::Weights weights(host, path);
    const auto config =
        mar::CausalConfig::read(blocks::Config::parse(weights.metadata("config").value(), path));
    blocks::WeightLoader loader(weights, compute);
    return loader.run(
        [&](blocks::WeightLoader &l) { return mar::CausalModel::load(config, l, precision); });
}

int run(const Options &options, const std::string &path) {
    const golden::SyntheticMar shape = shape_of(options);
    golden::SyntheticFile file;
    file.tensors = shape.tensors();
    file.metadata["config"] = shape.config_json();
    if (!golden::write_synthetic(path, file)) {
        std::fprintf(stderr, "bench_causal: cannot write %s\n", path.c_str());
        return 1;
    }
    ComputeOptions compute_options;
    compute_options.threads = options.threads;
    auto opened = Compute::open("cpu", compute_options);
    if (!opened) {
        std::fprintf(stderr, "bench_causal: %s\n", opened.error().message.c_str());
        return 1;
    }
    const sdk::Compute compute(opened->table());
    const auto host = Host::create({});
    mar::CausalModel model =
        load(sdk::Host(host->table(), "bench"), compute, path, TESSERA_DTYPE_F32);
    TorchPeer peer(options.python, TESSERA_SOURCE_DIR "/tests/bench/causal_peer.py",
                   {"--threads", std::to_string(options.threads), "--config", shape.config_json()});
    std::printf(
        "A causal MAR (made-up weights): %d tokens, %d blocks of %d, with guidance, "
        "float32\nours:  %s\npeer:  %s\n",
        shape.tokens_per_image(), options.depth, options.width, compute.table()->info->device,
        peer.is_running() ? peer.description().c_str() : "none (no Python with PyTorch; --python)");
    CausalBench bench(compute, model);
    std::vector<double> with, without, theirs;
    bench.cached(); // warm-up
    if (peer.is_running()) static_cast<void>(peer.time("cached"));
    for (int repeat = 0; repeat < options.repeats; ++repeat) { // in turns
        with.push_back(bench.cached());
        without.push_back(bench.uncached());
        if (peer.is_running()) theirs.push_back(peer.time("cached"));
    }
    std::printf("with the cache     %9.3f s, of %.1f MB an image\nwithout it         %9.3f s, "
                "%.1fx\n",
                median(with), kEntries * static_cast<double>(model.config.cache_bytes()) / 1e6,
                median(without), median(without) / median(with));
    if (!theirs.empty()) {
        std::printf("PyTorch, cached    %9.3f s, %.2fx   goal 3.0x\n", median(theirs),
                    median(theirs) / median(with));
    }
    return 0;
}

} // namespace
} // namespace tessera::bench

int main(int argc, char **argv) {
    tessera::bench::Options options;
    CLI::App app{
        "Times a causal MAR with and without its cache, and against PyTorch's cached loop."};
    app.add_option("--threads", options.threads, "Of both sides")->capture_default_str();
    app.add_option("--side", options.side, "Tokens along the picture")
        ->check(CLI::Range(2, 64))
        ->capture_default_str();
    app.add_option("--width", options.width)->capture_default_str();
    app.add_option("--depth", options.depth, "Blocks")->capture_default_str();
    app.add_option("--heads", options.heads)->capture_default_str();
    app.add_option("--repeats", options.repeats)->check(CLI::Range(1, 100))->capture_default_str();
    app.add_option("--python", options.python, "Python with PyTorch")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    std::string directory =
        (std::filesystem::temp_directory_path() / "tessera_bench_XXXXXX").string();
    if (mkdtemp(directory.data()) == nullptr) {
        std::fprintf(stderr, "bench_causal: cannot make a temporary directory\n");
        return 1;
    }
    int status = 1;
    try {
        status = tessera::bench::run(options, directory + "/causal.safetensors");
    } catch (const std::exception &error) {
        std::fprintf(stderr, "bench_causal: %s\n", error.what());
    }
    std::filesystem::remove_all(directory);
    return status;
}
