// tessera-sandbox: the window program. Reads the command line and runs the App.
#include "assets/output_file.hpp"
#include "core/trace.hpp"
#include "sandbox/app/app.hpp"
#include "sandbox/options/numbers.hpp"

#include <cstdio>
#include <limits>

namespace {

using tessera::AppOptions;

void describe_play(CLI::App &cli, AppOptions &options) {
    cli.add_option("--preset-dir", options.preset_dir, "Where presets are kept")->type_name("DIR");
    cli.add_flag("--roll", options.play.rolling, "Every play takes a new seed");
    cli.add_flag("--loop", options.play.loop, "Play again when a picture is finished");
    cli.add_flag("!--idle", options.play_at_start, "Do not play at the start");
    tessera::add_number(cli, "--budget", options.play.step_budget_ms, 0.5F, 1000.0F,
                        "How long the generator works before it looks for changes, ms");
}

void describe_window(CLI::App &cli, AppOptions &options) {
    tessera::add_number(cli, "--width", options.width, 64, 16384, "Of the window, pixels")
        ->group("Window");
    tessera::add_number(cli, "--height", options.height, 64, 16384, "Of the window, pixels")
        ->group("Window");
    tessera::add_number(cli, "--fps", options.fps, 0.0, 1000.0,
                        "Most frames per second; 0: no limit")
        ->group("Window");
    tessera::add_number(
        cli, "--share", options.share, 1, 50,
        "Percent of a core for the generator where others want it too; less is smoother")
        ->group("Window");
    cli.add_flag("--offscreen", options.offscreen, "No window and no display")->group("Window");
    tessera::add_graphics_device_option(cli, options.device, "Window");
    tessera::add_number(cli, "--scale", options.scale, 0.5F, 4.0F,
                        "Size of the panel; default: the monitor's")
        ->group("Window");
    cli.add_flag("--validation", options.validation,
                 "Turn Vulkan's validation layers on; any message is a failure")
        ->group("Window");
    tessera::add_number(cli, "--frame-limit", options.frame_limit, 0,
                        std::numeric_limits<std::uint64_t>::max(), "Exit after so many frames")
        ->group("Window");
    cli.add_option("--screenshot", options.screenshot,
                   "Write the window as .png, .jpg or .webp when the first picture is final")
        ->type_name("FILE")
        ->group("Window");
    tessera::add_number(cli, "--screenshot-step", options.screenshot_step, 0,
                        std::numeric_limits<std::uint32_t>::max(), "... or at this step already")
        ->group("Window");
    cli.add_flag("--exit-after-screenshot", options.exit_after_screenshot,
                 "Exit when it is written")
        ->group("Window");
    cli.add_option("--script", options.script, "Replay user actions from a JSON file, offscreen")
        ->type_name("FILE.json")
        ->group("Window");
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

// Before minutes are spent on what could not be written.
tessera::Result<void> check_targets(const std::filesystem::path &screenshot,
                                    const std::filesystem::path &trace) {
    if (!screenshot.empty()) {
        if (auto checked = tessera::check_image_target(screenshot); !checked) return checked;
    }
    return trace.empty() ? tessera::Result<void>() : tessera::check_target(trace);
}

int run(AppOptions options) {
    const bool validation = options.validation;
    auto app = tessera::App::create(std::move(options));
    if (!app) return fail(app.error().message);
    const auto ran = (*app)->run();
    if (!ran) return fail(ran.error().message);
    if (validation && !(*app)->validation_messages().empty()) {
        return fail("the validation layers reported something, see above");
    }
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    tessera::hold_standard_streams();
    tessera::end_in_words("tessera-sandbox");
    CLI::App cli{"Tessera sandbox: watch a generator at work", "tessera-sandbox"};
    AppOptions options;
    std::filesystem::path trace; // empty: none
    bool list_devices = false;
    tessera::add_common_options(cli, options);
    describe_play(cli, options);
    describe_window(cli, options);
    cli.add_flag("--list-devices", list_devices, "Show the Vulkan devices and exit");
    cli.add_option("--trace", trace, "Write time spans of all threads, for Perfetto")
        ->type_name("FILE.json");
    cli.footer(tessera::script_help());
    if (const auto code = tessera::parse_command_line(cli, argc, argv)) return *code;
    if (list_devices) return print_devices();
    if (const auto checked = check_targets(options.screenshot, trace); !checked) {
        return fail(checked.error().message);
    }
    if (trace.empty()) return run(std::move(options));
    const tessera::trace::ThreadName thread_name("window");
    tessera::trace::start();
    const int code = run(std::move(options));
    tessera::trace::stop();
    const auto written = tessera::write_file(trace, tessera::trace::to_json());
    return written ? code : fail(written.error().message);
}
