// The texture tokenizer as layer programs: a light convolutional KL autoencoder without norms (so a
// tile never depends on far pixels), circular padding for seamless images, and a linear path next
// to it.
#pragma once

#include "blocks/model/config.hpp"
#include "blocks/model/layer_program.hpp"

#include <vector>

namespace tessera::blocks {

inline constexpr const char *kTextureVaeKind = "texture_vae_weights";

struct TextureVaeConfig {
    std::int64_t image_channels = 0;
    std::int64_t latent_channels = 0;
    std::int64_t patch = 0; // side of the pixel block that the finest level sees as one
    std::vector<std::int64_t>
        widths; // of the decoder, coarse to fine; level 0 at latent resolution
    std::vector<std::int64_t> blocks;
    std::vector<std::int64_t> encoder_widths;
    std::vector<std::int64_t> encoder_blocks;
    bool circular = false;
    bool encoder_circular = false;
    bool linear_skip = false;

    [[nodiscard]] static TextureVaeConfig read(const Config &config);
    [[nodiscard]] std::int64_t stride() const { return patch << (widths.size() - 1); }
};

[[nodiscard]] LayerProgram texture_vae_encoder(const TextureVaeConfig &config,
                                               WeightLoader &loader);
[[nodiscard]] LayerProgram texture_vae_decoder(const TextureVaeConfig &config,
                                               WeightLoader &loader);

} // namespace tessera::blocks
