// The UMD generator as a plugin; all but the model is blocks/shell.
#include "umd/run.hpp"

#include "blocks/shell/generator.hpp"

#include <tessera/ext/features.h>

#include <memory>
#include <utility>

namespace tessera::umd {
namespace {

class Umd final : public blocks::ModelGenerator {
  public:
    static constexpr sdk::Info kInfo{.id = "org.tessera.umd",
                                     .name = "UMD",
                                     .vendor = "Tessera",
                                     .version = "0.1.0",
                                     .description = "Masked and noised autoencoder: generates, "
                                                    "inpaints, reconstructs and encodes"};

    Umd(sdk::Host host, const char *model)
        : ModelGenerator(
              host, model, kInfo.name,
              {.diffusion = blocks::DiffusionScope::kLevels, .seamless = false, .encodes = true}) {}

  private:
    blocks::ModelInfo describe(const blocks::Config &config) override {
        config_ = UmdConfig::read(config);
        head_.initial = static_cast<int>(default_head(weights()));
        blocks::ModelInfo info{config_.grid(), config_.classes};
        info.pixels = pixels_of(config_.channels);
        info.feature_layers = static_cast<int>(config_.depth);
        return info;
    }
    void load(blocks::WeightLoader &loader, tessera_dtype precision) override {
        model_ = std::make_unique<UmdModel>(loader.run(
            [&](blocks::WeightLoader &l) { return UmdModel::load(config_, l, precision); }));
    }
    void unload() override { model_.reset(); }
    void add_params(sdk::ParamList &params) override {
        params.add(head_, {std::begin(kHeadNames), std::end(kHeadNames)});
        params.add(reconstruct_);
        params.add(strength_);
    }
    std::unique_ptr<blocks::Run> make_run(const sdk::Request &request,
                                          blocks::RunSpec spec) override {
        UmdSettings settings{.reconstruct = request[reconstruct_], .strength = request[strength_]};
        settings.head = Head{choice(request, head_, static_cast<int>(std::size(kHeadNames)))};
        if (!(settings.strength > 0.0 && settings.strength <= 1.0)) {
            throw sdk::Failure(sdk::Status::kInvalidArgument,
                               std::string(strength_.key) + " " +
                                   std::to_string(settings.strength) +
                                   ", expected more than 0, up to 1");
        }
        return std::make_unique<UmdRun>(compute(), *model_, std::move(spec), settings);
    }
    std::unique_ptr<blocks::Run> make_encoding(const sdk::Request &, blocks::RunSpec spec,
                                               int layer) override {
        return std::make_unique<UmdEncoding>(compute(), *model_, spec, layer);
    }

    UmdConfig config_;
    std::unique_ptr<UmdModel> model_;
    sdk::ChoiceParam head_{.id = 100,
                           .key = "head",
                           .name = "Head",
                           .group = "Sampling",
                           .flags = TESSERA_PARAM_ADVANCED,
                           .help =
                               "Which answer of the network says what the clean picture is: the "
                               "noise, the picture, or the picture where there is much noise."};
    sdk::BoolParam reconstruct_{.id = 101,
                                .key = TESSERA_KEY_RECONSTRUCT,
                                .name = "Reconstruct",
                                .group = "Picture",
                                .help = "Fills a hole with what is expected there, in one pass."};
    sdk::FloatParam strength_{.id = 102,
                              .key = "strength",
                              .name = "Strength",
                              .group = "Picture",
                              .min = 0.01,
                              .initial = 0.8,
                              .help = "How much noise the reconstruction of a hole goes through "
                                      "again; 1 starts from noise alone."};
};

} // namespace
} // namespace tessera::umd

TESSERA_PLUGIN(tessera::umd::Umd)
