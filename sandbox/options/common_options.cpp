#include "sandbox/options/common_options.hpp"

#include "host/plugin/scan.hpp"
#include "host/plugin/search.hpp"
#include "host/plugin/services.hpp"
#include "host/run/session.hpp"
#include "sandbox/options/numbers.hpp"

#include <tessera/version.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <new>

#include <fcntl.h>
#include <unistd.h>

namespace tessera {
namespace {

constexpr int kUsageExit = 2;
constexpr std::uint32_t kMaxThreads = 1024;
constexpr std::size_t kHelpColumns = 80;

// Options that stand for parameters many generators have: --name TEXT is --set key=TEXT.
struct Alias {
    const char *option;
    const char *key;
    const char *help;
};
constexpr Alias kAliases[] = {
    {"--class", "class", "Class, by name or number"},
    {"--steps", "steps", "Steps from nothing to the image"},
    {"--guidance", "guidance", "How strongly the class rules the image; 1 is off"},
    {"--guidance-schedule", "guidance_schedule", "How guidance grows over the steps"},
    {"--temperature", "temperature", "Strength of the noise in sampling"},
    {"--denoise-steps", "denoise_steps", "Steps of the diffusion of each token"},
};

void add_value_options(CLI::App &app, CommonOptions &options) {
    for (const Alias &alias : kAliases) {
        app.add_option_function<std::string>(
               alias.option,
               [&options, key = alias.key](const std::string &text) {
                   options.values.emplace_back(key, text);
               },
               alias.help)
            ->type_name("VALUE")
            ->group("Parameters");
    }
    add_settings_option(app, "--set", options.values, "Any parameter by its key; see --list",
                        "Parameters");
    app.add_option("--preset", options.preset, "Plugin, model, values and seed from this file")
        ->type_name("FILE")
        ->group("Parameters");
}

void add_device_options(CLI::App &app, CommonOptions &options) {
    app.add_option("--backend", options.backend, "Device to compute on; default: the best there is")
        ->type_name("NAME[:OPTION=VALUE,...]")
        ->group("Device");
    add_number(app, "--threads", options.threads, 0, kMaxThreads,
               "Threads to compute on; 0: chosen by the program")
        ->group("Device");
    app.add_option_function<std::string>(
           "--precision",
           [&options](const std::string &text) {
               options.precision =
                   text == "exact" ? TESSERA_PRECISION_EXACT : TESSERA_PRECISION_DEFAULT;
           },
           "exact: float32 throughout; default: bf16 products")
        ->check(CLI::IsMember({"exact", "default"}))
        ->type_name("NAME")
        ->group("Device");
    app.add_flag_callback(
           "--exact", [&options] { options.precision = TESSERA_PRECISION_EXACT; },
           "The same as --precision exact")
        ->group("Device")
        ->excludes("--precision");
}

// Help for a terminal of 80 columns: the library breaks no lines itself.
std::string wrapped(const std::string &text, std::size_t columns) {
    std::string out;
    std::size_t used = 0;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find(' ', begin), text.size());
        const bool fits = used + 1 + end - begin <= columns;
        if (used > 0) out += fits ? ' ' : '\n';
        used = fits && used > 0 ? used + 1 + end - begin : end - begin;
        out.append(text, begin, end - begin);
        begin = end + 1;
    }
    return out;
}

class NarrowHelp : public CLI::Formatter {
  public:
    std::string make_option_desc(const CLI::Option *option) const override {
        return wrapped(option->get_description(), kHelpColumns - get_column_width() - 1);
    }
};

} // namespace

std::string default_model(Host &host, std::string_view plugin) {
    if (plugin.empty()) return "materials";
    for (const ModelChoice &choice : model_choices(host)) {
        if (choice.plugin == plugin) return choice.model;
    }
    return "";
}

void add_settings_option(CLI::App &app, const std::string &name, Settings &settings,
                         const std::string &help, const std::string &group) {
    app.add_option_function<std::vector<std::string>>(
           name,
           [&settings, name](const std::vector<std::string> &texts) {
               for (const std::string &text : texts) {
                   const std::size_t at = text.find('=');
                   if (at == std::string::npos || at == 0) {
                       throw CLI::ValidationError(name, "'" + text + "'; expected key=value");
                   }
                   settings.emplace_back(text.substr(0, at), text.substr(at + 1));
               }
           },
           help)
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false)
        ->group(group);
}

