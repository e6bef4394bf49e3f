// Configuration and weights of bidirectional MAR: reading and checking.
#include "mar/model.hpp"

namespace tessera::mar {
namespace {

using blocks::Config;
using blocks::WeightLoader;

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

std::int64_t read_local_kernel(const Config &config, std::int64_t side) {
    const std::int64_t kernel = config.integer("local_kernel", 0, 65536);
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
    c.TokenConfig::read(config);
    c.encoder = read_tower(config, c, {"encoder_embed_dim", "encoder_depth", "encoder_num_heads"});
    c.decoder = read_tower(config, c, {"decoder_embed_dim", "decoder_depth", "decoder_num_heads"});
    c.buffer_rows = config.integer("buffer_size", 1, 1 << 16);
    if (config.has("local_kernel")) c.local_kernel = read_local_kernel(config, c.side());
    if (c.local_kernel != 0 && c.codes != 0) {
        config.reject("local_kernel", "is " + std::to_string(c.local_kernel) +
                                          ", expected 0 with a codebook: codes are not guessed");
    }
    return c;
}

MarModel MarModel::load(const MarConfig &config, WeightLoader &loader, tessera_dtype precision) {
    const std::int64_t encoder_width = config.encoder.width;
    const std::int64_t decoder_width = config.decoder.width;
    MarModel m;
    m.config = config;
    m.load_input(loader, config, encoder_width);
    m.encoder_positions =
        position_table(loader, "encoder_pos_embed_learned", config.rows(), encoder_width);
    for (std::int64_t i = 0; i < config.encoder.depth; ++i) {
        m.encoder.push_back(
            blocks::TransformerBlock::load(loader, "encoder_blocks." + std::to_string(i),
                                           config.block(config.encoder), precision, false));
    }
    m.encoder_norm = blocks::Norm::load(loader, "encoder_norm", encoder_width, config.epsilon);
    m.decoder_in = loader.linear("decoder_embed", decoder_width, encoder_width, precision);
    const sdk::Tensor mask_token =
        loader.table("mask_token", {1, 1, decoder_width}, {decoder_width});
    m.decoder_positions =
        position_table(loader, "decoder_pos_embed_learned", config.rows(), decoder_width);
    for (std::int64_t i = 0; i < config.decoder.depth; ++i) {
        m.decoder.push_back(blocks::TransformerBlock::load(
            loader, "decoder_blocks." + std::to_string(i), config.block(config.decoder), precision,
            i + 1 == config.decoder.depth));
    }
    m.decoder_norm = blocks::Norm::load(loader, "decoder_norm", decoder_width, config.epsilon);
    m.load_output(loader, config, decoder_width, precision);
    if (config.local_kernel != 0) { // float32: guesses are part of the tokens
        m.local_mix = loader.conv("local_mix", decoder_width, config.token_width(),
                                  config.local_kernel, TESSERA_DTYPE_F32);
        m.guess = loader.linear("guess", config.token_width(), decoder_width, TESSERA_DTYPE_F32);
    }
    if (!loader.checking()) prepare_mask_rows(m, loader.compute(), mask_token);
    return m;
}

} // namespace tessera::mar
