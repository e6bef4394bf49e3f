#include "sandbox/generate/options.hpp"

#include "assets/output_file.hpp"
#include "sandbox/options/numbers.hpp"

namespace tessera {
namespace {

constexpr const char *kDefaultOutput = "tessera.png";
constexpr std::uint32_t kMaxCount = 1'000'000;

void add_path(CLI::App &app, const std::string &names, std::filesystem::path &path,
              const std::string &type, const std::string &help) {
    app.add_option_function<std::string>(
           names, [&path](const std::string &text) { path = text == "-" ? "/dev/stdout" : text; },
           help)
        ->type_name(type)
        ->group("Output");
}

void add_input_options(CLI::App &app, GenerateOptions &options) {
    CLI::Option *const init =
        app.add_option("--init", options.init_image,
                       "Picture whose unmasked part is kept, or to begin with, for generators that "
                       "take no mask: PNG, JPEG or WebP. One of the same shape is resized")
            ->type_name("IMAGE");
    CLI::Option *const mask =
        app.add_option("--mask", options.mask_image,
                       "What to make again: the light half of a grey picture, or the transparent "
                       "part of one that has any. One of the same shape is resized")
            ->type_name("IMAGE");
    mask->needs(init);
    CLI::Option *const encode =
        app.add_option("--encode", options.encoded,
                       "Pictures to represent by vectors, by generators that can; none is made. Of "
                       "one of another shape the middle is taken")
            ->type_name("IMAGE...");
    CLI::Option *const features =
        app.add_option("--features", options.features,
                       "Where the vectors of --encode go: pooled (pictures, width) and dense "
                       "(pictures, rows, columns, width)")
            ->type_name("FILE.safetensors");
    encode->needs(features);
    features->needs(encode);
    app.add_option("--style", options.style_image,
                   "Image whose colours and grain are taken, by generators that can")
        ->type_name("IMAGE");
}

void add_output_options(CLI::App &app, GenerateOptions &options) {
    add_path(app, "-o,--output", options.output, "PATH",
             "NAME.png, .jpg (quality 95) or .webp (lossless); a folder for several images; - for "
             "a PNG on standard output; default: tessera.png");
    add_path(app, "--contact-sheet", options.contact_sheet, "FILE",
             "All images of the run in one picture");
    add_path(app, "--save-preset", options.save_preset, "FILE", "Write what is used to this file");
    add_path(app, "--json", options.json, "FILE",
             "Report with times, values, versions; - for standard output");
    app.add_option("--frames", options.frames, "Every intermediate image as a PNG in this folder")
        ->type_name("DIR")
        ->group("Output");
    CLI::Option *const material =
        app.add_option("--material", options.material,
                       "Height, normal, roughness, occlusion and glTF of each image in this folder")
            ->type_name("DIR")
            ->group("Output");
    add_settings_option(app, "--material-set", options.material_values,
                        "How the maps are made: seamless=true, height_strength=-1, ...", "Output");
    app.get_option("--material-set")->needs(material);
    app.add_flag("-q,--quiet", options.quiet, "No progress bar, no list of files")->group("Output");
    app.add_flag("-v,--verbose", options.verbose, "Log lines of host and plugins")->group("Output");
}

} // namespace

bool GenerateOptions::writes_to_standard_output() const {
    return is_standard_output(output) || is_standard_output(contact_sheet) ||
           is_standard_output(save_preset) || is_standard_output(json);
}

ParsedOptions parse_options(int argc, const char *const *argv) {
    GenerateOptions options;
    CLI::App app("Generates images with a Tessera plugin, without a window.", "tessera-generate");
    add_common_options(app, options);
    add_number(app, "-n,--count", options.count, 1, kMaxCount,
               "Images to generate (of each class)");
    add_number(app, "--batch", options.batch, 1, kMaxCount, "Images to generate at once");
    app.add_flag("--all-classes", options.all_classes, "One run for every class");
    app.add_flag("--list", options.list, "Show plugins, their parameters and models, and exit");
    add_input_options(app, options);
    add_output_options(app, options);
    if (const auto code = parse_command_line(app, argc, argv)) return {std::nullopt, *code};
    if (options.output.empty()) options.output = kDefaultOutput;
    return {std::move(options), 0};
}

} // namespace tessera