CLI::Option *add_graphics_device_option(CLI::App &app, std::string &device,
                                        const std::string &group) {
    return app
        .add_option("--device", device,
                    "Vulkan device: index, part of its name or UUID; tessera-sandbox "
                    "--list-devices shows them")
        ->type_name("DEVICE")
        ->group(group);
}

void add_common_options(CLI::App &app, CommonOptions &options) {
    app.formatter(std::make_shared<NarrowHelp>());
    app.set_version_flag("--version", fmt::format("tessera {}.{}.{}", TESSERA_VERSION_MAJOR,
                                                  TESSERA_VERSION_MINOR, TESSERA_VERSION_PATCH));
    app.add_option("-m,--model", options.model,
                   "Weight file, or name of a bundled model; default: materials. A name without "
                   "'/' is a bundled model's first, then a file's")
        ->type_name("NAME");
    app.add_option("--plugin", options.plugin, "Generator id, or path of a plugin library")
        ->type_name("ID");
    app.add_option("--plugin-dir", options.plugin_dirs, "More folders to look for plugins in")
        ->type_name("DIR")
        ->allow_extra_args(false);
    app.add_option("--model-dir", options.model_dirs, "More folders to look for models in")
        ->type_name("DIR")
        ->allow_extra_args(false);
    app.add_option_function<std::string>(
           "-s,--seed",
           [&options](const std::string &text) {
               options.seed = parse_number<std::uint64_t>(
                   "--seed", text, 0, std::numeric_limits<std::uint64_t>::max());
           },
           "Same seed and settings, same bytes")
        ->type_name("N");
    add_value_options(app, options);
    add_device_options(app, options);
}

std::optional<int> parse_command_line(CLI::App &app, int argc, const char *const *argv) {
    // An unset variable of a shell is no value: what follows would be something else than was
    // meant.
    for (CLI::Option *const option : app.get_options()) {
        if (option->get_items_expected_max() == 0) continue; // a flag
        option->check([](const std::string &text) {
            return text.empty() ? std::string("expected a value that is not empty") : std::string();
        });
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
        // The library numbers its complaints; ours have one exit code.
        return app.exit(error) == 0 ? 0 : kUsageExit;
    }
    return std::nullopt;
}

Result<std::optional<Preset>> settle_options(CommonOptions &options, Host &host) {
    std::optional<Preset> preset;
    if (!options.preset.empty()) {
        auto loaded = load_preset(options.preset);
        if (!loaded) return loaded.error();
        preset = std::move(*loaded);
        if (options.plugin.empty()) options.plugin = preset->plugin;
        if (options.model.empty() && !preset->model.empty()) {
            auto found = find_model(preset->model, host.model_dirs(), options.preset.parent_path());
            if (!found) {
                return make_error(found.error().status, "{}: {}", options.preset.string(),
                                  found.error().message);
            }
            options.model = found->string();
        }
        if (!options.seed) options.seed = preset->seed;
    } else if (options.model.empty()) {
        options.model = default_model(host, options.plugin);
    }
    return preset;
}

Result<std::vector<std::string>>
set_values(const std::optional<Preset> &preset, const CommonOptions &options,
           const std::function<Result<std::vector<std::string>>(std::string_view)> &load,
           const std::function<Result<bool>(std::string_view, std::string_view)> &set) {
    std::vector<std::string> unknown;
    if (preset) {
        auto loaded = load(preset->values);
        if (!loaded) {
            return make_error(loaded.error().status, "{}: {}", options.preset.string(),
                              loaded.error().message);
        }
        unknown = std::move(*loaded);
    }
    for (const auto &[key, text] : options.values) {
        if (auto done = set(key, text); !done) return done.error();
    }
    return unknown;
}

namespace {

const char *ended_program = "";

// Takes no memory, as there is none.
[[noreturn]] void on_terminate() {
    try {
        if (const auto thrown = std::current_exception()) std::rethrow_exception(thrown);
    } catch (const std::bad_alloc &) {
        const auto tell = [](const char *text) {
            [[maybe_unused]] const ssize_t told = ::write(STDERR_FILENO, text, std::strlen(text));
        };
        tell(ended_program);
        tell(": out of memory\n");
        std::_Exit(1);
    } catch (...) { // a mistake of ours
    }
    std::abort();
}

} // namespace

void end_in_words(const char *program) {
    ended_program = program;
    std::set_terminate(on_terminate);
}

void hold_standard_streams() {
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
        if (::fcntl(stream, F_GETFD) >= 0) continue;
        // The lowest free number is this one. Reading or writing fails later, as it should.
        const int opened = ::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        if (opened != stream && opened >= 0) ::close(opened);
    }
}

} // namespace tessera
