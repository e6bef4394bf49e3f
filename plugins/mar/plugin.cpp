// The MAR generators as a plugin; all but the models is blocks/shell.
#include "mar/causal.hpp"
#include "mar/encoding.hpp"
#include "mar/model.hpp"

#include "blocks/shell/generator.hpp"
#include "blocks/shell/token_run.hpp"

#include <memory>
#include <utility>
#include <variant>

namespace tessera::mar {
namespace {

class Mar final : public blocks::ModelGenerator {
  public:
    static constexpr sdk::Info kInfo{.id = "org.tessera.mar",
                                     .name = "MAR",
                                     .vendor = "Tessera",
                                     .version = "0.1.0",
                                     .description =
                                         "Masked autoregressive generation over continuous tokens"};

    Mar(sdk::Host host, const char *model)
        : ModelGenerator(host, model, kInfo.name, {.encodes = true}) {}

  private:
    blocks::ModelInfo describe(const blocks::Config &config) override {
        if (config.has("variant")) {
            config_ = CausalConfig::read(config);
        } else {
            config_ = MarConfig::read(config);
        }
        const TokenConfig &shared =
            std::visit([](const TokenConfig &c) -> const TokenConfig & { return c; }, config_);
        const auto *causal = std::get_if<CausalConfig>(&config_);
        const auto *masked = std::get_if<MarConfig>(&config_);
        return {.grid = shared.grid(),
                .classes = shared.classes,
                .denoise_steps = shared.denoise_steps,
                .feature_layers = masked != nullptr ? static_cast<int>(masked->encoder.depth) : 0,
                .codes = shared.codes != 0,
                .one_by_one = causal != nullptr,
                .seamless = causal == nullptr || causal->random_order,
                .any_set = causal == nullptr};
    }
    void load(blocks::WeightLoader &loader, tessera_dtype precision) override {
        const auto *causal = std::get_if<CausalConfig>(&config_);
        if (causal == nullptr)
            return load_as<MarModel>(loader, std::get<MarConfig>(config_), precision);
        load_as<CausalModel>(loader, *causal, precision);
        host().info("a cache of keys and values of " + std::to_string(causal->cache_bytes()) +
                    " bytes an image, twice that with guidance");
    }
    template <class Model, class Config>
    void load_as(blocks::WeightLoader &loader, const Config &config, tessera_dtype precision) {
        model_ = std::make_unique<Model>(
            loader.run([&](blocks::WeightLoader &l) { return Model::load(config, l, precision); }));
    }
    void unload() override { model_.reset(); }
    [[nodiscard]] const blocks::LayerProgram *rounding() const override {
        return info().codes ? &model_->rounding : nullptr;
    }
    std::unique_ptr<blocks::Run> make_run(const sdk::Request &, blocks::RunSpec spec) override {
        return std::make_unique<blocks::TokenRun>(compute(), *model_, std::move(spec));
    }
    // Of models that see all of a picture: a causal one never sees its last token.
    std::unique_ptr<blocks::Run> make_encoding(const sdk::Request &, blocks::RunSpec,
                                               int layer) override {
        return std::make_unique<Encoding>(compute(), static_cast<const MarModel &>(*model_), layer);
    }

    std::variant<MarConfig, CausalConfig> config_;
    std::unique_ptr<TokenModel> model_;
};

} // namespace
} // namespace tessera::mar

TESSERA_PLUGIN(tessera::mar::Mar)
