// The texture generator as a plugin: its parameters and inputs, on the shell for generators.
#include "texture/picture_style.hpp"
#include "texture/pictures.hpp"

#include "blocks/shell/generator.hpp"

#include <tessera/ext/inputs.h>

#include <numbers>

namespace tessera::texture {
namespace {

constexpr const char *kStyleGroup = "Style";
constexpr blocks::Sides kSides{
    .min = 64, .max = 1024, .step = blocks::kWaveletCell, .initial = 256};
constexpr int kMostSets = 256;
constexpr double kLeastNoise = 0.7;

sdk::FloatParam slider(std::uint32_t id, const char *key, const char *name, double min, double max,
                       double initial, const char *help) {
    return {.id = id,
            .key = key,
            .name = name,
            .group = kStyleGroup,
            .min = min,
            .max = max,
            .initial = initial,
            .help = help};
}

class Texture final : public blocks::ModelGenerator {
  public:
    static constexpr sdk::Info kInfo{
        .id = "org.tessera.texture",
        .name = "Texture",
        .vendor = "Tessera",
        .version = "0.1.0",
        .description = "Joint denoising of all wavelet tokens of a seamless texture"};

    Texture(sdk::Host host, const char *model)
        : ModelGenerator(
              host, model, kInfo.name,
              {.diffusion = blocks::DiffusionScope::kLevels, .seamless = false, .sides = kSides}) {}

  private:
    blocks::ModelInfo describe(const blocks::Config &config) override;
    void load(blocks::WeightLoader &loader, tessera_dtype precision) override;
    void unload() override;
    std::unique_ptr<blocks::Run> make_run(const sdk::Request &request,
                                          blocks::RunSpec spec) override;
    void add_params(sdk::ParamList &params) override;
    void add_slots(sdk::InputList &inputs, sdk::FeatureList &features) override;
    std::unique_ptr<blocks::Pictures>
    make_pictures(const sdk::Request &request, const blocks::RunSpec &spec,
                  std::optional<blocks::Completion> completion) override;

    void read_defaults();
    [[nodiscard]] double checked(const sdk::Request &request, const sdk::FloatParam &param) const;

    TextureConfig config_;
    std::unique_ptr<TextureModel> model_;
    std::unique_ptr<blocks::Wavelet> wavelet_;

