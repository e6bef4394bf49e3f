// The texture generator as a plugin: its parameters and inputs, on the shell for generators.
#include "blocks/texture/encoding.hpp"
#include "blocks/texture/picture_style.hpp"
#include "blocks/texture/pictures.hpp"
#include "texture/params.hpp"

#include "blocks/shell/generator.hpp"

namespace tessera::texture {
namespace {
constexpr blocks::Sides kSides{
    .min = 64, .max = 1024, .step = blocks::kWaveletCell, .initial = 256};

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
                          .sides = kSides}) {}

  private:
    blocks::ModelInfo describe(const blocks::Config &config) override;
    void load(blocks::WeightLoader &loader, tessera_dtype precision) override;
    void unload() override {
        model_.reset();
        wavelet_.reset();
    }
    std::unique_ptr<blocks::Run> make_run(const sdk::Request &request,
                                          blocks::RunSpec spec) override;
    std::unique_ptr<blocks::Run> make_encoding(const sdk::Request &, blocks::RunSpec spec,
                                               int layer) override {
        return std::make_unique<Encoding>(compute(), *model_, spec.grid, layer);
    }
    void add_params(sdk::ParamList &params) override { params_.add_to(params); }
    void add_slots(sdk::InputList &inputs, sdk::FeatureList &) override {
        inputs.push_back(style_slot());
    }
    std::unique_ptr<blocks::Pictures>
    make_pictures(const sdk::Request &request, const blocks::RunSpec &spec,
                  std::optional<blocks::Completion> completion) override;

    TextureConfig config_;
    std::unique_ptr<TextureModel> model_;
    std::unique_ptr<blocks::Wavelet> wavelet_;
    TextureParams params_;
};

blocks::ModelInfo Texture::describe(const blocks::Config &config) {
    config_ = TextureConfig::read(config);
    params_.read_defaults(weights());
    return {.grid = {.latent_channels = kTokenWidth, .latent_stride = blocks::kWaveletCell},
            .classes = config_.classes,
            .feature_layers = static_cast<int>(config_.layers.size())};
}

void Texture::load(blocks::WeightLoader &loader, tessera_dtype precision) {
    wavelet_ = std::make_unique<blocks::Wavelet>(compute());
    model_ = std::make_unique<TextureModel>(loader.run(
        [&](blocks::WeightLoader &l) { return TextureModel::load(config_, l, precision); }));
}

std::unique_ptr<blocks::Run> Texture::make_run(const sdk::Request &request, blocks::RunSpec spec) {
    spec.diffusion.temperature = noise_of(spec.diffusion.temperature);
    TextureSettings settings = params_.settings(request);
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
    const double hue = has_picture ? 0.0 : params_.hue(request);
    std::vector<float> given;
    if (completion) {
        given = given_tokens(*completion, grid, compute(), *wavelet_, model_->bank,
                             spec.labels.front());
    }
    return std::make_unique<TexturePictures>(compute(), *wavelet_, grid, hue, std::move(completion),
                                             std::move(given));
}

} // namespace
} // namespace tessera::texture

TESSERA_PLUGIN(tessera::texture::Texture)
