// DARL's configuration and weights: reading and checking.
#include "darl/model.hpp"

#include "darl/backbone.hpp"
#include "darl/patch_sampler.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace tessera::darl {
namespace {

using blocks::Config;
using blocks::WeightLoader;

constexpr std::int64_t kMaxWidth = 65536;
constexpr std::int64_t kMaxDepth = 1024;
constexpr std::int64_t kMaxSide = 1 << 16;
constexpr std::int64_t kMaxTokens = 1 << 18;

// A side of what patches are cut from.
std::int64_t read_side(const Config &config, const char *key, std::int64_t patch) {
    const std::int64_t side = config.integer(key, 1, kMaxSide);
    if (side % patch != 0) {
        config.reject(key, "is " + std::to_string(side) + ", no multiple of the patch_size " +
                               std::to_string(patch));
    }
    return side;
}

bool read_context(const Config &config) {
    const std::string name = config.text("context");
    if (name != "pair" && name != "prefix") {
        config.reject("context", "is '" + name + "', expected 'pair' or 'prefix'");
    }
    return name == "prefix";
}

void read_optional(const Config &config, DarlConfig &c) {
    if (config.has("mlp_ratio")) c.mlp_ratio = config.number("mlp_ratio", 1e-3, 64.0);
    if (config.has("rope_base")) c.rope_base = config.number("rope_base", 1e-3, 1e12);
    if (!config.is_null("num_classes")) c.classes = config.integer("num_classes", 0, 1 << 20);
    if (config.has("clamp")) c.clamp = config.boolean("clamp");
    if (config.has("nested")) c.nested = config.integer("nested", 0, kMaxSide);
    if (config.has("context")) c.prefix = read_context(config);
    if (config.has("latent_stride")) c.latent_stride = config.integer("latent_stride", 1, 256);
    if (config.has("latent_scale")) c.latent_scale = config.number("latent_scale", 1e-9, 1e9);
}

} // namespace

DarlConfig DarlConfig::read(const Config &config) {
    DarlConfig c;
    c.patch = config.integer("patch_size", 1, 1024);
    c.height = read_side(config, "height", c.patch);
    c.columns = read_side(config, "width_px", c.patch);
    c.channels = config.integer("channels", 1, 4096);
    c.width = config.integer("width", 1, kMaxWidth);
    c.depth = config.integer("depth", 1, kMaxDepth);
    c.heads = config.integer("heads", 1, kMaxWidth);
    read_optional(config, c);
    if (c.width % c.heads != 0 || c.head_width() % 4 != 0) {
        config.reject("heads", "is " + std::to_string(c.heads) + " for a width of " +
                                   std::to_string(c.width) +
                                   ", expected a divisor that leaves heads of a multiple of 4: "
                                   "pairs that turn by column, and as many by row");
    }
    if (c.grid().tokens() > kMaxTokens) {
        config.reject("height", "with width_px gives " + std::to_string(c.grid().tokens()) +
                                    " patches, expected at most " + std::to_string(kMaxTokens));
    }
    if (c.patch_width() > kMaxWidth) {
        config.reject("patch_size", "gives patches of " + std::to_string(c.patch_width()) +
                                        " numbers, expected at most " + std::to_string(kMaxWidth));
    }
    if (c.block_shape().hidden < 1) config.reject("mlp_ratio", "leaves no hidden units");
    return c;
}

blocks::BlockShape DarlConfig::block_shape() const {
    return {width, heads, static_cast<std::int64_t>(static_cast<double>(width) * mlp_ratio),
            epsilon};
}

blocks::TokenGrid DarlConfig::grid() const {
    blocks::TokenGrid grid;
    grid.rows = height / patch;
    grid.columns = columns / patch;
    grid.patch = patch;
    grid.latent_channels = channels;
    grid.latent_stride = latent_stride;
    grid.latent_scale = latent_scale;
    grid.patch_order = blocks::PatchOrder::kChannelLast;
    return grid;
}

