// MAR's configuration and weights: reading and checking.
#include "mar/model.hpp"

#include <cmath>
#include <utility>

namespace tessera::mar {
namespace {

using blocks::Config;
using blocks::WeightLoader;

constexpr std::int64_t kMaxWidth = 65536;
constexpr std::int64_t kMaxDepth = 1024;
constexpr std::int64_t kMaxTokens = 1 << 18;

TowerConfig read_tower(const Config &config, const std::string &prefix) {
    TowerConfig tower;
    tower.width = config.integer(prefix + "_embed_dim", 1, kMaxWidth);
    tower.depth = config.integer(prefix + "_depth", 1, kMaxDepth);
    tower.heads = config.integer(prefix + "_num_heads", 1, kMaxWidth);
    if (tower.width % tower.heads != 0) {
        config.reject(prefix + "_num_heads", "is " + std::to_string(tower.heads) +
                                                 ", which does not divide the width " +
                                                 std::to_string(tower.width));
    }
    return tower;
}

blocks::BlockShape block_shape(const MarConfig &config, const TowerConfig &tower) {
    return {tower.width, tower.heads,
            static_cast<std::int64_t>(static_cast<double>(tower.width) * config.mlp_ratio),
            config.epsilon};
}

// (1, rows, width) tables of the file as (rows, width).
sdk::Tensor position_table(WeightLoader &loader, const std::string &name, std::int64_t rows,
                           std::int64_t width) {
    return loader.table(name, {1, rows, width}, {rows, width});
}

// What every decoder pass would compute again for unknown tokens, which differ by position only.
void prepare_mask_rows(MarModel &model, const sdk::Compute &compute, const sdk::Tensor &token) {
    const std::int64_t rows = model.config.rows();
    const std::int64_t width = model.config.decoder.width;
    model.mask_rows = compute.allocate({rows, width});
    compute.add(model.decoder_positions, token, model.mask_rows);
    // The only block of a shallow decoder is run in another way.
    if (model.decoder.size() > 1 && model.config.local_kernel == 0) {
        const sdk::Tensor normed = compute.allocate({rows, width});
        model.mask_qkv = compute.allocate({rows, 3 * width});
        model.decoder.front().project_qkv(compute, model.mask_rows, normed, model.mask_qkv);
    }
    compute.synchronize();
}

blocks::Prediction read_prediction(const Config &config) {
    const std::string name = config.text("prediction");
    if (name == "v") return blocks::Prediction::kVelocity;
    if (name != "epsilon") {
        config.reject("prediction", "is '" + name + "', expected 'epsilon' or 'v'");
    }
    return blocks::Prediction::kNoise;
}

std::int64_t read_local_kernel(const Config &config, std::int64_t side) {
    const std::int64_t kernel = config.integer("local_kernel", 0, kMaxWidth);
    if (kernel != 0 && (kernel % 2 == 0 || kernel > side)) {
        config.reject("local_kernel", "is " + std::to_string(kernel) +
                                          ", expected 0 or an odd number of at most the " +
                                          std::to_string(side) + " tokens of a side");
    }
    return kernel;
}

} // namespace

MarConfig MarConfig::read(const Config &config) {
    MarConfig c;
    c.image_size = config.integer("img_size", 1, 1 << 16);
    c.latent_stride = config.integer("vae_stride", 1, 1 << 16);
    c.latent_channels = config.integer("vae_embed_dim", 1, 4096);
    c.patch = config.integer("patch_size", 1, 256);
    c.encoder = read_tower(config, "encoder");
    c.decoder = read_tower(config, "decoder");
    c.mlp_ratio = config.has("mlp_ratio") ? config.number("mlp_ratio", 1e-3, 64.0) : 4.0;
    c.classes = config.integer("class_num", 1, 1 << 20);
    c.buffer_rows = config.integer("buffer_size", 1, 1 << 16);
    c.head_depth = config.integer("diffloss_d", 1, kMaxDepth);
    c.head_width = config.integer("diffloss_w", 1, kMaxWidth);
    c.denoise_steps =
        config.has("num_sampling_steps") ? config.text_or_integer("num_sampling_steps") : "100";
    if (config.has("prediction")) c.prediction = read_prediction(config);
    if (config.has("latent_scale")) c.latent_scale = config.number("latent_scale", 1e-9, 1e9);
    if (config.has("norm_eps")) c.epsilon = static_cast<float>(config.number("norm_eps", 0.0, 1.0));
    const std::int64_t side = c.side();
    if (side < 1 || side * side > kMaxTokens) {
        config.reject("img_size", "gives a grid of " + std::to_string(side) + " x " +
                                      std::to_string(side) + " tokens, expected 1 to " +
                                      std::to_string(kMaxTokens) + " tokens");
    }
    if (config.has("local_kernel")) c.local_kernel = read_local_kernel(config, side);
    if (block_shape(c, c.encoder).hidden < 1 || block_shape(c, c.decoder).hidden < 1) {
        config.reject("mlp_ratio", "leaves no hidden units");
    }
    if (c.token_width() > kMaxWidth) {
        config.reject("patch_size", "gives tokens of " + std::to_string(c.token_width()) +
                                        " numbers, expected at most " + std::to_string(kMaxWidth));
    }
    return c;
}

MarModel MarModel::load(const MarConfig &config, WeightLoader &loader, tessera_dtype precision) {
    const std::int64_t encoder_width = config.encoder.width;
    const std::int64_t decoder_width = config.decoder.width;
    MarModel m;
    m.config = config;
    m.class_table = loader.vector("class_emb.weight", {config.classes, encoder_width});
    m.no_class = loader.vector("fake_latent", {1, encoder_width});
    m.token_in = loader.linear("z_proj", encoder_width, config.token_width(), TESSERA_DTYPE_F32);
    m.encoder_positions =
        position_table(loader, "encoder_pos_embed_learned", config.rows(), encoder_width);
    m.token_norm = blocks::Norm::load(loader, "z_proj_ln", encoder_width, config.epsilon);
    for (std::int64_t i = 0; i < config.encoder.depth; ++i) {
        m.encoder.push_back(
            blocks::TransformerBlock::load(loader, "encoder_blocks." + std::to_string(i),
                                           block_shape(config, config.encoder), precision, false));
    }
    m.encoder_norm = blocks::Norm::load(loader, "encoder_norm", encoder_width, config.epsilon);
    m.decoder_in = loader.linear("decoder_embed", decoder_width, encoder_width, precision);
    const sdk::Tensor mask_token =
        loader.table("mask_token", {1, 1, decoder_width}, {decoder_width});
    m.decoder_positions =
        position_table(loader, "decoder_pos_embed_learned", config.rows(), decoder_width);
    for (std::int64_t i = 0; i < config.decoder.depth; ++i) {
        m.decoder.push_back(blocks::TransformerBlock::load(
            loader, "decoder_blocks." + std::to_string(i), block_shape(config, config.decoder),
            precision, i + 1 == config.decoder.depth));
    }
    m.decoder_norm = blocks::Norm::load(loader, "decoder_norm", decoder_width, config.epsilon);
    m.condition_positions =
        position_table(loader, "diffusion_pos_embed_learned", config.tokens(), decoder_width);
    if (config.local_kernel != 0) { // float32: guesses are part of the tokens
        m.local_mix = loader.conv("local_mix", decoder_width, config.token_width(),
                                  config.local_kernel, TESSERA_DTYPE_F32);
        m.guess = loader.linear("guess", config.token_width(), decoder_width, TESSERA_DTYPE_F32);
    }
    m.head = blocks::TokenHead::load(loader, "diffloss.net",
                                     {config.token_width(), decoder_width, config.head_width,
                                      config.head_depth, config.epsilon, config.prediction},
                                     precision);
    if (!loader.checking()) prepare_mask_rows(m, loader.compute(), mask_token);
    return m;
}

} // namespace tessera::mar
