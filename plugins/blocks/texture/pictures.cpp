// Tokens to pictures.
#include "blocks/texture/pictures.hpp"

#include "blocks/codec/fill.hpp"

#include <algorithm>
#include <span>
#include <utility>

namespace tessera::texture {
namespace {

constexpr std::int64_t kCell = blocks::kWaveletCell;

// That of the first token that has one: tokens that are not made yet are 0.
blocks::Style style_of(std::span<const float> tokens) {
    blocks::Style style{};
    for (std::size_t at = 0; at < tokens.size(); at += kTokenWidth) {
        std::copy_n(tokens.begin() + static_cast<std::ptrdiff_t>(at + kTokenNumbers), style.size(),
                    style.begin());
        if (std::any_of(style.begin(), style.end(), [](float n) { return n != 0.0F; })) break;
    }
    return style;
}

} // namespace

TexturePictures::TexturePictures(const sdk::Compute &compute, const blocks::Wavelet &wavelet,
                                 Grid grid, std::vector<double> hues,
                                 std::optional<blocks::Completion> completion,
                                 std::vector<float> given)
    : compute_(compute), grid_(grid), hues_(std::move(hues)),
      synthesis_(wavelet, blocks::WaveletRun::Direction::kSynthesis, grid.rows, grid.columns),
      wide_(std::move(given)) {
    const std::int64_t count = grid.tokens();
    if (!wide_.empty()) {
        const auto sets = static_cast<std::int64_t>(wide_.size()) / (count * kTokenWidth);
        given_ = compute_.to_device(sdk::host_view(wide_.data(), {sets, count, kTokenWidth}));
    }
    wide_.resize(static_cast<std::size_t>(count * kTokenWidth));
    tokens_.resize(static_cast<std::size_t>(count * kTokenNumbers));
    if (!completion || completion->pixels.empty()) return;
    pixels_ = std::move(completion->pixels);
    made_.resize(pixels_.size());
    difference_.resize(pixels_.size());
    kept_.assign(pixels_.size() / 3, 0);
    for (const std::int32_t pixel : completion->kept_pixels) {
        kept_[static_cast<std::size_t>(pixel)] = 1;
    }
}

sdk::View TexturePictures::given_tokens() { return given_ ? given_.view() : sdk::View{}; }

void TexturePictures::start(const sdk::View &tokens, int image) {
    const std::int64_t count = grid_.tokens();
    shown_ = sdk::reshape(tokens, {grid_.rows, grid_.columns, kTokenWidth});
    compute_.download(tokens, sdk::host_view(wide_.data(), {1, count, kTokenWidth}));
    compute_.synchronize();
    const float *first = wide_.data();
    const blocks::Style style = style_of(wide_);
    for (std::int64_t token = 0; token < count; ++token) {
        std::copy_n(first + token * kTokenWidth, kTokenNumbers,
                    tokens_.data() + token * kTokenNumbers);
    }
    blocks::put_back(style, hues_[static_cast<std::size_t>(image)], tokens_);
    compute_.upload(sdk::host_view(tokens_.data(), {grid_.rows, grid_.columns, kTokenNumbers}),
                    synthesis_.tokens());
}

sdk::View TexturePictures::latents() const { return shown_; }

double TexturePictures::flops(int unit) const {
    if (unit < synthesis_.size()) return synthesis_.flops(unit);
    return 100.0 * static_cast<double>(pixels_.size()); // of the membrane, all sizes together
}

void TexturePictures::run(int unit) {
    if (unit < synthesis_.size()) {
        synthesis_.run(unit);
    } else {
        paste();
    }
}

void TexturePictures::paste() {
    const std::int64_t height = kCell * grid_.rows, width = kCell * grid_.columns;
    const sdk::View made = sdk::host_view(made_.data(), {height, width, 3});
    compute_.download(synthesis_.picture(), made);
    compute_.synchronize();
    for (std::size_t i = 0; i < made_.size(); ++i) {
        made_[i] = std::clamp(made_[i], -1.0F, 1.0F);
        difference_[i] = pixels_[i] - made_[i];
    }
    blocks::fill_holes(difference_, kept_, height, width, 3);
    for (std::size_t i = 0; i < made_.size(); ++i) {
        made_[i] = kept_[i / 3] != 0 ? pixels_[i] : made_[i] + difference_[i];
    }
    compute_.upload(made, synthesis_.picture());
}

} // namespace tessera::texture
