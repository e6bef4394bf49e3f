// What an engine pays for libtessera: a frame loop of 60 Hz with and without textures being made,
// the time to the first picture, textures a second next to the same runs one after the other, and
// memory next to a player (a session with a thread of its own) for each texture. On CUDA also how
// many launches a picture takes by itself and in a job of several.
//
//   bench_embed [--textures 64] [--size 128] [--steps 4] [--work-us 4000] [--cpu-us 6000]
//   [--loops 3] [--players 4] [--nice 20] [--backend cuda] [--batch 16]
//
// A frame with textures may take longer because it computes longer (the line "computing") or
// because it waited for a core, which the library's threads keep off. What else runs on the machine
// does not: on two cores, measure with everything else stopped.
#include "compute/registry.hpp"
#include "host/run/player.hpp"

#include <tessera/ext/cuda.h>
#include <tessera/runtime.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kFrame = std::chrono::microseconds(16'667);

struct Options {
    int textures = 64;
    std::uint32_t size = 128;
    int steps = 4;
    std::uint32_t work_us = 4000; // of the engine, a frame
    std::uint32_t cpu_us = 6000;  // for generating, a frame
    std::uint32_t threads = 0;
    int nice = 0; // the library's own
    int players = 4;
    int loops = 3;
    std::string backend = "cpu";
    std::uint32_t batch = 0;  // most textures in one job; 0: the library's own
    std::uint64_t rounds = 0; // of work_us, on this machine
};

[[noreturn]] void fail(const std::string &what) {
    std::fprintf(stderr, "bench_embed: %s\n", what.c_str());
    std::exit(1);
}

