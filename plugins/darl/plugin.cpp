// The DARL generator as a plugin; all but the model is blocks/shell.
#include "darl/encoding.hpp"

#include "blocks/shell/generator.hpp"
#include "blocks/shell/token_run.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace tessera::darl {
namespace {

constexpr std::int64_t kMostPatches = 64; // along a side, or as many as the model was trained at

class Darl final : public blocks::ModelGenerator {
  public:
    static constexpr sdk::Info kInfo{
        .id = "org.tessera.darl",
        .name = "DARL",
        .vendor = "Tessera",
        .version = "0.1.0",
        .description = "Patch after patch by a causal transformer and a denoising decoder"};

    Darl(sdk::Host host, const char *model)
        : ModelGenerator(host, model, kInfo.name,
                         {.diffusion = blocks::DiffusionScope::kLevelSets,
                          .seamless = false,
                          .encodes = true}) {}

  private:
    blocks::ModelInfo describe(const blocks::Config &config) override {
        config_ = DarlConfig::read(config);
        blocks::ModelInfo info{config_.grid(), config_.classes, "12"};
        info.pixels = pixels_of(config_.channels);
        info.samples = weights().find("patch_decoder.out.weight").has_value();
        info.means = weights().find("head_linear.weight").has_value();
        info.feature_layers = static_cast<int>(config_.depth);
        info.one_by_one = true;
        const std::int64_t cell = config_.patch * config_.latent_stride;
        const std::int64_t trained = std::max(info.grid.width(), info.grid.height());
        info.sides = {.min = cell, .max = std::max(trained, kMostPatches * cell), .step = cell};
        return info;
    }
    void load(blocks::WeightLoader &loader, tessera_dtype precision) override {
        model_ = std::make_unique<DarlModel>(loader.run(
            [&](blocks::WeightLoader &l) { return DarlModel::load(config_, l, precision); }));
    }
    void unload() override { model_.reset(); }
    void add_params(sdk::ParamList &params) override {
        params.add(pool_, {"mean", "last", "start"});
        params.add(causal_);
    }
    std::unique_ptr<blocks::Run> make_run(const sdk::Request &, blocks::RunSpec spec) override {
        return std::make_unique<blocks::TokenRun>(compute(), *model_, std::move(spec));
    }
    std::unique_ptr<blocks::Run> make_encoding(const sdk::Request &request, blocks::RunSpec spec,
                                               int layer) override {
        const auto pool = static_cast<Pool>(choice(request, pool_, 3));
        return std::make_unique<Encoding>(compute(), *model_, spec, layer,
                                          EncodingSettings{request[causal_], pool});
    }

    DarlConfig config_;
    std::unique_ptr<DarlModel> model_;
    sdk::ChoiceParam pool_{.id = 101,
                           .key = "pool",
                           .name = "Pooling",
                           .group = "Inspect",
                           .flags = TESSERA_PARAM_ADVANCED,
                           .help = "What stands for a picture: the mean of its patches, the last "
                                   "one, which has seen all, or the start token, which says "
                                   "something only where patches see all others."};
    sdk::BoolParam causal_{.id = 102,
                           .key = "causal_features",
                           .name = "Causal features",
                           .group = "Inspect",
                           .initial = true,
                           .flags = TESSERA_PARAM_ADVANCED,
                           .help = "To encode, a patch sees those before it, as in training. Off, "
                                   "all see all, as a network trained further for recognition "
                                   "would."};
};

} // namespace
} // namespace tessera::darl

TESSERA_PLUGIN(tessera::darl::Darl)
