// The KL autoencoder of latent diffusion (arXiv 2112.10752) as layer programs: residual blocks with
// GroupNorm, single-head attention over pixels, any number of levels.
#pragma once

#include "blocks/model/config.hpp"
#include "blocks/model/layer_program.hpp"

#include <vector>

namespace tessera::blocks {

inline constexpr const char *kKlVaeKind = "klvae_weights";

struct KlVaeConfig {
    std::int64_t base_channels = 0;
    std::vector<std::int64_t> multipliers;       // of the channels, a level each
    std::int64_t res_blocks = 0;                 // a level of the encoder; the decoder has one more
    std::int64_t resolution = 0;                 // nominal: decides which levels have attention
    std::vector<std::int64_t> encoder_attention; // nominal resolutions
    std::vector<std::int64_t> decoder_attention;
    std::int64_t z_channels = 0;
    std::int64_t embed_channels = 0; // of the latents
    std::int64_t in_channels = 0;
    std::int64_t out_channels = 0;
    std::uint32_t groups = 32;
    float epsilon = 1e-6f;

    [[nodiscard]] static KlVaeConfig read(const Config &config);
    [[nodiscard]] int levels() const { return static_cast<int>(multipliers.size()); }
    [[nodiscard]] std::int64_t stride() const { return std::int64_t{1} << (levels() - 1); }
};

[[nodiscard]] LayerProgram kl_vae_encoder(const KlVaeConfig &config, WeightLoader &loader);
[[nodiscard]] LayerProgram kl_vae_decoder(const KlVaeConfig &config, WeightLoader &loader);

} // namespace tessera::blocks
