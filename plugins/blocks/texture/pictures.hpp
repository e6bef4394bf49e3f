// Tokens to pictures: the style put back, the wavelet undone. Kept pixels of a given picture come
// out as they came; what differs at their border is drawn smoothly into what was made.
#pragma once

#include "blocks/shell/completion.hpp"
#include "blocks/shell/run.hpp"
#include "blocks/texture/trunk.hpp"

#include <optional>
#include <vector>

namespace tessera::texture {

class TexturePictures final : public blocks::Pictures {
  public:
    // `hues` of the images, in radians. `given` (1 or images, S, 195), or empty: tokens of the
    // completion.
    TexturePictures(const sdk::Compute &compute, const blocks::Wavelet &wavelet, Grid grid,
                    std::vector<double> hues, std::optional<blocks::Completion> completion,
                    std::vector<float> given);

    sdk::View given_tokens() override;
    void start(const sdk::View &tokens, int image) override;
    [[nodiscard]] int units() const override { return synthesis_.size() + (pastes() ? 1 : 0); }
    [[nodiscard]] double flops(int unit) const override;
    void run(int unit) override;
    [[nodiscard]] sdk::View picture() const override { return synthesis_.picture(); }
    [[nodiscard]] sdk::View latents() const override;

  private:
    [[nodiscard]] bool pastes() const { return !kept_.empty(); }
    void paste();

    sdk::Compute compute_;
    Grid grid_;
    std::vector<double> hues_;
    blocks::WaveletRun synthesis_;
    sdk::Tensor given_;              // (1 or images, S, 195)
    std::vector<std::uint8_t> kept_; // (height, width); empty: no pixels are
    std::vector<float> pixels_;      // (height, width, 3)
    std::vector<float> made_;        // likewise
    std::vector<float> difference_;  // likewise
    std::vector<float> wide_;        // (S, 195)
    std::vector<float> tokens_;      // (S, 96)
    sdk::View shown_{};
};

} // namespace tessera::texture
