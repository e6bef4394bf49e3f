// Pictures of models whose tokens are patches of pixels.
#include "blocks/pictures/pixel_pictures.hpp"

#include "blocks/pictures/patches.hpp"

#include <utility>

namespace tessera::blocks {

PixelScale PixelScale::plain(std::int64_t channels) {
    const auto count = static_cast<std::size_t>(channels);
    return {std::vector<float>(count, 0.0F), std::vector<float>(count, 1.0F)};
}

// (p - mean) / deviation with p = (pixel + 1) / 2.
PixelScale PixelScale::image_net() {
    PixelScale scale;
    for (const double mean : {0.485, 0.456, 0.406}) {
        scale.mean.push_back(static_cast<float>(2.0 * mean - 1.0));
    }
    for (const double deviation : {0.229, 0.224, 0.225}) {
        scale.deviation.push_back(static_cast<float>(2.0 * deviation));
    }
    return scale;
}

PixelPictures::PixelPictures(const sdk::Compute &compute, const TokenGrid &grid,
                             const PixelScale &scale, std::optional<Completion> completion)
    : compute_(compute), grid_(grid), completion_(std::move(completion)) {
    const std::int64_t channels = grid.latent_channels;
    std::vector<float> factor = scale.deviation;
    for (float &value : factor) value -= 1.0F;
    factor_ = compute_.to_device(sdk::host_view(factor.data(), {channels}));
    offset_ = compute_.to_device(sdk::host_view(scale.mean.data(), {channels}));
    latents_ = compute_.allocate({1, grid.height(), grid.width(), channels});
    picture_ = compute_.allocate({1, grid.height(), grid.width(), channels});
    if (!completion_) return;
    token_map_ = compute_.allocate({1, grid.tokens(), grid.token_width()});
    std::vector<float> given = completion_->latents;
    if (given.empty()) {
        given = completion_->pixels;
        for (std::size_t i = 0; i < given.size(); ++i) {
            const std::size_t channel = i % scale.mean.size();
            given[i] = (given[i] - scale.mean[channel]) / scale.deviation[channel];
        }
    }
    given_ = compute_.to_device(
        sdk::host_view(given.data(), {1, grid.height(), grid.width(), channels}));
    const auto kept = static_cast<std::int64_t>(completion_->kept_pixels.size());
    if (kept == 0) return;
    kept_values_ =
        compute_.to_device(sdk::host_view(completion_->kept_values.data(), {1, kept, channels}));
}

sdk::View PixelPictures::given_tokens() {
    if (!given_) return {};
    cut_patches(compute_, grid_, given_, token_map_);
    return token_map_;
}

void PixelPictures::start(const sdk::View &tokens, int) {
    join_patches(compute_, grid_, tokens, latents_);
}

double PixelPictures::flops(int) const {
    return 10.0 * static_cast<double>(grid_.height() * grid_.width() * grid_.latent_channels);
}

void PixelPictures::run(int) {
    compute_.modulate(by_pixel(latents_), offset_, factor_, by_pixel(picture_));
    if (!kept_values_) return;
    const auto kept = static_cast<std::int64_t>(completion_->kept_pixels.size());
    compute_.scatter_rows(
        kept_values_, sdk::host_view(completion_->kept_pixels.data(), {1, kept}),
        sdk::reshape(picture_, {1, grid_.height() * grid_.width(), grid_.latent_channels}));
}

sdk::View PixelPictures::by_pixel(const sdk::Tensor &map) const {
    return sdk::reshape(map, {grid_.height() * grid_.width(), grid_.latent_channels});
}

} // namespace tessera::blocks
