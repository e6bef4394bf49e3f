// The styles of the pictures of a run.
#include "blocks/texture/styles.hpp"

#include <algorithm>
#include <array>

namespace tessera::texture {

RunStyles::RunStyles(const TextureModel &model, const blocks::RunSpec &spec)
    : model_(model), labels_(spec.labels) {
    for (std::size_t image = 0; image < labels_.size(); ++image) {
        const blocks::ImageSpec own = spec.image(image);
        mixes_.push_back(own.mix);
        styles_.push_back(blocks::moved(draw(image, own), own.style.moves));
    }
}

blocks::Style RunStyles::draw(std::size_t image, const blocks::ImageSpec &spec) const {
    const std::vector<blocks::Style> &given = spec.style.styles;
    if (!given.empty()) return given[std::min(image, given.size() - 1)];
    const auto draw = [&](std::int64_t label) {
        return model_.bank.draw(label, spec.style.jitter, spec.seed, spec.stream, 0);
    };
    blocks::Style style = draw(spec.label);
    const float weight = spec.mix.weight;
    const blocks::Style other = weight > 0.0F ? draw(spec.mix.label) : style;
    for (std::size_t k = 0; k < style.size(); ++k) style[k] += weight * (other[k] - style[k]);
    return model_.bank.raw(style);
}

void RunStyles::give(std::size_t image, std::span<const float> tokens,
                     std::span<const std::uint8_t> known) {
    std::array<double, blocks::kStyleNumbers> sum{};
    double counted = 0;
    const bool keeps = std::any_of(known.begin(), known.end(), [](auto k) { return k != 0; });
    for (std::size_t token = 0; token < known.size(); ++token) {
        if (keeps && known[token] == 0) continue;
        const float *from = tokens.data() + token * kTokenWidth + kTokenNumbers;
        for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(from[i]);
        ++counted;
    }
    blocks::Style style{};
    for (std::size_t i = 0; i < sum.size(); ++i) style[i] = static_cast<float>(sum[i] / counted);
    if (std::all_of(style.begin(), style.end(), [](float n) { return n == 0.0F; })) return;
    styles_[image] = style;
}

std::vector<float> RunStyles::conditions(const sdk::Compute &compute) const {
    const std::int64_t width = model_.config.condition;
    const auto images = static_cast<std::int64_t>(styles_.size());
    std::vector<float> standard;
    for (const blocks::Style &raw : styles_) {
        const blocks::Style style = model_.bank.standard(raw);
        standard.insert(standard.end(), style.begin(), style.end());
    }
    const sdk::Tensor rows =
        compute.to_device(sdk::host_view(standard.data(), {images, blocks::kStyleNumbers}));
    const sdk::Tensor hidden = compute.allocate({images, width});
    const sdk::Tensor style = compute.allocate({images, width});
    compute.linear(rows, model_.style[0].weight,
                   {model_.style[0].bias.optional(), TESSERA_ACTIVATION_SILU}, hidden);
    compute.linear(hidden, model_.style[1].weight, {model_.style[1].bias.optional()}, style);
    std::vector<float> who(static_cast<std::size_t>((images + 1) * width));
    compute.download(style, sdk::host_view(who.data(), {images, width}));
    compute.synchronize();
    for (std::int64_t image = 0; image < images; ++image) {
        const float *first = model_.class_row(labels_[static_cast<std::size_t>(image)]);
        const blocks::ClassMix &mix = mixes_[static_cast<std::size_t>(image)];
        const float *second = model_.class_row(mix.label);
        float *row = who.data() + image * width;
        for (std::int64_t i = 0; i < width; ++i) {
            row[i] += first[i] + mix.weight * (second[i] - first[i]);
        }
    }
    const float *none = model_.class_row(-1);
    for (std::int64_t i = 0; i < width; ++i) {
        who[static_cast<std::size_t>(images * width + i)] =
            none[i] + model_.no_style[static_cast<std::size_t>(i)];
    }
    return who;
}

} // namespace tessera::texture
