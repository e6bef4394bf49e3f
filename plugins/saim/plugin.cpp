// The SAIM generator as a plugin; all but the model is blocks/shell.
#include "saim/encoding.hpp"

#include "blocks/shell/generator.hpp"
#include "blocks/shell/token_run.hpp"

#include <tessera/ext/features.h>

#include <memory>
#include <utility>
#include <vector>

namespace tessera::saim {
namespace {

class Saim final : public blocks::ModelGenerator {
  public:
    static constexpr sdk::Info kInfo{.id = "org.tessera.saim",
                                     .name = "SAIM",
                                     .vendor = "Tessera",
                                     .version = "0.1.0",
                                     .description = "Permuted autoregressive completion of any "
                                                    "known part, and representations"};

    Saim(sdk::Host host, const char *model)
        : ModelGenerator(host, model, kInfo.name, {.seamless = false, .encodes = true}) {}

  private:
    blocks::ModelInfo describe(const blocks::Config &config) override {
        config_ = SaimConfig::read(config, weights());
        blocks::ModelInfo info{config_.grid(), config_.classes, config_.denoise_steps};
        info.pixels = pixels_of(config_.channels);
        if (info.pixels && config_.image_net) info.pixels = blocks::PixelScale::image_net();
        info.samples = config_.samples();
        info.feature_layers = static_cast<int>(config_.depth);
        return info;
    }
    void load(blocks::WeightLoader &loader, tessera_dtype precision) override {
        model_ = std::make_unique<SaimModel>(loader.run(
            [&](blocks::WeightLoader &l) { return SaimModel::load(config_, l, precision); }));
        sets_.clear();
        for (const Order order : {Order::kRandom, Order::kRaster, Order::kInward}) {
            for (const bool expects : {false, true}) sets_.emplace_back(*model_, order, expects);
        }
    }
    void unload() override { model_.reset(); }
    void add_params(sdk::ParamList &params) override {
        params.add(order_, {"random", "raster", "inward"});
        params.add(pool_, {"class", "mean"});
        params.add(reconstruct_);
    }
    std::unique_ptr<blocks::Run> make_run(const sdk::Request &request,
                                          blocks::RunSpec spec) override {
        config_.check_makes_pictures(weights().path());
        const int chosen = 2 * choice(request, order_, 3) + (request[reconstruct_] ? 1 : 0);
        return std::make_unique<blocks::TokenRun>(
            compute(), sets_[static_cast<std::size_t>(chosen)], std::move(spec));
    }
    std::unique_ptr<blocks::Run> make_encoding(const sdk::Request &request, blocks::RunSpec,
                                               int layer) override {
        return std::make_unique<Encoding>(compute(), *model_, 1, layer,
                                          static_cast<Pool>(choice(request, pool_, 2)));
    }

    SaimConfig config_;
    std::unique_ptr<SaimModel> model_;
    std::vector<SaimSets> sets_; // by order, then by whether tokens are expected
    sdk::ChoiceParam order_{.id = 100,
                            .key = "order",
                            .name = "Order",
                            .group = "Sampling",
                            .help = "Which unknown tokens come first: any, those of the upper "
                                    "rows, or those next to what is known."};
    sdk::ChoiceParam pool_{.id = 101,
                           .key = "pool",
                           .name = "Pooling",
                           .group = "Inspect",
                           .flags = TESSERA_PARAM_ADVANCED,
                           .help = "What stands for a picture: its class row, or the mean of its "
                                   "tokens."};
    sdk::BoolParam reconstruct_{.id = 102,
                                .key = TESSERA_KEY_RECONSTRUCT,
                                .name = "Reconstruct",
                                .group = "Picture",
                                .help = "Takes what is expected for each token, even where the "
                                        "model could sample."};
};

} // namespace
} // namespace tessera::saim

TESSERA_PLUGIN(tessera::saim::Saim)
