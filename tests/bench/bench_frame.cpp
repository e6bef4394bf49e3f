// Frame times of the window with generation off, on and off again, in one run. The middle part over
// the outer two is what a user feels of a generator that works next to the frame loop.
//   bench_frame [--seconds 8] [--model NAME | --plugin PLUGIN] [--threads N] [--set key=value]
// Needs a display: tests/view/under_xvfb.sh bench_frame. With --offscreen it needs none, but then
// nothing is presented. Exit code 77 when there is neither display nor Vulkan device.
#include "sandbox/app/app.hpp"

#include <chrono>
#include <cstdio>

#include <CLI/CLI.hpp>

namespace {

using tessera::App;
using tessera::DurationStats;

struct Phase {
    DurationStats frames{100'000};
    double frames_per_s = 0;
    std::uint64_t steps = 0; // of the generator, while it ran
    double step_p50_ms = 0;
};

double milliseconds(std::uint64_t duration_us) { return static_cast<double>(duration_us) / 1000; }

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Frames for so long; the first ones after a switch are not counted.
bool measure(App &app, double seconds, Phase &phase) {
    constexpr int kSettling = 30;
    for (int i = 0; i < kSettling; ++i) {
        if (!app.frame()) return false;
    }
    const auto start = std::chrono::steady_clock::now();
    std::uint64_t count = 0;
    while (seconds_since(start) < seconds) {
        if (!app.frame()) return false;
        const DurationStats &times = app.frame_times();
        phase.frames.push(times.at(times.size() - 1));
        ++count;
    }
    phase.frames_per_s = static_cast<double>(count) / seconds_since(start);
    phase.step_p50_ms = milliseconds(app.control().stats().steps.percentile_us(0.5));
    phase.steps = app.control().stats().steps.size();
    return true;
}

void print(const char *name, const Phase &phase) {
    std::printf("%-12s %6.1f fps   p50 %6.2f ms   p99 %6.2f ms   worst %6.2f ms   (%zu frames)\n",
                name, phase.frames_per_s, milliseconds(phase.frames.percentile_us(0.5)),
                milliseconds(phase.frames.percentile_us(0.99)),
                milliseconds(phase.frames.percentile_us(1.0)), phase.frames.size());
}

bool wait_until_idle(App &app) {
    app.control().cancel();
    while (app.control().busy()) {
        if (!app.frame()) return false;
    }
    return true;
}

// What a user waits for after a click, over several runs.
struct Latencies {
    DurationStats first_picture{64}; // from play to the frame that shows something of it
    DurationStats frames{64};        // begun in that time; a count
    DurationStats cancel{64};        // from cancel until the run has ended
};

bool measure_latencies(App &app, Latencies &latencies) {
    constexpr int kRuns = 24;
    for (int i = 0; i < kRuns; ++i) {
        app.control().play();
        const std::uint64_t before = app.frames();
        const auto &shown = app.view().info();
        while (!shown || shown->job != app.control().job()) {
            if (!app.frame() || app.control().stats().failed > 0) return false;
        }
        latencies.frames.push(app.frames() - before);
        if (const auto first = app.control().stats().first_picture_us) {
            latencies.first_picture.push(*first);
        }
        if (!wait_until_idle(app)) return false;
        if (const auto cancel = app.control().stats().cancel_us) latencies.cancel.push(*cancel);
    }
    return true;
}

void print(const Latencies &latencies, const Phase &during) {
    std::printf("click        first changed pixel after %llu frames (worst %llu), p50 %.1f ms, "
                "worst %.1f ms (goal: two frames and one step)\n",
                static_cast<unsigned long long>(latencies.frames.percentile_us(0.5)),
                static_cast<unsigned long long>(latencies.frames.percentile_us(1.0)),
                milliseconds(latencies.first_picture.percentile_us(0.5)),
                milliseconds(latencies.first_picture.percentile_us(1.0)));
    std::printf("cancel       p50 %.1f ms, worst %.1f ms (goal: one step, p50 %.1f ms)\n",
                milliseconds(latencies.cancel.percentile_us(0.5)),
                milliseconds(latencies.cancel.percentile_us(1.0)), during.step_p50_ms);
}

int run(tessera::AppOptions options, double seconds) {
    options.play_at_start = false;
    options.play.rolling = true;
    auto made = App::create(std::move(options));
    if (!made) {
        std::fprintf(stderr, "bench_frame: %s\n", made.error().message.c_str());
        const tessera::Status status = made.error().status;
        const bool cannot = status == tessera::Status::kUnsupported;
        return cannot ? 77 : 1;
    }
    App &app = **made;
    Phase before;
    Phase during;
    Phase after;
    // The model is loaded, and shaders are compiled, before anything is measured.
    app.control().play();
    while (app.control().stats().finished + app.control().stats().failed == 0) {
        if (!app.frame()) return 1;
    }
    if (!measure(app, seconds, before)) return 1;
    app.control().options.loop = true;
    app.control().play();
    if (!measure(app, seconds, during)) return 1;
    if (!wait_until_idle(app) || !measure(app, seconds, after)) return 1;
    Latencies latencies;
    if (!measure_latencies(app, latencies)) return 1;
    if (app.control().stats().failed > 0) {
        std::fprintf(stderr, "bench_frame: %s\n", app.control().problem().c_str());
        return 1;
    }

    print("off", before);
    print("on", during);
    print("off again", after);
    const double off_p50 = 0.5 * (milliseconds(before.frames.percentile_us(0.5)) +
                                  milliseconds(after.frames.percentile_us(0.5)));
    const double off_p99 = 0.5 * (milliseconds(before.frames.percentile_us(0.99)) +
                                  milliseconds(after.frames.percentile_us(0.99)));
    std::printf("on / off     p50 %.2f   p99 %.2f (goal 1.25)   generator step p50 %.2f ms, "
                "%llu pictures finished\n",
                milliseconds(during.frames.percentile_us(0.5)) / off_p50,
                milliseconds(during.frames.percentile_us(0.99)) / off_p99, during.step_p50_ms,
                static_cast<unsigned long long>(app.control().stats().finished));
    print(latencies, during);
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    CLI::App cli{"Frame times with generation off, on, off"};
    tessera::AppOptions options;
    std::vector<std::string> sets;
    double seconds = 8;
    cli.add_option("--seconds", seconds, "Per part")->check(CLI::Range(0.5, 600.0));
    cli.add_option("--model", options.model);
    cli.add_option("--plugin", options.plugin);
    cli.add_option("--threads", options.threads);
    cli.add_option("--fps", options.fps);
    cli.add_option("--set", sets, "key=value");
    cli.add_flag("--offscreen", options.offscreen);
    try {
        cli.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
        return cli.exit(error);
    }
    for (const std::string &text : sets) {
        const auto equals = text.find('=');
        if (equals == std::string::npos) return 2;
        options.values.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    }
    return run(std::move(options), seconds);
}
