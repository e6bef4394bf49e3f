#include "sandbox/generate/options.hpp"

#include "sandbox/app/default_model.hpp"

#include <tessera/version.h>

#include <CLI/CLI.hpp>

#include <charconv>
#include <system_error>

namespace tessera {
namespace {

constexpr const char *kDefaultOutput = "tessera.png";
constexpr int kUsageExit = 2;
constexpr std::uint32_t kMaxCount = 1'000'000;
constexpr std::uint32_t kMaxThreads = 1024;

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

// "key=value", else a complaint.
std::pair<std::string, std::string> split_setting(const std::string &option,
                                                  const std::string &text) {
    const std::size_t at = text.find('=');
    if (at == std::string::npos || at == 0) {
        throw CLI::ValidationError(option, "'" + text + "'; expected key=value");
    }
    return {text.substr(0, at), text.substr(at + 1)};
}

// The library takes "-1" for a large number.
std::uint64_t parse_seed(const std::string &text) {
    std::uint64_t seed = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), seed);
    if (code != std::errc() || end != text.data() + text.size()) {
        throw CLI::ValidationError("--seed", "'" + text + "'; expected a whole number from 0");
    }
    return seed;
}

void add_value_options(CLI::App &app, GenerateOptions &options) {
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
    app.add_option_function<std::vector<std::string>>(
           "--set",
           [&options](const std::vector<std::string> &settings) {
               for (const std::string &text : settings) {
                   options.values.push_back(split_setting("--set", text));
               }
           },
           "Any parameter by its key; see --list")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false)
        ->group("Parameters");
    app.add_option("--preset", options.preset, "Plugin, model, values and seed from this file")
        ->type_name("FILE")
        ->group("Parameters");
    app.add_option("--save-preset", options.save_preset, "Write what is used to this file")
        ->type_name("FILE")
        ->group("Parameters");
}

void add_device_options(CLI::App &app, GenerateOptions &options) {
    app.add_option("--backend", options.backend, "Device to compute on; default: the best there is")
        ->type_name("NAME[:OPTION=VALUE,...]")
        ->group("Device");
    app.add_option("--threads", options.threads, "Threads to compute on; 0: one per core")
        ->check(CLI::Range(0U, kMaxThreads))
        ->type_name("N")
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
}

void add_output_options(CLI::App &app, GenerateOptions &options) {
    app.add_option("-o,--output", options.output, "PNG, or a folder for several images")
        ->default_str(kDefaultOutput)
        ->type_name("PATH")
        ->group("Output");
    app.add_option("--contact-sheet", options.contact_sheet, "All images of the run in one PNG")
        ->type_name("FILE")
        ->group("Output");
    app.add_option("--frames", options.frames, "Every intermediate image as a PNG in this folder")
        ->type_name("DIR")
        ->group("Output");
    CLI::Option *const material =
        app.add_option("--material", options.material,
                       "Height, normal, roughness, occlusion and glTF of each image in this folder")
            ->type_name("DIR")
            ->group("Output");
    app.add_option_function<std::vector<std::string>>(
           "--material-set",
           [&options](const std::vector<std::string> &settings) {
               for (const std::string &text : settings) {
                   options.material_values.push_back(split_setting("--material-set", text));
               }
           },
           "How the maps are made: seamless=true, height_strength=-1, ...")
        ->needs(material)
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false)
        ->group("Output");
    app.add_option("--json", options.json,
                   "Report with times, values, versions; - for standard output")
        ->type_name("FILE")
        ->group("Output");
    app.add_flag("-q,--quiet", options.quiet, "No progress bar, no list of files")->group("Output");
    app.add_flag("-v,--verbose", options.verbose, "Log lines of host and plugins")->group("Output");
}

} // namespace

ParsedOptions parse_options(int argc, const char *const *argv) {
    GenerateOptions options;
    CLI::App app("Generates images with a Tessera plugin, without a window.", "tessera-generate");
    app.set_version_flag("--version", fmt::format("tessera {}.{}.{}", TESSERA_VERSION_MAJOR,
                                                  TESSERA_VERSION_MINOR, TESSERA_VERSION_PATCH));
    CLI::Option *const model =
        app.add_option("-m,--model", options.model,
                       "Weight file, or name of a bundled model; default: materials")
            ->type_name("NAME");
    app.add_option("--plugin", options.plugin, "Generator id, or path of a plugin library")
        ->type_name("ID");
    app.add_option_function<std::string>(
           "-s,--seed",
           [&options](const std::string &text) {
               options.seed = parse_seed(text);
               options.has_seed = true;
           },
           "Same seed and settings, same bytes")
        ->type_name("N");
    app.add_option("-n,--count", options.count, "Images to generate (of each class)")
        ->check(CLI::Range(1U, kMaxCount))
        ->type_name("N");
    app.add_option("--batch", options.batch, "Images to generate at once")
        ->check(CLI::Range(1U, kMaxCount))
        ->type_name("N");
    app.add_flag("--all-classes", options.all_classes, "One run for every class");
    CLI::Option *const init =
        app.add_option("--init", options.init_image, "Image whose unmasked part is kept")
            ->type_name("IMAGE");
    CLI::Option *const mask =
        app.add_option("--mask", options.mask_image, "Black is kept, anything else is generated")
            ->type_name("IMAGE");
    init->needs(mask);
    mask->needs(init);
    app.add_option("--style", options.style_image,
                   "Image whose colours and grain are taken, by generators that can")
        ->type_name("IMAGE");
    app.add_flag("--list", options.list, "Plugins, their parameters, and models; then leave");
    add_value_options(app, options);
    add_device_options(app, options);
    add_output_options(app, options);

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
        // The library numbers its complaints; ours have one exit code.
        return {std::nullopt, app.exit(error) == 0 ? 0 : kUsageExit};
    }
    if (model->count() == 0 && options.preset.empty()) {
        options.model = default_model(options.plugin);
    }
    if (options.output.empty()) options.output = kDefaultOutput;
    return {std::move(options), 0};
}

} // namespace tessera
