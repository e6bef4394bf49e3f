// The autoencoders of latent diffusion (arXiv 2112.10752) as layer programs: residual blocks with
// GroupNorm, single-head attention over pixels, any number of levels. Latents are the mean of a
// Gaussian (KL), or lie near the entries of a codebook (VQ).
#pragma once

#include "blocks/model/config.hpp"
#include "blocks/model/layer_program.hpp"

#include <vector>

namespace tessera::blocks {

inline constexpr const char *kKlVaeKind = "klvae_weights";
inline constexpr const char *kVqVaeKind = "vqvae_weights";
inline constexpr const char *kConsistencyVaeKind = "consistency_vae_weights";

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
    std::int64_t codes = 0; // entries of the codebook; 0: KL
    std::uint32_t groups = 32;
    float epsilon = 1e-6f;

    // `codebook`: the file is of kind kVqVaeKind.
    [[nodiscard]] static KlVaeConfig read(const Config &config, bool codebook);
    [[nodiscard]] int levels() const { return static_cast<int>(multipliers.size()); }
    [[nodiscard]] std::int64_t stride() const { return std::int64_t{1} << (levels() - 1); }
};

// VQ: latents before quantisation.
[[nodiscard]] LayerProgram kl_vae_encoder(const KlVaeConfig &config, WeightLoader &loader);
// VQ: through the nearest entries, whatever the latents are.
[[nodiscard]] LayerProgram kl_vae_decoder(const KlVaeConfig &config, WeightLoader &loader);

inline constexpr std::int64_t kConsistencySteps = 1024; // times that there are

// A decoder that takes noise off a picture by the latents, in few steps (kConsistencyVaeKind); the
// steps are in codec_decoder.hpp. The encoder is that of KL.
struct NoisyDecoder {
    std::int64_t width = 0;
    std::int64_t blocks = 0;
    std::int64_t patch = 1;          // pixels along a cell that it works on
    std::vector<std::int64_t> times; // of the steps, falling
    double sigma_data = 0.5;

    [[nodiscard]] static NoisyDecoder read(const Config &config, const KlVaeConfig &codec);
};

// Latents and, as second input, (1, H, W, image + 1): the noisy picture and a plane of its time.
[[nodiscard]] LayerProgram noisy_decoder(const KlVaeConfig &config, const NoisyDecoder &decoder,
                                         WeightLoader &loader);

} // namespace tessera::blocks
