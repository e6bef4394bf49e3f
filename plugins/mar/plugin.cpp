// The MAR generators as a plugin; all but the models is blocks/shell.
#include "mar/causal.hpp"
#include "mar/encoding.hpp"
#include "mar/model.hpp"
#include "mar/torus.hpp"

#include "blocks/shell/generator.hpp"
#include "blocks/shell/token_run.hpp"
#include "blocks/texture/encoding.hpp"

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
        const std::string variant = config.has("variant") ? config.text("variant") : "";
        if (variant == "torus") return describe_torus(config);
        config_ = variant.empty() ? AnyConfig(MarConfig::read(config)) : CausalConfig::read(config);
        const auto *causal = std::get_if<CausalConfig>(&config_);
        const auto *masked = std::get_if<MarConfig>(&config_);
        const TokenConfig &shared =
            causal != nullptr ? static_cast<const TokenConfig &>(*causal) : *masked;
        return {.grid = shared.grid(),
                .classes = shared.classes,
                .denoise_steps = shared.denoise_steps,
                .feature_layers = masked != nullptr ? static_cast<int>(masked->encoder.depth) : 0,
                .codes = shared.codes != 0,
                .one_by_one = causal != nullptr,
                .seamless = causal == nullptr || causal->random_order,
                .any_set = causal == nullptr,
                .keeps_tokens = causal == nullptr};
    }
    blocks::ModelInfo describe_torus(const blocks::Config &config) {
        const auto &torus = config_.emplace<TorusConfig>(TorusConfig::read(config));
        return {.grid = TorusConfig::grid(),
                .classes = torus.trunk.classes,
                .denoise_steps = torus.denoise_steps,
                .feature_layers = static_cast<int>(torus.trunk.layers.size()),
                .seamless = false, // its pictures always are
                .any_set = true,
                .styled = true,
                .sides = TorusConfig::kSides};
    }
    void load(blocks::WeightLoader &loader, tessera_dtype precision) override {
        const auto load_as = [&]<class Config>(const Config &config) {
            using Model = typename Config::Model;
            model_ = std::make_unique<Model>(loader.run(
                [&](blocks::WeightLoader &l) { return Model::load(config, l, precision); }));
        };
        std::visit(load_as, config_);
        if (const auto *causal = std::get_if<CausalConfig>(&config_)) {
            host().info("a cache of keys and values of " + std::to_string(causal->cache_bytes()) +
                        " bytes an image, twice that with guidance");
        }
    }
    void unload() override { model_.reset(); }
    [[nodiscard]] const blocks::LayerProgram *rounding() const override {
        return info().codes ? &static_cast<const TokenModel &>(*model_).rounding : nullptr;
    }
    [[nodiscard]] const blocks::StyleBank *styles() const override {
        return info().styled ? &static_cast<const TorusModel &>(*model_).trunk.bank : nullptr;
    }
    std::unique_ptr<blocks::Run> make_run(const sdk::Request &, blocks::RunSpec spec) override {
        return std::make_unique<blocks::TokenRun>(compute(), *model_, std::move(spec));
    }
    // Of models that see all of a picture: a causal one never sees its last token.
    std::unique_ptr<blocks::Run> make_encoding(const sdk::Request &, blocks::RunSpec spec,
                                               int layer) override {
        if (info().styled) {
            return std::make_unique<texture::Encoding>(
                compute(), static_cast<const TorusModel &>(*model_).trunk, spec.grid, layer);
        }
        return std::make_unique<Encoding>(compute(), static_cast<const MarModel &>(*model_), layer);
    }
    using AnyConfig = std::variant<MarConfig, CausalConfig, TorusConfig>;
    AnyConfig config_;
    std::unique_ptr<blocks::SetModel> model_;
};

} // namespace
} // namespace tessera::mar

TESSERA_PLUGIN(tessera::mar::Mar)