double us_since(Clock::time_point start) {
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

double percentile(std::vector<double> values, double part) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

double resident_mib() {
    long pages = 0, resident = 0;
    std::FILE *const file = std::fopen("/proc/self/statm", "r");
    const bool read = std::fscanf(file, "%ld %ld", &pages, &resident) == 2;
    std::fclose(file);
    return read ? static_cast<double>(resident) * 4096 / 1048576 : 0;
}

double thread_us() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

// Rounds rather than time: a core that is taken away shows.
void work(std::uint64_t rounds) {
    std::uint64_t state = 1;
    for (std::uint64_t i = 0; i < rounds; ++i) {
        state ^= state << 13;
        state ^= state >> 7;
        asm volatile("" : "+r"(state));
    }
}

std::uint64_t rounds_of(std::uint32_t us) {
    constexpr std::uint64_t kRounds = 10'000'000;
    double best = 1e12;
    for (int turn = 0; turn < 5; ++turn) {
        const auto start = Clock::now();
        work(kRounds);
        best = std::min(best, us_since(start));
    }
    return static_cast<std::uint64_t>(kRounds / best * us);
}

struct Frames {
    std::vector<double> took;     // us, on the wall
    std::vector<double> computed; // of that, on a core
    std::vector<double> late;     // from when it was to wake up until it did
};

// The engine's own work: so much computing, then it waits for the display.
void one_frame(const tessera::Runtime &runtime, const Options &options, int &done, Frames &frames) {
    static Clock::time_point next = Clock::now();
    next = std::max(next + kFrame, Clock::now());
    const auto start = Clock::now();
    const double computed = thread_us();
    tessera_frame_info info{};
    info.cpu_us = info.gpu_us = options.cpu_us;
    const auto frame = runtime.frame(info, [&](const tessera_runtime_event &event) {
        if (event.type == TESSERA_ON_DONE) ++done;
        if (event.type == TESSERA_ON_FAILED) fail(event.text);
    });
    if (!frame) fail(frame.text);
    work(options.rounds);
    frames.took.push_back(us_since(start));
    frames.computed.push_back(thread_us() - computed);
    std::this_thread::sleep_until(next);
    frames.late.push_back(us_since(next));
}

struct Round {
    Frames quiet, busy;
    double loop_us = 0, first_us = 0;
};

// One time of each frame; the ratio is the median of those of the rounds.
void print(const char *name, const std::vector<Round> &rounds, std::vector<double> Frames::*times) {
    std::vector<double> quiet, busy, ratios;
    for (const Round &round : rounds) {
        const std::vector<double> &without = round.quiet.*times, &with = round.busy.*times;
        quiet.insert(quiet.end(), without.begin(), without.end());
        busy.insert(busy.end(), with.begin(), with.end());
        ratios.push_back(percentile(with, 0.99) / percentile(without, 0.99));
    }
    std::printf("%-15s %8.0f / %.0f us without, %.0f / %.0f us with: p99 ratio %.3f "
                "(%.3f to %.3f)\n",
                name, percentile(quiet, 0.5), percentile(quiet, 0.99), percentile(busy, 0.5),
                percentile(busy, 0.99), percentile(ratios, 0.5), percentile(ratios, 0),
                percentile(ratios, 1));
}

std::string values_of(const Options &options) {
    return options.steps > 0 ? "{\"steps\": " + std::to_string(options.steps) + "}" : "{}";
}

tessera::Texture open_texture(const tessera::Model &model, const Options &options,
                              std::uint64_t seed) {
    tessera_texture_desc desc{};
    const std::string values = values_of(options);
    desc.seed = seed;
    desc.width = desc.height = options.size;
    desc.values = values.c_str();
    auto texture = model.texture(desc);
    if (!texture) fail(texture.outcome.text);
    return std::move(*texture);
}

double players_mib(const Options &options) {
    const double before = resident_mib();
    std::vector<std::unique_ptr<tessera::Player>> players;
    for (int i = 0; i < options.players; ++i) {
        tessera::PlayerConfig config;
        config.model = "materials";
        config.backend = options.backend;
        config.threads = 1;
        auto player = tessera::Player::create(std::move(config));
        if (!player) fail(player.error().message);
        (void)(*player)->set_text("width", std::to_string(options.size));
        (void)(*player)->set_text("height", std::to_string(options.size));
        if (options.steps > 0) (void)(*player)->set_text("steps", std::to_string(options.steps));
        (*player)->submit({.seed = static_cast<std::uint64_t>(i)});
        if (!(*player)->wait(600'000'000)) fail("a player takes ten minutes");
        players.push_back(std::move(*player));
    }
    return (resident_mib() - before) / std::max(options.players, 1);
}

// All textures in the frame loop, with about as many frames without before and after.
Round one_round(const tessera::Runtime &runtime, const std::vector<tessera::Texture> &textures,
                const Options &options) {
    constexpr std::size_t kBefore = 240, kMost = 720;
    Round round;
    int done = 0;
    while (round.quiet.took.size() < kBefore) one_frame(runtime, options, done, round.quiet);
    done = 0;
    for (const auto &texture : textures) texture.restart();
    const auto start = Clock::now();
    while (done < options.textures) {
        one_frame(runtime, options, done, round.busy);
        if (done > 0 && round.first_us == 0) round.first_us = us_since(start);
    }
    round.loop_us = us_since(start);
    while (round.quiet.took.size() < std::min(round.busy.took.size(), kMost)) {
        one_frame(runtime, options, done, round.quiet);
    }
    return round;
}

// What the device is told for `count` pictures, one at a time and in one job.
void print_launches(const Options &options, std::uint32_t count) {
    auto opened = tessera::Compute::open(options.backend, {});
    if (!opened) fail(opened.error().message);
    const auto owner = std::make_shared<tessera::Compute>(std::move(*opened));
    const auto *const cuda = static_cast<const tessera_ext_cuda *>(
        owner->table()->get_extension(owner->table(), TESSERA_EXT_CUDA));
    if (cuda == nullptr) return;
    tessera::SessionConfig config;
    config.model = "materials";
    config.compute = {owner, owner->table()};
    auto session = tessera::Session::create(std::move(config));
    if (!session) fail(session.error().message);
    tessera::Params &params = (*session)->params();
    for (const char *side : {"width", "height"}) {
        if (const auto set = params.set_text(side, std::to_string(options.size)); !set) {
            fail(set.error().message);
        }
    }
    if (options.steps > 0) (void)params.set_text("steps", std::to_string(options.steps));
    const auto launches = [&](const std::vector<tessera::SessionJob> &jobs) {
        const std::uint64_t before = *cuda->launch_count;
        for (const tessera::SessionJob &job : jobs) {
            if (const auto made = (*session)->run(job, {}); !made) fail(made.error().message);
        }
        return static_cast<double>(*cuda->launch_count - before) / count;
    };
    std::vector<tessera::SessionJob> alone;
    tessera::SessionJob together = (*session)->job({});
    for (std::uint32_t i = 0; i < count; ++i) {
        alone.push_back((*session)->job({.seed = i}));
        together.images.push_back({i, together.values});
    }
    if (const auto first = (*session)->run(alone.front(), {}); !first) fail(first.error().message);
    const double one = launches(alone), all = launches({together});
    std::printf("launches        %8.1f a picture one at a time, %.1f in a job of %u (1/%.1f)\n",
                one, all, count, one / all);
}

void measure(const Options &options) {
    tessera_runtime_desc desc{};
    desc.program = "bench_embed";
    desc.threads = options.threads;
    desc.nice = options.nice;
    auto runtime = tessera::Runtime::open(desc);
    if (!runtime) fail(runtime.outcome.text);
    tessera_model_desc model_desc{};
    model_desc.model = "materials";
    model_desc.backend = options.backend.c_str();
    model_desc.batch = options.batch;
    auto model = runtime->model(model_desc);
    if (!model) fail(model.outcome.text);
    if (const auto ready = model->wait(600'000); !ready) fail(ready.text);
    const double loaded = resident_mib();

    // One after the other, without a frame loop: what the same runs cost at best.
    std::vector<std::uint64_t> hashes;
    const auto single_start = Clock::now();
    for (int i = 0; i < options.textures; ++i) {
        const auto texture = open_texture(*model, options, static_cast<std::uint64_t>(i));
        if (const auto made = texture.wait(600'000); !made) fail(made.text);
        hashes.push_back(texture.info().hash);
    }
    const double single_us = us_since(single_start);

    // All at once, without a limit.
    const auto all_start = Clock::now();
    std::vector<tessera::Texture> textures;
    for (int i = 0; i < options.textures; ++i) {
        textures.push_back(open_texture(*model, options, static_cast<std::uint64_t>(i)));
    }
    for (const auto &texture : textures) {
        if (const auto made = texture.wait(600'000); !made) fail(made.text);
    }
    const double all_us = us_since(all_start);
    const double used_mib = resident_mib() - loaded;
    bool same = true;
    for (std::size_t i = 0; i < textures.size(); ++i) {
        same = same && textures[i].info().hash == hashes[i];
    }

    std::vector<Round> rounds;
    double loop_us = 0;
    for (int i = 0; i < options.loops; ++i) {
        rounds.push_back(one_round(*runtime, textures, options));
        loop_us += rounds.back().loop_us / options.loops;
    }
    for (std::size_t i = 0; i < textures.size(); ++i) {
        same = same && textures[i].info().hash == hashes[i];
    }
    const double count = options.textures;
    std::printf("%d textures of %u x %u, %u computing threads; %s\n", options.textures,
                options.size, options.size, runtime->stats().threads, model->info().device);
    std::printf("one at a time   %8.2f textures/s\n", count / single_us * 1e6);
    std::printf("all queued      %8.2f textures/s  (%.2fx)\n", count / all_us * 1e6,
                single_us / all_us);
    if (!rounds.empty()) {
        std::printf("in the loop     %8.2f textures/s  with %u us a frame\n", count / loop_us * 1e6,
                    options.cpu_us);
        std::printf("first picture   %8.1f ms in the loop\n", rounds.front().first_us / 1000);
        print("frame p50 / p99", rounds, &Frames::took);
        print("  computing", rounds, &Frames::computed);
        print("  waking up", rounds, &Frames::late);
    }
    std::printf("same pictures   %s\n", same ? "yes" : "NO");
    std::printf("memory          %8.2f MiB a texture (weights once: %.1f MiB)", used_mib / count,
                static_cast<double>(model->info().bytes) / 1048576);
    if (options.players > 0) std::printf(", %.1f MiB a player", players_mib(options));
    std::printf("\n");
    print_launches(options, 16);
    if (!same) std::exit(1);
}

} // namespace

int main(int argc, char **argv) {
    Options options;
    CLI::App app("What an engine pays for libtessera");
    app.add_option("--textures", options.textures)->check(CLI::Range(1, 4096));
    app.add_option("--size", options.size);
    app.add_option("--steps", options.steps, "0: the model's own");
    app.add_option("--work-us", options.work_us, "Of the engine in every frame, about");
    app.add_option("--cpu-us", options.cpu_us, "For generating in every frame");
    app.add_option("--threads", options.threads, "0: half the cores");
    app.add_option("--nice", options.nice, "Of the library's threads; 20: what nobody else wants");
    app.add_option("--backend", options.backend);
    app.add_option("--batch", options.batch, "Most textures in one job; 0: the library's own");
    app.add_option("--loops", options.loops, "Frame loops without and with")
        ->check(CLI::Range(0, 99));
    app.add_option("--players", options.players, "To compare memory with; 0: not");
    CLI11_PARSE(app, argc, argv);
    options.rounds = rounds_of(options.work_us);
    measure(options);
    return 0;
}