double rotary_angle(double column, double row, std::int64_t pair, std::int64_t head_width,
                    double base) {
    const std::int64_t half = head_width / 2;
    const std::int64_t count = half / 2;
    const double exponent = -2.0 * static_cast<double>(pair % count) / static_cast<double>(half);
    return (pair < count ? column : row) * std::pow(base, exponent);
}

std::int64_t place_in_sequence(const blocks::TokenGrid &grid, std::int64_t nested,
                               std::int64_t token) {
    if (nested == 0) return token;
    const std::int64_t y = token / grid.columns, x = token % grid.columns;
    const std::int64_t top = y - y % nested, left = x - x % nested;
    const std::int64_t block_rows = std::min(nested, grid.rows - top);
    const std::int64_t block_columns = std::min(nested, grid.columns - left);
    return top * grid.columns + left * block_rows + (y - top) * block_columns + (x - left);
}

std::vector<std::int32_t> sequence(const blocks::TokenGrid &grid, std::int64_t nested) {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(grid.tokens()));
    for (std::int64_t token = 0; token < grid.tokens(); ++token) {
        tokens[static_cast<std::size_t>(place_in_sequence(grid, nested, token))] =
            static_cast<std::int32_t>(token);
    }
    return tokens;
}

DarlModel DarlModel::load(const DarlConfig &config, WeightLoader &loader, tessera_dtype precision) {
    DarlModel m;
    m.config = config;
    const std::int64_t width = config.width;
    m.start = loader.vector("sos", {width});
    if (config.classes > 0 || loader.has("class_emb.weight")) {
        m.class_table = loader.vector("class_emb.weight", {config.classes + 1, width});
    }
    // What touches patches stays float32: it is small, and what it makes is fed back.
    m.patch_in = loader.linear("patch_embed", width, config.patch_width(), TESSERA_DTYPE_F32);
    for (std::int64_t i = 0; i < config.depth; ++i) {
        m.layers.push_back(blocks::TransformerBlock::load(loader, "blocks." + std::to_string(i),
                                                          config.block_shape(), precision, false));
    }
    m.norm = blocks::Norm::load(loader, "norm", width, config.epsilon);
    if (config.nested > 0) {
        m.target_places = loader.vector("target_places", {config.nested * config.nested, width});
    }
    const bool decodes = loader.has("patch_decoder.out.weight");
    if (loader.has("head_linear.weight") || !decodes) {
        m.mean_patch = loader.linear("head_linear", config.patch_width(), width, TESSERA_DTYPE_F32);
    }
    if (decodes) {
        m.decoder = PatchDecoder::load(loader, "patch_decoder", config.block_shape(),
                                       config.patch_width(), precision);
    }
    return m;
}

std::unique_ptr<blocks::SetNetwork> DarlModel::network(const sdk::Compute &compute,
                                                       const blocks::RunSpec &spec,
                                                       std::int64_t batch) const {
    return std::make_unique<Backbone>(compute, *this, spec.grid, batch);
}

std::unique_ptr<blocks::TokenSampler> DarlModel::sampler(const sdk::Compute &compute,
                                                         blocks::SamplerSpec spec) const {
    return std::make_unique<PatchSampler>(compute, *this, std::move(spec));
}

std::vector<std::int32_t> DarlModel::order(const blocks::RunSpec &spec, int) const {
    std::vector<std::int32_t> tokens = sequence(spec.grid, config.nested);
    std::reverse(tokens.begin(), tokens.end());
    if (spec.known.empty()) return tokens;
    std::stable_partition(tokens.begin(), tokens.end(), [&](std::int32_t token) {
        return spec.known[static_cast<std::size_t>(token)] == 0;
    });
    return tokens;
}

double DarlModel::guidance(const blocks::RunSpec &spec, std::int32_t token, int) const {
    if (spec.diffusion.schedule == blocks::GuidanceSchedule::kConstant) {
        return spec.diffusion.guidance;
    }
    const auto place = static_cast<double>(place_in_sequence(spec.grid, config.nested, token));
    const auto last = static_cast<double>(std::max<std::int64_t>(spec.grid.tokens() - 1, 1));
    return 1.0 + (spec.diffusion.guidance - 1.0) * place / last;
}

} // namespace tessera::darl
