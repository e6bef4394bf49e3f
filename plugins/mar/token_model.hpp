// What all models of this folder share, bidirectional or causal: the grid of tokens, classes, and
// how a condition becomes a token: by the diffusion head, or by choosing an entry of a codebook.
#pragma once

#include "blocks/codec/rounding.hpp"
#include "blocks/model/config.hpp"
#include "blocks/model/token_head.hpp"
#include "blocks/model/transformer_block.hpp"
#include "blocks/model/weight_loader.hpp"
#include "blocks/shell/set_model.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace tessera::mar {

struct TowerConfig {
    std::int64_t width = 0;
    std::int64_t depth = 0;
    std::int64_t heads = 0;
};

struct TokenConfig {
    std::int64_t image_size = 0;
    std::int64_t latent_stride = 0; // pixels along a latent cell
    std::int64_t latent_channels = 0;
    std::int64_t patch = 0; // latent cells along a token
    double mlp_ratio = 4.0;
    std::int64_t classes = 0;
    std::int64_t codes = 0;      // entries of the codebook; 0: tokens come from a diffusion head
    std::int64_t head_depth = 0; // of that head
    std::int64_t head_width = 0;
    std::string denoise_steps = "100"; // default of the model: "100", "250", ...
    blocks::Prediction prediction = blocks::Prediction::kNoise; // of the head
    double latent_scale = 1.0;                                  // tokens = latents * scale
    float epsilon = 1e-6f;

    // Checks every value; throws Failure.
    void read(const blocks::Config &config);

    [[nodiscard]] std::int64_t side() const { return image_size / latent_stride / patch; }
    [[nodiscard]] std::int64_t tokens() const { return side() * side(); }
    [[nodiscard]] std::int64_t token_width() const { return latent_channels * patch * patch; }
    [[nodiscard]] std::int64_t latent_side() const { return side() * patch; }
    [[nodiscard]] blocks::TokenGrid grid() const {
        return {side(), side(), patch, latent_channels, latent_stride, latent_scale};
    }
    [[nodiscard]] blocks::BlockShape block(const TowerConfig &tower) const;
};

// A tower of the config by its keys, checked.
struct TowerKeys {
    const char *width, *depth, *heads;
};
[[nodiscard]] TowerConfig read_tower(const blocks::Config &config, const TokenConfig &tokens,
                                     const TowerKeys &keys);

// Weights on the device. Names in comments are those of the reference implementation.
class TokenModel : public blocks::SetModel {
  public:
    [[nodiscard]] virtual const TokenConfig &shape() const = 0;
    [[nodiscard]] blocks::TokenGrid grid() const override { return shape().grid(); }
    [[nodiscard]] std::unique_ptr<blocks::TokenSampler>
    sampler(const sdk::Compute &compute, blocks::SamplerSpec spec) const override;

    // (width): the embedding of a class, -1 for none, and what is mixed in. Mixing uses `scratch`
    // (2, width).
    [[nodiscard]] sdk::View class_vector(const sdk::Compute &compute, std::int64_t label,
                                         const blocks::ClassMix &mix,
                                         const sdk::View &scratch) const;

    sdk::Tensor class_table;         // class_emb.weight (classes, E)
    sdk::Tensor no_class;            // fake_latent (1, E)
    blocks::Linear token_in;         // z_proj (E, d)
    blocks::Norm token_norm;         // z_proj_ln
    sdk::Tensor condition_positions; // diffusion_pos_embed_learned (S, D)
    // Empty in models with a codebook.
    blocks::TokenHead head;
    // Empty in models without one.
    blocks::Linear code_logits;    // codebook_logits (codes, D)
    blocks::LayerProgram rounding; // codebook (codes, d): to the nearest code

    // (codes, d): the codes as tokens.
    [[nodiscard]] const sdk::Tensor &codebook() const { return rounding.ops.front().table; }

  protected:
    // The members above, in the order of the file; `width` E is that of the rows, `conditions` D.
    void load_input(blocks::WeightLoader &loader, const TokenConfig &config, std::int64_t width);
    void load_output(blocks::WeightLoader &loader, const TokenConfig &config,
                     std::int64_t conditions, tessera_dtype precision);
    // What the head samples the difference to; NULL: nothing.
    [[nodiscard]] virtual const blocks::Linear *guesses() const { return nullptr; }
};

// (1, rows, width) tables of the file as (rows, width).
[[nodiscard]] sdk::Tensor position_table(blocks::WeightLoader &loader, const std::string &name,
                                         std::int64_t rows, std::int64_t width);

} // namespace tessera::mar
