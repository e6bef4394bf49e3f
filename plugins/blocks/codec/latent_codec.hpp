// Images to latents and back: the KL autoencoder of latent diffusion and the texture tokenizer,
// read from a weight file whose `kind` says which one it is.
#pragma once

#include "blocks/model/layer_program.hpp"

#include <string>

namespace tessera::blocks {

class LatentCodec {
  public:
    // Throws Failure when the file is neither kind, its config makes no sense or its tensors do not
    // fit it. Always float32: quality is decided here and the cost is small. `exact`, the precision
    // of the activation, asks for plain sums in convolutions too.
    [[nodiscard]] static LatentCodec load(WeightLoader &loader, const sdk::Weights &weights,
                                          bool exact);

    [[nodiscard]] std::int64_t latent_channels() const { return latent_channels_; }
    [[nodiscard]] std::int64_t image_channels() const { return image_channels_; }
    [[nodiscard]] std::int64_t stride() const { return stride_; } // pixels along a latent cell

    // (1, h, w, latent) -> (1, h stride, w stride, image), about [-1, 1].
    [[nodiscard]] const LayerProgram &decoder() const { return decoder_; }
    // (1, H, W, image) -> moments (1, H / stride, W / stride, 2 latent): mean, log variance (the
    // latter not clamped).
    [[nodiscard]] const LayerProgram &encoder() const { return encoder_; }

  private:
    std::int64_t latent_channels_ = 0;
    std::int64_t image_channels_ = 0;
    std::int64_t stride_ = 0;
    LayerProgram decoder_;
    LayerProgram encoder_;
};

} // namespace tessera::blocks
