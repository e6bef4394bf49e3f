// MAR on the wavelet tokens of a texture.
#include "mar/torus.hpp"

#include "blocks/shell/diffusion_sampler.hpp"

#include <algorithm>
#include <utility>

namespace tessera::mar {
namespace {

using texture::kTokenNumbers;
using texture::kTokenWidth;

constexpr std::int64_t kMaxHead = 65536;

// What the head samples, with the style of its picture behind each token.
class StyledSampler final : public blocks::TokenSampler {
  public:
    StyledSampler(const sdk::Compute &compute, const blocks::TokenHead &head,
                  const blocks::SamplerSpec &spec)
        : compute_(compute), numbers_(compute, head, nullptr, spec) {
        wide_ = compute.allocate({spec.max_rows, kTokenWidth});
        rows_.reserve(static_cast<std::size_t>(spec.max_rows));
    }

    [[nodiscard]] bool is_guided() const override { return numbers_.is_guided(); }
    [[nodiscard]] double work(int denoise_steps, double rows) const override {
        return numbers_.work(denoise_steps, rows);
    }
    void begin(const blocks::TokenSet &set) override {
        set_ = set;
        numbers_.begin(set);
        chain_.clear();
    }
    [[nodiscard]] double next_flops() const override { return numbers_.next_flops(); }
    bool run_unit() override {
        if (!numbers_.run_unit()) return false;
        add_styles();
        return true;
    }
    [[nodiscard]] sdk::View tokens() const override {
        return sdk::slice(wide_.view(), 0, 0, set_.rows);
    }
    [[nodiscard]] sdk::View watched_chain() const override;

  private:
    [[nodiscard]] const TorusNetwork &network() const {
        return static_cast<const TorusNetwork &>(*set_.network);
    }
    void add_styles();

    sdk::Compute compute_;
    blocks::DiffusionSampler numbers_;
    blocks::TokenSet set_;
    sdk::Tensor wide_;                 // (most rows, 195)
    std::vector<std::int32_t> rows_;   // the picture of each row
    mutable std::vector<float> chain_; // (denoising steps + 1, 195)
};

void StyledSampler::add_styles() {
    const sdk::View styles = network().style_rows();
    const std::int64_t images = styles.shape[0];
    rows_.clear();
    for (std::int64_t row = 0; row < set_.rows; ++row) {
        rows_.push_back(static_cast<std::int32_t>(row * images / set_.rows));
    }
    compute_.copy(numbers_.tokens(), sdk::slice(tokens(), 1, 0, kTokenNumbers));
    compute_.gather_rows(sdk::reshape(styles, {1, images, blocks::kStyleNumbers}),
                         sdk::host_view(rows_.data(), {1, set_.rows}),
                         sdk::slice(sdk::reshape(tokens(), {1, set_.rows, kTokenWidth}), 2,
                                    kTokenNumbers, blocks::kStyleNumbers));
}

sdk::View StyledSampler::watched_chain() const {
    const sdk::View narrow = numbers_.watched_chain();
    if (narrow.data == nullptr) return {};
    const blocks::Style &style = network().styles()[0];
    const auto *from = static_cast<const float *>(narrow.data);
    chain_.clear();
    for (std::int64_t step = 0; step < narrow.shape[0]; ++step, from += kTokenNumbers) {
        chain_.insert(chain_.end(), from, from + kTokenNumbers);
        chain_.insert(chain_.end(), style.begin(), style.end());
    }
    return sdk::host_view(chain_.data(), {narrow.shape[0], kTokenWidth});
}

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
    return std::make_unique<StyledSampler>(compute, head, spec);
}

TorusNetwork::TorusNetwork(const sdk::Compute &compute, const TorusModel &model,
                           const blocks::RunSpec &spec, std::int64_t batch)
    : compute_(compute), model_(model), grid_{spec.grid.rows, spec.grid.columns},
      images_(spec.images()), batch_(batch), known_(spec.known), styles_(model.trunk, spec),
      trunk_(compute, model.trunk, grid_, images_, batch > images_) {
    embedded_ = compute_.allocate({images_ * tokens(), kTokenNumbers + 1});
    compute_.fill(1.0F, embedded_);
    compute_.fill(0.0F, trunk_.input());
    wanted_ = compute_.allocate({batch_ * tokens() * model.trunk.config.width});
    style_rows_ = compute_.allocate({images_, blocks::kStyleNumbers});
    index_.reserve(static_cast<std::size_t>(batch_ * tokens()));
    use_styles();
}

void TorusNetwork::use_styles() {
    std::vector<float> rows;
    for (std::int64_t image = 0; image < images_; ++image) {
        const blocks::Style &style = styles_[static_cast<std::size_t>(image)];
        rows.insert(rows.end(), style.begin(), style.end());
    }
    compute_.upload(sdk::host_view(rows.data(), {images_, blocks::kStyleNumbers}), style_rows_);
    trunk_.set_conditions(styles_.conditions(compute_), {});
}

// The pictures take over the style of what is given.
void TorusNetwork::give(const sdk::View &given) {
    std::vector<float> wide(static_cast<std::size_t>(tokens() * kTokenWidth));
    compute_.download(sdk::reshape(given, {tokens(), kTokenWidth}),
                      sdk::host_view(wide.data(), {tokens(), kTokenWidth}));
    compute_.synchronize();
    if (known_.empty()) known_.assign(static_cast<std::size_t>(tokens()), 0);
    styles_.give(wide, known_);
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

sdk::View TorusNetwork::conditions() const {
    const std::int64_t width = model_.trunk.config.width;
    return sdk::reshape(sdk::slice(wanted_.view(), 0, 0, batch_ * wanted_count_ * width),
                        {batch_, wanted_count_, width});
}

} // namespace tessera::mar
