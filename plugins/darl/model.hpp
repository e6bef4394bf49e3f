// DARL (arXiv 2403.05196): configuration and weights of a causal transformer over patches that
// predicts the next one. backbone.hpp runs it, patch_sampler.hpp draws patches from what it says.
#pragma once

#include "blocks/model/config.hpp"
#include "blocks/model/transformer_block.hpp"
#include "blocks/model/weight_loader.hpp"
#include "blocks/shell/set_model.hpp"
#include "darl/patch_decoder.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace tessera::darl {

// Of RunSpec::labels: not even the embedding of "no class" is added to the start token.
inline constexpr std::int64_t kUnlabelled = -2;

struct DarlConfig {
    std::int64_t height = 0;  // of what patches are cut from: pixels, or latents of a codec
    std::int64_t columns = 0; // `width_px`
    std::int64_t channels = 0;
    std::int64_t patch = 1;
    std::int64_t width = 0; // of the transformer
    std::int64_t depth = 0;
    std::int64_t heads = 0;
    double mlp_ratio = 4.0;
    double rope_base = 10000.0;
    std::int64_t classes = 0;       // 0: the model knows none
    bool clamp = false;             // patches are cut to [-1, 1]
    std::int64_t nested = 0;        // patches along a block of the nested order; 0: raster order
    bool prefix = false;            // a noisy patch sees what was said of all patches up to its own
    std::int64_t latent_stride = 1; // pixels along a cell of what patches are cut from
    double latent_scale = 1.0;
    float epsilon = 1e-6f;

    // Checks every value; throws Failure.
    [[nodiscard]] static DarlConfig read(const blocks::Config &config);

    [[nodiscard]] std::int64_t patch_width() const { return patch * patch * channels; }
    [[nodiscard]] std::int64_t head_width() const { return width / heads; }
    [[nodiscard]] blocks::BlockShape block_shape() const;
    // Of the size that the model was trained at; any other will do.
    [[nodiscard]] blocks::TokenGrid grid() const;
};

// The angle of a pair of columns of a head at a place, section 3.3: the first half of the pairs
// turns by the column, the second by the row.
[[nodiscard]] double rotary_angle(double column, double row, std::int64_t pair,
                                  std::int64_t head_width, double base);

// When a token is made, from 0, and the tokens by that. Raster order (`nested` 0); or blocks of
// `nested` x `nested` patches in raster order, in raster order inside; those at the border may be
// smaller.
[[nodiscard]] std::int64_t place_in_sequence(const blocks::TokenGrid &grid, std::int64_t nested,
                                             std::int64_t token);
[[nodiscard]] std::vector<std::int32_t> sequence(const blocks::TokenGrid &grid,
                                                 std::int64_t nested);

class DarlModel final : public blocks::SetModel {
  public:
    // The heads and the class table are those that the file holds, at least one head. Throws
    // Failure when it does not hold exactly the tensors that belong to them.
    [[nodiscard]] static DarlModel load(const DarlConfig &config, blocks::WeightLoader &loader,
                                        tessera_dtype precision);

    [[nodiscard]] blocks::TokenGrid grid() const override { return config.grid(); }
    [[nodiscard]] std::unique_ptr<blocks::SetNetwork> network(const sdk::Compute &compute,
                                                              const blocks::RunSpec &spec,
                                                              std::int64_t batch) const override;
    [[nodiscard]] std::unique_ptr<blocks::TokenSampler>
    sampler(const sdk::Compute &compute, blocks::SamplerSpec spec) const override;
    [[nodiscard]] std::vector<std::int32_t> order(const blocks::RunSpec &spec,
                                                  int image) const override;
    [[nodiscard]] bool one_by_one() const override { return true; }
    // Linear: 1 + (g - 1) t / (L - 1) for the t-th patch of the sequence.
    [[nodiscard]] double guidance(const blocks::RunSpec &spec, std::int32_t token,
                                  int unknown_after) const override;

    DarlConfig config;
    sdk::Tensor start;       // sos (width)
    sdk::Tensor class_table; // class_emb.weight (classes + 1, width), the last: no class; or empty
    blocks::Linear patch_in; // patch_embed (width, D)
    std::vector<blocks::TransformerBlock> layers;
    blocks::Norm norm;
    // target_places (nested nested, width): where in its block the next patch lies, added to what
    // the heads read. Empty in raster order, where it is always the next column.
    sdk::Tensor target_places;
    blocks::Linear mean_patch;           // head_linear (D, width); or empty
    std::optional<PatchDecoder> decoder; // patch_decoder.*
};

} // namespace tessera::darl
