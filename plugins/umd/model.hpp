// UMD (arXiv 2406.17688): configuration and weights of a masked and noised autoencoder. How a pass
// runs is in network.hpp, how pictures come about in run.hpp.
#pragma once

#include "blocks/model/config.hpp"
#include "blocks/model/transformer_block.hpp"
#include "blocks/model/weight_loader.hpp"
#include "blocks/shell/token_grid.hpp"
#include "umd/schedule.hpp"

#include <cstdint>
#include <vector>

namespace tessera::umd {

struct UmdConfig {
    std::int64_t image_size = 0; // of what it works on: pixels, or latents
    std::int64_t channels = 0;
    std::int64_t patch = 0;
    std::int64_t width = 0;
    std::int64_t heads = 0;
    std::int64_t depth = 0;         // blocks of the encoder
    std::int64_t decoder_depth = 0; // blocks of the decoder
    std::int64_t hidden = 0;        // of the MLPs
    std::int64_t class_rows = 0;    // class tokens of the encoder
    std::int64_t classes = 0;       // 0: the model knows none
    bool adaptive = true;           // norms; else the condition is a row of every block
    BetaSchedule schedule = BetaSchedule::kCosine;
    std::int64_t times = 0;
    bool clips = false;          // clean pictures to [-1, 1]
    double mask_ratio = 0.0;     // that noised pictures were trained with
    double mask_ratio_clean = 0; // that clean ones were trained with
    std::int64_t latent_stride = 1;
    double latent_scale = 1.0;
    float epsilon = 1e-6F;

    // Checks every value; throws Failure.
    [[nodiscard]] static UmdConfig read(const blocks::Config &config);

    [[nodiscard]] std::int64_t side() const { return image_size / patch; }
    [[nodiscard]] std::int64_t tokens() const { return side() * side(); }
    [[nodiscard]] std::int64_t token_width() const { return channels * patch * patch; }
    [[nodiscard]] blocks::TokenGrid grid() const {
        return {side(), side(), patch, channels, latent_stride, latent_scale};
    }
};

// Two layers with SiLU between them, as conditions go through.
struct Trunk {
    blocks::Linear first;  // (2 width, width)
    blocks::Linear second; // (width, 2 width)
};

struct Tower {
    std::vector<blocks::TransformerBlock> blocks;
    std::vector<blocks::Linear> modulations; // (6 width, width) a block; empty unless adaptive
    blocks::Norm norm;
};

// Weights on the device. Names in comments are those of the file, which is laid out as Flax does.
struct UmdModel {
    // Throws Failure when the file does not hold exactly the tensors of the config.
    [[nodiscard]] static UmdModel load(const UmdConfig &config, blocks::WeightLoader &loader,
                                       tessera_dtype precision);

    UmdConfig config;
    blocks::Linear token_in; // embedding (width, d)
    sdk::Tensor positions;   // pos_embedding (S, width)
    sdk::Tensor class_rows;  // cls (class rows, width)
    sdk::Tensor mask_rows;   // image_mask_embedding, S times
    sdk::Tensor decoder_positions;
    sdk::Tensor labels; // label_emb (classes + 1, width); the last: none
    Trunk time;
    Trunk label;
    Tower encoder;
    Tower decoder;
    blocks::Linear last_modulation; // final_modulation (2 width, width): shift, scale
    blocks::Linear token_out;       // final_conv (2 d, width): x0, then eps
};

// Sines, then cosines, of time * frequency, in float32: (width) numbers into `out`.
void time_features(std::int32_t time, std::span<float> out);

// The head that the file's metadata `defaults` says, or the published one. Throws Failure.
[[nodiscard]] Head default_head(const sdk::Weights &weights);

} // namespace tessera::umd
