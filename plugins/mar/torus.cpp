// MAR on the wavelet tokens of a texture.
#include "mar/torus.hpp"

#include "blocks/shell/diffusion_sampler.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace tessera::mar {
namespace {

using texture::kTokenNumbers;
using texture::kTokenWidth;

constexpr std::int64_t kMaxHead = 65536;

} // namespace

TorusConfig TorusConfig::read(const blocks::Config &config) {
    TorusConfig c;
    c.trunk = texture::TextureConfig::read(config, texture::TextureConfig::Use::kConditions);
    c.head_depth = config.integer("diffloss_d", 1, 1024);
    c.head_width = config.integer("diffloss_w", 1, kMaxHead);
    if (config.has("num_sampling_steps")) {
        c.denoise_steps = config.text_or_integer("num_sampling_steps");
    }
    return c;
}

blocks::TokenGrid TorusConfig::grid() {
    constexpr std::int64_t kTokens = kSides.initial / blocks::kWaveletCell;
    return {.rows = kTokens,
            .columns = kTokens,
            .latent_channels = kTokenWidth,
            .latent_stride = blocks::kWaveletCell};
}

TorusModel TorusModel::load(const TorusConfig &config, blocks::WeightLoader &loader,
                            tessera_dtype precision) {
    TorusModel model;
    model.trunk = texture::TextureModel::load(config.trunk, loader, precision);
    model.head = blocks::TokenHead::load(loader, "diffloss.net",
                                         {kTokenNumbers, config.trunk.width, config.head_width,
                                          config.head_depth, 1e-6F, blocks::Prediction::kVelocity},
                                         precision);
    return model;
}

std::unique_ptr<blocks::SetNetwork> TorusModel::network(const sdk::Compute &compute,
                                                        const blocks::RunSpec &spec,
                                                        std::int64_t batch) const {
    return std::make_unique<TorusNetwork>(compute, *this, spec, batch);
}

std::unique_ptr<blocks::TokenSampler> TorusModel::sampler(const sdk::Compute &compute,
                                                          blocks::SamplerSpec spec) const {
    return std::make_unique<blocks::DiffusionSampler>(compute, head, nullptr, std::move(spec));
}

TorusNetwork::TorusNetwork(const sdk::Compute &compute, const TorusModel &model,
                           const blocks::RunSpec &spec, std::int64_t batch)
    : compute_(compute), model_(model), grid_{spec.grid.rows, spec.grid.columns},
      images_(spec.images()), batch_(batch), known_(spec.known), styles_(model.trunk, spec),
      trunk_(compute, model.trunk, grid_, images_, batch > images_) {
    if (known_.empty()) known_.assign(static_cast<std::size_t>(tokens()), 0);
    embedded_ = compute_.allocate({images_ * tokens(), kTokenNumbers + 1});
    compute_.fill(1.0F, embedded_);
    compute_.fill(0.0F, trunk_.input());
    wanted_ = compute_.allocate({batch_ * tokens() * model.trunk.config.width});
    index_.reserve(static_cast<std::size_t>(batch_ * tokens()));
    all_.resize(static_cast<std::size_t>(images_ * tokens() * kTokenWidth));
    use_styles();
}

void TorusNetwork::use_styles() {
    tails_.clear();
    for (std::int64_t image = 0; image < images_; ++image) {
        const blocks::Style &style = styles_[static_cast<std::size_t>(image)];
        tails_.insert(tails_.end(), style.begin(), style.end());
    }
    trunk_.set_conditions(styles_.conditions(compute_), {});
}

// The pictures take over the style of what is given.
void TorusNetwork::give(const sdk::View &given) {
    std::vector<float> wide(static_cast<std::size_t>(tokens() * kTokenWidth));
    compute_.download(sdk::reshape(given, {tokens(), kTokenWidth}),
                      sdk::host_view(wide.data(), {tokens(), kTokenWidth}));
    compute_.synchronize();
    for (std::size_t image = 0; image < static_cast<std::size_t>(images_); ++image) {
        styles_.give(image, wide, known_);
    }
    use_styles();
}

