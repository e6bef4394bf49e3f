// Pictures through a latent codec.
#include "blocks/pictures/codec_pictures.hpp"

#include "blocks/pictures/patches.hpp"

#include <utility>

namespace tessera::blocks {

CodecPictures::CodecPictures(const sdk::Compute &compute, const LatentCodec &codec,
                             const TokenGrid &grid, std::optional<Completion> completion, bool wrap,
                             std::uint64_t seed, std::uint32_t first_image,
                             const LayerProgram *rounding)
    : compute_(compute), grid_(grid), channels_(codec.image_channels()),
      completion_(std::move(completion)),
      decoder_(compute, codec, grid.latent_height(), grid.latent_width(), wrap, seed),
      first_image_(first_image) {
    latents_ =
        compute_.allocate({1, grid.latent_height(), grid.latent_width(), grid.latent_channels});
    if (!completion_) return;
    if (completion_->latents.empty()) {
        encoder_ =
            std::make_unique<LayerRun>(compute, codec.encoder(), grid.height(), grid.width());
        if (rounding != nullptr) {
            rounding_ = std::make_unique<LayerRun>(compute, *rounding, grid.latent_height(),
                                                   grid.latent_width());
        }
    }
    take_given();
}

void CodecPictures::take_given() {
    token_map_ = compute_.allocate({1, grid_.tokens(), grid_.token_width()});
    if (encoder_) {
        compute_.upload(sdk::host_view(completion_->pixels.data(),
                                       {1, grid_.height(), grid_.width(), channels_}),
                        encoder_->input());
    } else {
        compute_.upload(
            sdk::host_view(completion_->latents.data(),
                           {1, grid_.latent_height(), grid_.latent_width(), grid_.latent_channels}),
            latents_);
    }
    if (kept() > 0) {
        kept_values_ = compute_.to_device(
            sdk::host_view(completion_->kept_values.data(), {1, kept(), channels_}));
    }
}

sdk::View CodecPictures::given_tokens() {
    if (!completion_) return {};
    if (encoder_) scale_encoded();
    if (rounding_) round_encoded();
    cut_patches(compute_, grid_, latents_, token_map_);
    return token_map_;
}

// The mean of the posterior, scaled.
void CodecPictures::scale_encoded() {
    const std::int64_t cells = grid_.latent_height() * grid_.latent_width();
    const std::int64_t encoded = sdk::element_count(encoder_->output()) / cells;
    const sdk::View mean =
        sdk::slice(sdk::reshape(encoder_->output(), {cells, encoded}), 1, 0, grid_.latent_channels);
    const sdk::View latents = sdk::reshape(latents_, {cells, grid_.latent_channels});
    compute_.copy(mean, latents);
    compute_.scale_offset(latents, static_cast<float>(grid_.latent_scale), 0.0f, latents);
}

void CodecPictures::round_encoded() {
    compute_.copy(latents_, rounding_->input());
    for (int unit = 0; unit < rounding_->size(); ++unit) rounding_->run(unit);
    compute_.copy(rounding_->output(), latents_);
}

// Latents, and without the scale into the decoder.
void CodecPictures::start(const sdk::View &tokens, int image) {
    decoder_.start(first_image_ + static_cast<std::uint32_t>(image));
    join_patches(compute_, grid_, tokens, latents_);
    compute_.scale_offset(latents_, static_cast<float>(1.0 / grid_.latent_scale), 0.0f,
                          decoder_.input());
}

void CodecPictures::run(int unit) {
    decoder_.run(unit);
    if (unit + 1 < decoder_.size() || kept() == 0) return;
    compute_.scatter_rows(
        kept_values_, sdk::host_view(completion_->kept_pixels.data(), {1, kept()}),
        sdk::reshape(decoder_.output(), {1, grid_.height() * grid_.width(), channels_}));
}

sdk::View CodecPictures::picture() const {
    return sdk::reshape(decoder_.output(), {grid_.height(), grid_.width(), channels_});
}

} // namespace tessera::blocks