    sdk::IntParam sets_{.id = 102,
                        .key = "sets",
                        .name = "Sets",
                        .group = "Sampling",
                        .min = 1,
                        .max = kMostSets,
                        .initial = 1,
                        .flags = TESSERA_PARAM_ADVANCED,
                        .help = "In how many sets the tokens are made, each knowing those before "
                                "it. One makes all of them together; each takes as long."};
    sdk::FloatParam variation_ =
        slider(103, "variation", "Variation", 0.0, 1.0, 0.35,
               "How far styles stray from those of real pictures that the seed chooses among.");
    sdk::FloatParam brightness_ = slider(104, "brightness", "Brightness", -1.0, 1.0, 0.0,
                                         "Added to the mean: 1 is half the way from black to "
                                         "white. Not where part of a picture is kept.");
    sdk::FloatParam contrast_ =
        slider(105, "contrast", "Contrast", 0.1, 4.0, 1.0, "Of light and dark, coarse and fine.");
    sdk::FloatParam grain_ =
        slider(106, "grain", "Grain", 0.1, 4.0, 1.0, "Contrast of the finer structures only.");
    sdk::FloatParam saturation_ =
        slider(107, "saturation", "Saturation", 0.0, 3.0, 1.0, "0 is grey.");
    sdk::FloatParam direction_ =
        slider(108, "direction", "Direction", 0.0, 1.0, 0.0,
               "1 exchanges what runs along and what runs across; 0.5 is in between.");
    sdk::FloatParam hue_ =
        slider(109, "hue", "Hue", -180.0, 180.0, 0.0, "Turns all colours, by so many degrees.");
};

blocks::ModelInfo Texture::describe(const blocks::Config &config) {
    config_ = TextureConfig::read(config);
    read_defaults();
    return {{.latent_channels = kTokenWidth, .latent_stride = blocks::kWaveletCell},
            config_.classes};
}

void Texture::load(blocks::WeightLoader &loader, tessera_dtype precision) {
    wavelet_ = std::make_unique<blocks::Wavelet>(compute());
    model_ = std::make_unique<TextureModel>(loader.run(
        [&](blocks::WeightLoader &l) { return TextureModel::load(config_, l, precision); }));
}

void Texture::unload() {
    model_.reset();
    wavelet_.reset();
}

// The one of its own parameters; optional.
void Texture::read_defaults() {
    const std::optional<std::string> text = weights().metadata("defaults");
    if (!text) return;
    const auto defaults = blocks::Config::parse(*text, weights().path() + ": defaults");
    if (defaults.has("jitter")) {
        variation_.initial = defaults.number("jitter", variation_.min, variation_.max);
    }
}

void Texture::add_params(sdk::ParamList &params) {
    params.add(sets_);
    for (const sdk::FloatParam *param :
         {&brightness_, &contrast_, &saturation_, &hue_, &grain_, &direction_, &variation_}) {
        params.add(*param);
    }
}

void Texture::add_slots(sdk::InputList &inputs, sdk::FeatureList &) {
    inputs.push_back({sizeof(tessera_input_slot), TESSERA_INPUT_TYPE_RGBA8, kStyleInput, "Style",
                      "A picture whose colours and grain are taken, not its content.", 0, 0, 0, 0,
                      0, 0});
}

double Texture::checked(const sdk::Request &request, const sdk::FloatParam &param) const {
    const double value = request[param];
    if (value >= param.min && value <= param.max) return value;
    throw sdk::Failure(sdk::Status::kInvalidArgument,
                       std::string(param.key) + " " + std::to_string(value) + ", expected " +
                           std::to_string(param.min) + " to " + std::to_string(param.max));
}

// All tokens come out of one noise, so without noise nothing tells them apart and the picture is
// its mean colour. A temperature of 0 is the least noise that still lays out a picture of every
// class.
double noise_of(double temperature) {
    return temperature < 1.0 ? kLeastNoise + (1.0 - kLeastNoise) * temperature : temperature;
}

std::unique_ptr<blocks::Run> Texture::make_run(const sdk::Request &request, blocks::RunSpec spec) {
    spec.diffusion.temperature = noise_of(spec.diffusion.temperature);
    TextureSettings settings;
    settings.sets = request[sets_];
    if (settings.sets < 1) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           "sets " + std::to_string(settings.sets) + ", expected at least 1");
    }
    settings.jitter = checked(request, variation_);
    settings.moves = {.brightness = checked(request, brightness_),
                      .contrast = checked(request, contrast_),
                      .grain = checked(request, grain_),
                      .saturation = checked(request, saturation_),
                      .direction = checked(request, direction_)};
    if (const auto style = read_style(request, compute(), *wavelet_)) {
        settings.styles.push_back(*style);
    }
    return std::make_unique<TextureRun>(compute(), *model_, std::move(spec), std::move(settings));
}

std::unique_ptr<blocks::Pictures>
Texture::make_pictures(const sdk::Request &request, const blocks::RunSpec &spec,
                       std::optional<blocks::Completion> completion) {
    const Grid grid{spec.grid.rows, spec.grid.columns};
    // A given picture has the colours that it has.
    const bool has_picture = completion && completion->latents.empty();
    const double hue = has_picture ? 0.0 : checked(request, hue_) * std::numbers::pi / 180.0;
    std::vector<float> given;
    if (completion && !completion->latents.empty()) {
        given = std::move(completion->latents);
    } else if (completion) {
        given = tokens_of_picture(*completion, grid, compute(), *wavelet_, model_->bank,
                                  spec.labels.front());
    }
    return std::make_unique<TexturePictures>(compute(), *wavelet_, grid, hue, std::move(completion),
                                             std::move(given));
}

} // namespace
} // namespace tessera::texture

TESSERA_PLUGIN(tessera::texture::Texture)