void TorusNetwork::embed(const sdk::View &known, std::span<const std::int32_t> positions,
                         std::int64_t images, std::int64_t first_entry) {
    const auto count = static_cast<std::int64_t>(positions.size()) / images;
    positions_.assign(positions.begin(), positions.end());
    const sdk::View rows = sdk::reshape(sdk::slice(embedded_.view(), 0, 0, images * count),
                                        {images, count, kTokenNumbers + 1});
    compute_.copy(sdk::slice(known, 2, 0, kTokenNumbers), sdk::slice(rows, 2, 0, kTokenNumbers));
    const sdk::View all = sdk::reshape(trunk_.input(), {batch_, tokens(), kTokenNumbers + 1});
    compute_.scatter_rows(rows, sdk::host_view(positions_.data(), {images, count}),
                          sdk::slice(all, 0, first_entry, images));
}

void TorusNetwork::start(std::span<const std::int32_t>, std::span<const std::int32_t> wanted) {
    index_.assign(wanted.begin(), wanted.end());
    wanted_count_ = static_cast<std::int64_t>(index_.size()) / batch_;
    trunk_.start(++step_, batch_ > images_);
}

void TorusNetwork::run_unit(int unit) {
    trunk_.run(unit);
    if (unit + 1 < unit_count()) return;
    const sdk::View rows =
        sdk::reshape(trunk_.output(), {batch_, tokens(), model_.trunk.config.width});
    compute_.gather_rows(rows, sdk::host_view(index_.data(), {batch_, wanted_count_}),
                         conditions());
}

void TorusNetwork::finish(const sdk::View &made) {
    const sdk::View host = sdk::host_view(all_.data(), {images_, tokens(), kTokenWidth});
    compute_.download(made, host);
    compute_.synchronize();
    const auto size = static_cast<std::size_t>(tokens() * kTokenWidth);
    for (std::size_t image = 0; image < static_cast<std::size_t>(images_); ++image) {
        keep_deviations(std::span(all_).subspan(image * size, size));
    }
    compute_.upload(host, made);
}

// A style says how far the numbers of each group deviate, and without it they deviate by 1: so all
// tokens of a picture together do, whatever the head sampled each for itself. A head that knows
// little comes out too even, a strong guidance too wild. What is given counts and stays.
void TorusNetwork::keep_deviations(std::span<float> image) const {
    constexpr double kLeastGain = 1.0 / 16, kMostGain = 2.0;
    const auto is_given = [&](std::size_t i) { return known_[i / kTokenWidth] != 0; };
    std::array<double, blocks::kStyleGroups> given{}, made{}, numbers{};
    for (std::size_t i = 0; i < image.size(); ++i) {
        const auto number = static_cast<std::int64_t>(i) % kTokenWidth;
        if (number >= kTokenNumbers) continue;
        const auto group = static_cast<std::size_t>(blocks::style_group(number));
        const double square = static_cast<double>(image[i]) * static_cast<double>(image[i]);
        (is_given(i) ? given : made)[group] += square;
        ++numbers[group];
    }
    std::array<float, blocks::kStyleGroups> gain{};
    for (std::size_t group = 0; group < gain.size(); ++group) {
        const double wanted = std::max(numbers[group] - given[group], 0.0);
        const double square = made[group] > 0.0 ? wanted / made[group] : 1.0;
        gain[group] = static_cast<float>(std::clamp(std::sqrt(square), kLeastGain, kMostGain));
    }
    for (std::size_t i = 0; i < image.size(); ++i) {
        const auto number = static_cast<std::int64_t>(i) % kTokenWidth;
        if (number >= kTokenNumbers || is_given(i)) continue;
        image[i] *= gain[static_cast<std::size_t>(blocks::style_group(number))];
    }
}

sdk::View TorusNetwork::conditions() const {
    const std::int64_t width = model_.trunk.config.width;
    return sdk::reshape(sdk::slice(wanted_.view(), 0, 0, batch_ * wanted_count_ * width),
                        {batch_, wanted_count_, width});
}

} // namespace tessera::mar
