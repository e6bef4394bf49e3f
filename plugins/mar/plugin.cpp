// The MAR generator as a plugin; all but the model is blocks/shell.
#include "mar/model.hpp"

#include "blocks/shell/generator.hpp"
#include "blocks/shell/token_run.hpp"

#include <memory>
#include <utility>

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

    Mar(sdk::Host host, const char *model) : ModelGenerator(host, model, kInfo.name) {}

  private:
    blocks::ModelInfo describe(const blocks::Config &config) override {
        config_ = MarConfig::read(config);
        return {config_.grid(), config_.classes, config_.denoise_steps};
    }
    void load(blocks::WeightLoader &loader, tessera_dtype precision) override {
        model_ = std::make_unique<MarModel>(loader.run(
            [&](blocks::WeightLoader &l) { return MarModel::load(config_, l, precision); }));
    }
    void unload() override { model_.reset(); }
    std::unique_ptr<blocks::Run> make_run(const sdk::Request &, blocks::RunSpec spec) override {
        return std::make_unique<blocks::TokenRun>(compute(), *model_, std::move(spec));
    }

    MarConfig config_;
    std::unique_ptr<MarModel> model_;
};

} // namespace
} // namespace tessera::mar

TESSERA_PLUGIN(tessera::mar::Mar)
