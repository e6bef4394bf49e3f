// What all models of this folder share.
#include "mar/token_model.hpp"

#include "blocks/diffusion/prediction.hpp"
#include "blocks/shell/code_sampler.hpp"
#include "blocks/shell/diffusion_sampler.hpp"

#include <utility>

namespace tessera::mar {
namespace {

using blocks::Config;
using blocks::WeightLoader;

constexpr std::int64_t kMaxWidth = 65536;
constexpr std::int64_t kMaxDepth = 1024;
constexpr std::int64_t kMaxTokens = 1 << 18;
constexpr std::int64_t kMaxCodes = 1 << 20;

} // namespace

void TokenConfig::read(const Config &config) {
    image_size = config.integer("img_size", 1, 1 << 16);
    latent_stride = config.integer("vae_stride", 1, 1 << 16);
    latent_channels = config.integer("vae_embed_dim", 1, 4096);
    patch = config.integer("patch_size", 1, 256);
    if (config.has("mlp_ratio")) mlp_ratio = config.number("mlp_ratio", 1e-3, 64.0);
    classes = config.integer("class_num", 1, 1 << 20);
    if (config.has("codebook")) {
        codes = config.integer("codebook", 2, kMaxCodes);
        if (patch != 1) {
            config.reject("patch_size", "is " + std::to_string(patch) +
                                            ", expected 1 with a codebook: a code is one cell");
        }
    } else {
        head_depth = config.integer("diffloss_d", 1, kMaxDepth);
        head_width = config.integer("diffloss_w", 1, kMaxWidth);
    }
    if (config.has("num_sampling_steps")) {
        denoise_steps = config.text_or_integer("num_sampling_steps");
    }
    prediction = blocks::read_prediction(config);
    if (config.has("latent_scale")) latent_scale = config.number("latent_scale", 1e-9, 1e9);
    if (config.has("norm_eps")) epsilon = static_cast<float>(config.number("norm_eps", 0.0, 1.0));
    if (side() < 1 || side() * side() > kMaxTokens) {
        config.reject("img_size", "gives a grid of " + std::to_string(side()) + " x " +
                                      std::to_string(side()) + " tokens, expected 1 to " +
                                      std::to_string(kMaxTokens) + " tokens");
    }
    if (token_width() > kMaxWidth) {
        config.reject("patch_size", "gives tokens of " + std::to_string(token_width()) +
                                        " numbers, expected at most " + std::to_string(kMaxWidth));
    }
}

blocks::BlockShape TokenConfig::block(const TowerConfig &tower) const {
    return {tower.width, tower.heads,
            static_cast<std::int64_t>(static_cast<double>(tower.width) * mlp_ratio), epsilon};
}

TowerConfig read_tower(const Config &config, const TokenConfig &tokens, const TowerKeys &keys) {
    TowerConfig tower;
    tower.width = config.integer(keys.width, 1, kMaxWidth);
    tower.depth = config.integer(keys.depth, 1, kMaxDepth);
    tower.heads = config.integer(keys.heads, 1, kMaxWidth);
    if (tower.width % tower.heads != 0) {
        config.reject(keys.heads, "is " + std::to_string(tower.heads) +
                                      ", which does not divide the width " +
                                      std::to_string(tower.width));
    }
    if (tokens.block(tower).hidden < 1) config.reject("mlp_ratio", "leaves no hidden units");
    return tower;
}

std::unique_ptr<blocks::TokenSampler> TokenModel::sampler(const sdk::Compute &compute,
                                                          blocks::SamplerSpec spec) const {
    if (shape().codes != 0) {
        return std::make_unique<blocks::CodeSampler>(compute, code_logits, codebook(),
                                                     std::move(spec));
    }
    return std::make_unique<blocks::DiffusionSampler>(compute, head, guesses(), std::move(spec));
}

sdk::View TokenModel::class_vector(const sdk::Compute &compute, std::int64_t label,
                                   const blocks::ClassMix &mix, const sdk::View &scratch) const {
    const auto row_of = [this](std::int64_t wanted) {
        return wanted >= 0 ? sdk::slice(class_table.view(), 0, wanted, 1) : no_class.view();
    };
    return sdk::at(blocks::class_row(compute, row_of, label, mix, scratch), 0);
}

void TokenModel::load_input(WeightLoader &loader, const TokenConfig &config, std::int64_t width) {
    class_table = loader.vector("class_emb.weight", {config.classes, width});
    no_class = loader.vector("fake_latent", {1, width});
    token_in = loader.linear("z_proj", width, config.token_width(), TESSERA_DTYPE_F32);
    token_norm = blocks::Norm::load(loader, "z_proj_ln", width, config.epsilon);
}

// Logits stay float32: their differences decide.
void TokenModel::load_output(WeightLoader &loader, const TokenConfig &config,
                             std::int64_t conditions, tessera_dtype precision) {
    condition_positions =
        position_table(loader, "diffusion_pos_embed_learned", config.tokens(), conditions);
    if (config.codes != 0) {
        code_logits = loader.linear("codebook_logits", config.codes, conditions, TESSERA_DTYPE_F32);
        rounding = blocks::rounding_program(loader, "codebook", config.codes, config.token_width());
        return;
    }
    head = blocks::TokenHead::load(loader, "diffloss.net",
                                   {config.token_width(), conditions, config.head_width,
                                    config.head_depth, config.epsilon, config.prediction},
                                   precision);
}

sdk::Tensor position_table(WeightLoader &loader, const std::string &name, std::int64_t rows,
                           std::int64_t width) {
    return loader.table(name, {1, rows, width}, {rows, width});
}

} // namespace tessera::mar
