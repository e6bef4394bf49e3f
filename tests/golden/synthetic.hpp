// Weight files with made-up numbers, for tests and benchmarks that need a model of some shape.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tessera::golden {

// A tensor to write: values are `mean` + `deviation` times a number that depends on seed, name and
// index only, uniform with variance 1.
struct SyntheticTensor {
    std::string name;
    std::vector<std::int64_t> shape;
    float mean = 0.0f;
    float deviation = 0.0f;
};

struct SyntheticFile {
    std::vector<SyntheticTensor> tensors;
    std::map<std::string, std::string> metadata;
    std::uint64_t seed = 1;
    bool bf16 = false;
};

// False when the file cannot be written.
[[nodiscard]] bool write_synthetic(const std::string &path, const SyntheticFile &file);

// The shape of a MAR model; keys of `config` are those of the fixtures.
struct SyntheticMar {
    int img_size = 32, vae_stride = 8, patch_size = 1, vae_embed_dim = 4;
    int encoder_embed_dim = 32, encoder_depth = 2, encoder_num_heads = 2;
    int decoder_embed_dim = 48, decoder_depth = 2, decoder_num_heads = 3;
    int class_num = 5, buffer_size = 4, diffloss_d = 2, diffloss_w = 40;
    std::string num_sampling_steps = "10";
    int local_kernel = 0;
    // Causal, "raster" or "random": the encoder's width and heads, and the depth of both.
    std::string variant = {};
    int prefix = 1;
    int codebook = 0; // codes in the place of the head

    [[nodiscard]] int tokens_per_image() const;
    [[nodiscard]] std::string config_json() const;
    [[nodiscard]] std::vector<SyntheticTensor> tensors() const;
};

// MAR-B with the KL-16 latents, as published.
[[nodiscard]] SyntheticMar mar_base();

// The light texture tokenizer with the given latent channels and stride (a power of two from 4).
[[nodiscard]] SyntheticFile synthetic_texture_codec(int latent_channels, int stride);
// The KL autoencoder: KL-16 is (128, {1, 1, 2, 2, 4}, 2, 16, 256, 16). With `codes` it is the VQ
// one.
[[nodiscard]] SyntheticFile synthetic_kl_codec(int channels, const std::vector<int> &multipliers,
                                               int res_blocks, int latent_channels, int resolution,
                                               int attention_resolution, int codes = 0);

} // namespace tessera::golden
