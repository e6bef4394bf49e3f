// MAR on the wavelet tokens of a texture, without their style: in the place of encoder and decoder
// the trunk of blocks/texture, which sees all tokens, known and unknown, on the torus. No absolute
// positions, so pictures of any size, and they repeat without a seam.
//
// A token of a run carries the style of its picture behind its own numbers
// (blocks/texture/model.hpp); the head samples the numbers alone.
#pragma once

#include "blocks/model/token_head.hpp"
#include "blocks/shell/generator.hpp"
#include "blocks/shell/set_model.hpp"
#include "blocks/texture/styles.hpp"
#include "blocks/texture/trunk.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace tessera::mar {

class TorusModel;

struct TorusConfig {
    using Model = TorusModel;
    // Of pictures; `initial` is that at which models are trained.
    static constexpr blocks::Sides kSides{
        .min = 64, .max = 1024, .step = blocks::kWaveletCell, .initial = 128};

    texture::TextureConfig trunk;
    std::int64_t head_depth = 0;
    std::int64_t head_width = 0;
    std::string denoise_steps = "ddim25"; // default of the model

    // Checks every value; throws Failure.
    [[nodiscard]] static TorusConfig read(const blocks::Config &config);

    [[nodiscard]] static blocks::TokenGrid grid();
};

class TorusModel final : public blocks::SetModel {
  public:
    // Throws Failure when the file does not hold exactly the tensors of the config.
    [[nodiscard]] static TorusModel load(const TorusConfig &config, blocks::WeightLoader &loader,
                                         tessera_dtype precision);

    [[nodiscard]] blocks::TokenGrid grid() const override { return TorusConfig::grid(); }
    [[nodiscard]] std::unique_ptr<blocks::SetNetwork> network(const sdk::Compute &compute,
                                                              const blocks::RunSpec &spec,
                                                              std::int64_t batch) const override;
    [[nodiscard]] std::unique_ptr<blocks::TokenSampler>
    sampler(const sdk::Compute &compute, blocks::SamplerSpec spec) const override;

    texture::TextureModel trunk;
    blocks::TokenHead head;
};

// The trunk as a network of sets. Unknown tokens go in as zeros.
class TorusNetwork final : public blocks::SetNetwork {
  public:
    // Draws the styles of the spec's pictures.
    TorusNetwork(const sdk::Compute &compute, const TorusModel &model, const blocks::RunSpec &spec,
                 std::int64_t batch);

    // See blocks::SetNetwork. Classes are those of the spec.
    void set_class(std::int64_t, std::int64_t, const blocks::ClassMix &) override {}
    void give(const sdk::View &tokens) override;
    [[nodiscard]] sdk::View tails() const override {
        return sdk::host_view(tails_.data(), {images_, blocks::kStyleNumbers});
    }
    void embed(const sdk::View &tokens, std::span<const std::int32_t> positions,
               std::int64_t images, std::int64_t first_entry) override;
    void start(std::span<const std::int32_t> known, std::span<const std::int32_t> wanted) override;
    [[nodiscard]] int unit_count() const override { return trunk_.size(); }
    [[nodiscard]] double unit_flops(int unit) const override { return trunk_.flops(unit); }
    void run_unit(int unit) override;
    [[nodiscard]] sdk::View conditions() const override;
    void finish(const sdk::View &tokens) override;
    [[nodiscard]] double flops(std::int64_t, std::int64_t) const override {
        return trunk_.pass_flops() * static_cast<double>(batch_);
    }

  private:
    void use_styles();
    void keep_deviations(std::span<float> image) const;
    [[nodiscard]] std::int64_t tokens() const { return grid_.tokens(); }

    sdk::Compute compute_;
    const TorusModel &model_;
    texture::Grid grid_;
    std::int64_t images_;
    std::int64_t batch_;
    std::vector<std::uint8_t> known_; // (S) tokens that are given
    texture::RunStyles styles_;
    texture::Trunk trunk_;
    sdk::Tensor embedded_;                // (images x S, 97): tokens and a 1 each
    sdk::Tensor wanted_;                  // flat: conditions
    std::vector<float> tails_;            // (images, 99): styles
    std::vector<float> all_;              // (images, S, 195): scratch of `finish`
    std::vector<std::int32_t> positions_; // of embed, until the device has read them
    std::vector<std::int32_t> index_;     // (batch x wanted)
    std::int64_t wanted_count_ = 0;
    int step_ = -1;
};

} // namespace tessera::mar
