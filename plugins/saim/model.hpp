// SAIM (arXiv 2212.01610): configuration and weights of two permuted streams. The encoder's carries
// what is known of each token, the decoder's asks for tokens by their positions. How they run is in
// network.hpp.
#pragma once

#include "blocks/model/config.hpp"
#include "blocks/model/token_head.hpp"
#include "blocks/model/transformer_block.hpp"
#include "blocks/model/weight_loader.hpp"
#include "blocks/shell/set_model.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tessera::saim {

struct SaimConfig {
    std::int64_t image_size = 0; // of what it works on: pixels, or latents
    std::int64_t channels = 0;
    std::int64_t patch = 0;
    std::int64_t width = 0;
    std::int64_t heads = 0;
    std::int64_t depth = 0;       // blocks of the encoder
    std::int64_t query_depth = 0; // blocks of the decoder, which divide them
    std::int64_t hidden = 0;      // of the MLPs
    bool shares = false;          // decoder block j is encoder block j
    std::int64_t head_hidden = 0; // of the prediction head; 0: it is one layer
    std::int64_t blur = 0;        // side of the kernel that blurs targets; 0: none
    bool normalises = false;      // targets lack the patch's brightness and contrast
    bool image_net = true;        // pixels are standardised as ImageNet's
    float epsilon = 1e-6F;
    // Of the stochastic extension; 0: the model predicts and samples nothing.
    std::int64_t classes = 0;
    std::int64_t sampler_depth = 0;
    std::int64_t sampler_width = 0;
    std::string denoise_steps = "100";
    blocks::Prediction prediction = blocks::Prediction::kNoise; // of the head
    std::int64_t latent_stride = 1;
    double latent_scale = 1.0;

    // Checks every value; throws Failure. The size of the prediction head is that of `weights`.
    [[nodiscard]] static SaimConfig read(const blocks::Config &config, const sdk::Weights &weights);

    // Throws Failure where tokens are no pictures; `path` is for the message.
    void check_makes_pictures(const std::string &path) const;

    [[nodiscard]] std::int64_t side() const { return image_size / patch; }
    [[nodiscard]] std::int64_t tokens() const { return side() * side(); }
    [[nodiscard]] std::int64_t token_width() const { return channels * patch * patch; }
    [[nodiscard]] std::int64_t cadence() const { return depth / query_depth; }
    [[nodiscard]] bool samples() const { return sampler_depth > 0; }
    [[nodiscard]] blocks::TokenGrid grid() const {
        return {side(), side(), patch, channels, latent_stride, latent_scale};
    }
};

// Weights on the device, by the names of the published files in comments. Tokens are patches in the
// order (channel, row, column).
struct SaimModel {
    // Throws Failure when the file does not hold exactly the tensors of the config.
    [[nodiscard]] static SaimModel load(const SaimConfig &config, blocks::WeightLoader &loader,
                                        tessera_dtype precision);

    [[nodiscard]] const blocks::TransformerBlock &decoder(std::int64_t j) const {
        return (config.shares ? blocks : query_blocks)[static_cast<std::size_t>(j)];
    }
    // z (rows, width) -> tokens (rows, d); `hidden` (rows, head_hidden) is scratch.
    void predict(const sdk::Compute &compute, const sdk::View &z, const sdk::View &hidden,
                 const sdk::View &tokens) const;

    SaimConfig config;
    blocks::Linear token_in; // patch_embed.proj (width, d)
    sdk::Tensor class_row;   // cls_token + pos_embed[0], (1, width)
    sdk::Tensor positions;   // pos_embed (1 + S, width)
    std::vector<blocks::TransformerBlock> blocks;
    std::vector<blocks::TransformerBlock> query_blocks; // empty when they are shared
    blocks::Norm norm;                                  // of the decoder's stream
    std::vector<blocks::Linear> prediction_head;        // one or two
    std::vector<float> blur;                            // gaussian_blur.weight, (kernel, kernel)
    sdk::Tensor class_table;                            // class_emb.weight (classes, width)
    std::optional<blocks::TokenHead> sampler;           // diffloss.net
};

// In which order unknown tokens are made.
enum class Order { kRandom, kRaster, kInward };

// A model as a generator of sets of tokens.
class SaimSets final : public blocks::SetModel {
  public:
    // `expects`: tokens are what the prediction head expects, even where the model could sample.
    SaimSets(const SaimModel &model, Order order, bool expects)
        : model_(model), order_(order), expects_(expects || !model.config.samples()) {}

    [[nodiscard]] blocks::TokenGrid grid() const override { return model_.config.grid(); }
    [[nodiscard]] std::unique_ptr<blocks::SetNetwork> network(const sdk::Compute &compute,
                                                              const blocks::RunSpec &spec,
                                                              std::int64_t batch) const override;
    [[nodiscard]] std::unique_ptr<blocks::TokenSampler>
    sampler(const sdk::Compute &compute, blocks::SamplerSpec spec) const override;
    // Known tokens come first, by index.
    [[nodiscard]] std::vector<std::int32_t> order(const blocks::RunSpec &spec,
                                                  int image) const override;

  private:
    const SaimModel &model_;
    Order order_;
    bool expects_;
};

} // namespace tessera::saim
