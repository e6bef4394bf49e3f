// The texture generator as a plugin; styles, pictures and everything else are the blocks'.
#include "texture/run.hpp"

#include "blocks/shell/generator.hpp"
#include "blocks/texture/encoding.hpp"

#include <string>

namespace tessera::texture {
namespace {

constexpr blocks::Sides kSides{
    .min = 64, .max = 1024, .step = blocks::kWaveletCell, .initial = 256};

// All tokens come out of one noise, so without any nothing tells them apart and the picture is its
// mean colour: a temperature of 0 is the least noise that still lays out a picture of every class.
constexpr double kLeastNoise = 0.9;
double noise_of(double temperature) {
    return temperature < 1.0 ? kLeastNoise + (1.0 - kLeastNoise) * temperature : temperature;
}

const sdk::IntParam kSets{
    .id = 102,
    .key = "sets",
    .name = "Sets",
    .group = "Sampling",
    .min = 1,
    .max = 256,
    .initial = 1,
    .flags = TESSERA_PARAM_ADVANCED,
    .help = "In how many sets the tokens are made, each knowing those before it. One makes "
            "all of them together; each takes as long."};

class Texture final : public blocks::ModelGenerator {
  public:
    static constexpr sdk::Info kInfo{
        .id = "org.tessera.texture",
        .name = "Texture",
        .vendor = "Tessera",
        .version = "0.1.0",
        .description = "Joint denoising of all wavelet tokens of a seamless texture"};

    Texture(sdk::Host host, const char *model)
        : ModelGenerator(host, model, kInfo.name,
                         {.diffusion = blocks::DiffusionScope::kLevels,
                          .seamless = false,
                          .encodes = true,
                          .batches = true,
                          .sides = kSides}) {}

  private:
    blocks::ModelInfo describe(const blocks::Config &config) override {
        config_ = TextureConfig::read(config, TextureConfig::Use::kJoint);
        return {.grid = {.latent_channels = kTokenWidth, .latent_stride = blocks::kWaveletCell},
                .classes = config_.classes,
                .feature_layers = static_cast<int>(config_.layers.size()),
                .styled = true};
    }
    void load(blocks::WeightLoader &loader, tessera_dtype precision) override {
        model_ = std::make_unique<TextureModel>(loader.run(
            [&](blocks::WeightLoader &l) { return TextureModel::load(config_, l, precision); }));
    }
    void unload() override { model_.reset(); }
    [[nodiscard]] const blocks::StyleBank *styles() const override { return &model_->bank; }
    std::unique_ptr<blocks::Run> make_run(const sdk::Request &request,
                                          blocks::RunSpec spec) override {
        const int sets = request[kSets];
        if (sets < 1) {
            throw sdk::Failure(sdk::Status::kInvalidArgument,
                               "sets " + std::to_string(sets) + ", expected at least 1");
        }
        spec.diffusion.temperature = noise_of(spec.diffusion.temperature);
        for (blocks::ImageSpec &own : spec.own) own.temperature = noise_of(own.temperature);
        return std::make_unique<TextureRun>(compute(), *model_, std::move(spec), sets);
    }
    std::unique_ptr<blocks::Run> make_encoding(const sdk::Request &, blocks::RunSpec spec,
                                               int layer) override {
        return std::make_unique<Encoding>(compute(), *model_, spec.grid, layer);
    }
    void add_params(sdk::ParamList &params) override { params.add(kSets); }

    TextureConfig config_;
    std::unique_ptr<TextureModel> model_;
};

} // namespace
} // namespace tessera::texture

TESSERA_PLUGIN(tessera::texture::Texture)
