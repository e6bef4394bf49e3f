// MAR's causal variants: configuration, weights, order.
#include "mar/causal.hpp"

#include "mar/causal_network.hpp"

namespace tessera::mar {

using blocks::Config;
using blocks::WeightLoader;

CausalConfig CausalConfig::read(const Config &config) {
    CausalConfig c;
    c.TokenConfig::read(config);
    const std::string variant = config.text("variant");
    if (variant != "raster" && variant != "random") {
        config.reject("variant", "is '" + variant +
                                     "', expected 'raster' or 'random', or none for the "
                                     "bidirectional model");
    }
    c.random_order = variant == "random";
    c.tower = read_tower(config, c, {"width", "depth", "heads"});
    if (config.has("prefix")) c.prefix = config.integer("prefix", 1, 1 << 16);
    if (c.random_order && c.prefix != 1) {
        config.reject("prefix", "is " + std::to_string(c.prefix) +
                                    ", expected 1 in random order, where no position belongs to "
                                    "further rows");
    }
    return c;
}

CausalModel CausalModel::load(const CausalConfig &config, WeightLoader &loader,
                              tessera_dtype precision) {
    const std::int64_t width = config.tower.width;
    CausalModel m;
    m.config = config;
    m.load_input(loader, config, width);
    if (config.random_order) {
        m.source = position_table(loader, "source_pos_embed_learned", config.tokens(), width);
        m.targets = position_table(loader, "target_pos_embed_learned", config.tokens(), width);
    } else {
        m.targets = position_table(loader, "pos_embed_learned", config.slots(), width);
    }
    for (std::int64_t i = 0; i < config.tower.depth; ++i) {
        m.blocks.push_back(blocks::TransformerBlock::load(loader, "blocks." + std::to_string(i),
                                                          config.block(config.tower), precision,
                                                          /*split_query=*/false));
    }
    m.norm = blocks::Norm::load(loader, "norm", width, config.epsilon);
    m.load_output(loader, config, width, precision);
    return m;
}

std::unique_ptr<blocks::SetNetwork> CausalModel::network(const sdk::Compute &compute,
                                                         const blocks::RunSpec &,
                                                         std::int64_t batch) const {
    return std::make_unique<CausalNetwork>(compute, *this, batch);
}

// Raster: unknown tokens from the last to the first, then the given ones.
std::vector<std::int32_t> CausalModel::order(const blocks::RunSpec &spec, int image) const {
    if (config.random_order) return TokenModel::order(spec, image);
    std::vector<std::int32_t> order;
    const auto tokens = static_cast<std::int32_t>(config.tokens());
    for (const bool known : {false, true}) {
        for (std::int32_t token = tokens - 1; token >= 0; --token) {
            const auto index = static_cast<std::size_t>(token);
            if ((!spec.known.empty() && spec.known[index] != 0) == known) order.push_back(token);
        }
    }
    return order;
}

} // namespace tessera::mar
