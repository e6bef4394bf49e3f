// MAR (arXiv 2406.11838): configuration and weights of a model on a device. Its encoder and decoder
// run in towers.hpp, everything else in blocks/shell.
#pragma once

#include "blocks/model/config.hpp"
#include "blocks/model/token_head.hpp"
#include "blocks/model/transformer_block.hpp"
#include "blocks/model/weight_loader.hpp"
#include "blocks/shell/set_model.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace tessera::mar {

struct TowerConfig {
    std::int64_t width = 0;
    std::int64_t depth = 0;
    std::int64_t heads = 0;
};

struct MarConfig {
    std::int64_t image_size = 0;
    std::int64_t latent_stride = 0; // pixels along a latent cell
    std::int64_t latent_channels = 0;
    std::int64_t patch = 0; // latent cells along a token
    TowerConfig encoder;
    TowerConfig decoder;
    double mlp_ratio = 4.0;
    std::int64_t classes = 0;
    std::int64_t buffer_rows = 0;
    std::int64_t head_depth = 0;
    std::int64_t head_width = 0;
    std::string denoise_steps; // default of the model: "100", "250", ...
    blocks::Prediction prediction = blocks::Prediction::kNoise; // of the head
    std::int64_t local_kernel = 0; // side of the window of local_mix.hpp; 0: the model has none
    double latent_scale = 1.0;     // tokens = latents * scale
    float epsilon = 1e-6f;

    // Checks every value; throws Failure.
    [[nodiscard]] static MarConfig read(const blocks::Config &config);

    [[nodiscard]] std::int64_t side() const { return image_size / latent_stride / patch; }
    [[nodiscard]] std::int64_t tokens() const { return side() * side(); }
    [[nodiscard]] std::int64_t token_width() const { return latent_channels * patch * patch; }
    [[nodiscard]] std::int64_t latent_side() const { return side() * patch; }
    [[nodiscard]] std::int64_t pixel_side() const { return latent_side() * latent_stride; }
    [[nodiscard]] std::int64_t rows() const { return buffer_rows + tokens(); }
    [[nodiscard]] blocks::TokenGrid grid() const {
        return {side(), side(), patch, latent_channels, latent_stride, latent_scale};
    }
};

// Weights on the device. Names in comments are those of the reference implementation.
class MarModel final : public blocks::SetModel {
  public:
    // Throws Failure when the file does not hold exactly the tensors of the config.
    [[nodiscard]] static MarModel load(const MarConfig &config, blocks::WeightLoader &loader,
                                       tessera_dtype precision);

    [[nodiscard]] blocks::TokenGrid grid() const override { return config.grid(); }
    [[nodiscard]] std::unique_ptr<blocks::SetNetwork> network(const sdk::Compute &compute,
                                                              const blocks::RunSpec &spec,
                                                              std::int64_t batch) const override;
    [[nodiscard]] std::unique_ptr<blocks::TokenSampler>
    sampler(const sdk::Compute &compute, blocks::SamplerSpec spec) const override;

    MarConfig config;
    sdk::Tensor class_table;       // class_emb.weight (classes, E)
    sdk::Tensor no_class;          // fake_latent (1, E)
    blocks::Linear token_in;       // z_proj (E, d)
    sdk::Tensor encoder_positions; // (K + S, E)
    blocks::Norm token_norm;       // z_proj_ln
    std::vector<blocks::TransformerBlock> encoder;
    blocks::Norm encoder_norm;
    blocks::Linear decoder_in;     // decoder_embed (D, E)
    sdk::Tensor decoder_positions; // (K + S, D)
    sdk::Tensor mask_rows;         // mask_token + decoder_positions, (K + S, D)
    // Of mask_rows in the first decoder block, (K + S, 3 D). Empty when contexts are added to them.
    sdk::Tensor mask_qkv;
    // Both empty without local_kernel.
    blocks::Linear local_mix;                      // (D, d, kernel, kernel)
    blocks::Linear guess;                          // (d, D): the head samples the difference to it
    std::vector<blocks::TransformerBlock> decoder; // the last one with split_query
    blocks::Norm decoder_norm;
    sdk::Tensor condition_positions; // diffusion_pos_embed_learned (S, D)
    blocks::TokenHead head;
};

} // namespace tessera::mar
