// Pictures through a latent codec: given pixels and latents to tokens, tokens to pixels, kept
// pixels given back as they came.
#pragma once

#include "blocks/codec/codec_decoder.hpp"
#include "blocks/shell/completion.hpp"
#include "blocks/shell/run.hpp"

#include <memory>
#include <optional>

namespace tessera::blocks {

class CodecPictures final : public Pictures {
  public:
    // `wrap`: decoded as a period of a picture that repeats. `seed` and `first_image` are those of
    // the run, for a decoder that draws noise. `rounding` (rounding.hpp): given pictures become
    // entries of a codebook; NULL: they stay as encoded. The codec and it outlive this.
    CodecPictures(const sdk::Compute &compute, const LatentCodec &codec, const TokenGrid &grid,
                  std::optional<Completion> completion, bool wrap, std::uint64_t seed = 0,
                  std::uint32_t first_image = 0, const LayerProgram *rounding = nullptr);

    [[nodiscard]] int encode_units() const override { return encoder_ ? encoder_->size() : 0; }
    [[nodiscard]] double encode_flops(int unit) const override { return encoder_->flops(unit); }
    void run_encode(int unit) override { encoder_->run(unit); }
    sdk::View given_tokens() override;

    void start(const sdk::View &tokens, int image) override;
    [[nodiscard]] int units() const override { return decoder_.size(); }
    [[nodiscard]] double flops(int unit) const override { return decoder_.flops(unit); }
    void run(int unit) override;
    [[nodiscard]] sdk::View picture() const override;
    [[nodiscard]] sdk::View latents() const override { return sdk::at(latents_.view(), 0); }

  private:
    void take_given();
    void scale_encoded();
    void round_encoded();
    [[nodiscard]] std::int64_t kept() const {
        return completion_ ? static_cast<std::int64_t>(completion_->kept_pixels.size()) : 0;
    }

    sdk::Compute compute_;
    TokenGrid grid_;
    std::int64_t channels_; // of pixels
    std::optional<Completion> completion_;
    CodecDecoder decoder_;
    std::uint32_t first_image_;
    std::unique_ptr<LayerRun> encoder_;  // only for given pixels without latents
    std::unique_ptr<LayerRun> rounding_; // likewise, for codes
    sdk::Tensor latents_;                // (1, h, w, C), times latent_scale
    sdk::Tensor token_map_;              // (1, S, d), given tokens
    sdk::Tensor kept_values_;            // (1, kept, channels)
};

} // namespace tessera::blocks
