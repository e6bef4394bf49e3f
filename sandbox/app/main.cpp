// tessera-sandbox: the window program. Reads the command line and runs the App.
#include "assets/output_file.hpp"
#include "core/trace.hpp"
#include "sandbox/app/app.hpp"
#include "sandbox/app/default_model.hpp"

#include <cstdio>

#include <CLI/CLI.hpp>

namespace {

using tessera::AppOptions;

// What the command line says beside the App's options.
struct ProgramOptions {
    std::vector<std::string> sets;
    bool exact = false;
    bool list_devices = false;
    std::filesystem::path trace; // empty: none
};

void describe(CLI::App &cli, AppOptions &options, ProgramOptions &program) {
    cli.add_option("--model", options.model, "Model: a bundled name or a path; default: materials");
    cli.add_option("--plugin", options.plugin, "Generator: an id or the path of a library");
    cli.add_option("--backend", options.backend,
                   "Compute backend, NAME or NAME:OPTION=VALUE,...; the best one by default");
    cli.add_option("--threads", options.threads, "Compute threads; 0: chosen for a smooth window");
    cli.add_flag("--exact", program.exact, "float32 throughout");
    cli.add_option("--plugin-dir", options.plugin_dirs, "More folders to look for plugins in");
    cli.add_option("--model-dir", options.model_dirs, "More folders to look for models in");
    cli.add_option("--preset-dir", options.preset_dir, "Where presets are kept");
    cli.add_option("--set", program.sets, "A parameter: key=value; may be repeated");
    cli.add_option("--seed", options.play.seed, "Seed of the first picture");
    cli.add_flag("--roll", options.play.rolling, "Every play takes a new seed");
    cli.add_flag("--loop", options.play.loop, "Play again when a picture is finished");
    cli.add_flag("!--idle", options.play_at_start, "Do not play at the start");
    cli.add_option("--width", options.width, "Of the window, pixels")->check(CLI::Range(64, 16384));
    cli.add_option("--height", options.height, "Of the window, pixels")
        ->check(CLI::Range(64, 16384));
    cli.add_option("--fps", options.fps, "Most frames per second; 0: no limit")
        ->check(CLI::Range(0.0, 1000.0));
    cli.add_flag("--offscreen", options.offscreen, "No window and no display");
    cli.add_option("--device", options.device,
                   "Vulkan device: index, part of its name or UUID; --list-devices shows them");
    cli.add_flag("--list-devices", program.list_devices, "Print the Vulkan devices and end");
    cli.add_option("--scale", options.scale, "Size of the panel; default: the monitor's")
        ->check(CLI::Range(0.5, 4.0));
    cli.add_flag("--validation", options.validation, "Vulkan validation layers; a message fails");
    cli.add_option("--frames", options.frame_limit, "Exit after so many frames");
    cli.add_option("--screenshot", options.screenshot,
                   "Write the window as PNG when the first picture is final");
    cli.add_option("--screenshot-step", options.screenshot_step, "... or at this step already");
    cli.add_flag("--exit-after-screenshot", options.exit_after_screenshot);
    cli.add_option("--script", options.script, "Replay user actions from a JSON file, offscreen")
        ->option_text("FILE.json");
    cli.add_option("--budget", options.play.step_budget_ms,
                   "How long the generator works before it looks for news, ms")
        ->check(CLI::Range(0.5, 1000.0));
    cli.add_option("--trace", program.trace, "Write time spans of all threads, for Perfetto")
        ->option_text("FILE.json");
    cli.footer(tessera::script_help());
}

// Splits "key=value" texts; the answer is the first that is none.
std::string split(const std::vector<std::string> &sets, AppOptions &options) {
    for (const std::string &text : sets) {
        const auto equals = text.find('=');
        if (equals == std::string::npos || equals == 0) return text;
        options.values.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    }
    return {};
}

int fail(const std::string &message) {
    std::fprintf(stderr, "tessera-sandbox: %s\n", message.c_str());
    return 1;
}

int print_devices() {
    const auto instance = tessera::VulkanInstance::create({});
    if (!instance) return fail(instance.error().message);
    const auto devices = tessera::list_devices((*instance)->get());
    if (!devices) return fail(devices.error().message);
    for (const tessera::VulkanDeviceInfo &device : *devices) {
        std::printf("%u  %s (%s)  %s%s%s\n", device.index, device.name.c_str(), device.kind.c_str(),
                    tessera::uuid_text(device.uuid).c_str(),
                    device.missing.empty() ? "" : "  unusable: ", device.missing.c_str());
    }
    return 0;
}

int run(AppOptions options) {
    const bool validation = options.validation;
    auto app = tessera::App::create(std::move(options));
    if (!app) return fail(app.error().message);
    const auto ran = (*app)->run();
    if (!ran) return fail(ran.error().message);
    if (validation && !(*app)->validation_messages().empty()) {
        return fail("the validation layers had something to say");
    }
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    CLI::App cli{"Tessera sandbox: watch a generator at work"};
    AppOptions options;
    ProgramOptions program;
    describe(cli, options, program);
    try {
        cli.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
        return cli.exit(error);
    }
    if (program.list_devices) return print_devices();
    if (program.exact) options.precision = TESSERA_PRECISION_EXACT;
    if (const std::string bad = split(program.sets, options); !bad.empty()) {
        return fail("--set " + bad + ": expected key=value");
    }
    if (cli.count("--model") == 0) options.model = tessera::default_model(options.plugin);
    if (program.trace.empty()) return run(std::move(options));
    tessera::trace::name_thread("window");
    tessera::trace::start();
    const int code = run(std::move(options));
    tessera::trace::stop();
    const auto written = tessera::write_file(program.trace, tessera::trace::to_json());
    return written ? code : fail(written.error().message);
}
