// Latents to pictures in units: a codec's program once, or, for a decoder that takes noise off a
// picture, once for each of its steps with fresh noise between.
#pragma once

#include "blocks/codec/latent_codec.hpp"

#include <cstdint>
#include <functional>
#include <vector>

namespace tessera::blocks {

// The decoder's own stream of random numbers, next to the TESSERA_STREAM_* of tokens: position is a
// row of the picture, draws are those of step after step.
inline constexpr std::uint32_t kDecoderStream = 5;

class CodecDecoder {
  public:
    // For latents of (height, width); `wrap` as in LayerRun. The codec outlives this.
    CodecDecoder(const sdk::Compute &compute, const LatentCodec &codec, std::int64_t height,
                 std::int64_t width, bool wrap, std::uint64_t seed = 0);

    [[nodiscard]] const sdk::View &input() const { return run_.input(); } // (1, h, w, latent)
    // Before the first unit of a picture: its stream, or recorded noise (H, W, image) of each step.
    void start(std::uint32_t image, std::function<sdk::View(int step)> recorded = {});
    [[nodiscard]] int size() const { return passes() * units_of_a_pass(); }
    [[nodiscard]] double flops(int unit) const;
    void run(int unit);
    [[nodiscard]] const sdk::View &output() const; // (1, H, W, image), after the last unit

  private:
    [[nodiscard]] bool is_noisy() const { return !steps_.empty(); }
    [[nodiscard]] int passes() const { return is_noisy() ? static_cast<int>(steps_.size()) : 1; }
    // The program's, and before and after them the noise and the estimate.
    [[nodiscard]] int units_of_a_pass() const { return run_.size() + (is_noisy() ? 2 : 0); }
    void add_noise(int step);
    void estimate(int step);

    sdk::Compute compute_;
    const std::vector<NoisyStep> &steps_;
    LayerRun run_;
    std::uint64_t seed_;
    // Only for a decoder by noise.
    sdk::Tensor clean_;               // (1, H, W, image): x0
    sdk::Tensor noisy_;               // (H W, image): x
    sdk::Tensor noise_;               // (H, W image)
    std::vector<std::int32_t> index_; // (H, 2): stream of the image, row
    std::function<sdk::View(int step)> recorded_;
};

} // namespace tessera::blocks
