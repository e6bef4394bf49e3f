// Pictures of models whose tokens are patches of pixels: there is no codec, the latents are the
// pixels, scaled as the model knows them. Kept pixels come out as they came.
#pragma once

#include "blocks/shell/completion.hpp"
#include "blocks/shell/run.hpp"

#include <optional>
#include <vector>

namespace tessera::blocks {

// What a model calls a pixel of [-1, 1]: (pixel - mean) / deviation, channel by channel.
struct PixelScale {
    std::vector<float> mean;
    std::vector<float> deviation;

    [[nodiscard]] static PixelScale plain(std::int64_t channels);
    // Of networks that take ImageNet's mean and deviation out of pixels of [0, 1].
    [[nodiscard]] static PixelScale image_net();
};

class PixelPictures final : public Pictures {
  public:
    PixelPictures(const sdk::Compute &compute, const TokenGrid &grid, const PixelScale &scale,
                  std::optional<Completion> completion);

    sdk::View given_tokens() override;
    void start(const sdk::View &tokens, int image) override;
    [[nodiscard]] int units() const override { return 1; }
    [[nodiscard]] double flops(int unit) const override;
    void run(int unit) override;
    [[nodiscard]] sdk::View picture() const override { return sdk::at(picture_.view(), 0); }
    [[nodiscard]] sdk::View latents() const override { return sdk::at(latents_.view(), 0); }

  private:
    [[nodiscard]] sdk::View by_pixel(const sdk::Tensor &map) const;

    sdk::Compute compute_;
    TokenGrid grid_;
    std::optional<Completion> completion_;
    sdk::Tensor factor_;      // (channels): deviation - 1, as `modulate` adds one
    sdk::Tensor offset_;      // (channels): mean
    sdk::Tensor given_;       // (1, H, W, channels), scaled
    sdk::Tensor token_map_;   // (1, S, d), given tokens
    sdk::Tensor latents_;     // (1, H, W, channels), scaled
    sdk::Tensor picture_;     // (1, H, W, channels)
    sdk::Tensor kept_values_; // (1, kept, channels)
};

} // namespace tessera::blocks
