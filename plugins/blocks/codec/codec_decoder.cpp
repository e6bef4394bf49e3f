// Latents to pictures in units.
#include "blocks/codec/codec_decoder.hpp"

#include <utility>

namespace tessera::blocks {
namespace {

constexpr double kElementFlops = 100.0; // as in LayerRun: of what is read and written

} // namespace

CodecDecoder::CodecDecoder(const sdk::Compute &compute, const LatentCodec &codec,
                           std::int64_t height, std::int64_t width, bool wrap, std::uint64_t seed)
    : compute_(compute), steps_(codec.noisy_steps()),
      run_(compute, codec.decoder(), height, width, 0.0, wrap), seed_(seed) {
    if (!is_noisy()) return;
    const sdk::View &picture = run_.output();
    const std::int64_t rows = picture.shape[1], columns = picture.shape[2];
    const std::int64_t channels = picture.shape[3];
    clean_ = compute_.allocate({1, rows, columns, channels});
    noisy_ = compute_.allocate({rows * columns, channels});
    noise_ = compute_.allocate({rows, columns * channels});
    index_.resize(static_cast<std::size_t>(2 * rows));
}

void CodecDecoder::start(std::uint32_t image, std::function<sdk::View(int step)> recorded) {
    for (std::size_t row = 0; 2 * row < index_.size(); ++row) {
        index_[2 * row] = static_cast<std::int32_t>(image);
        index_[2 * row + 1] = static_cast<std::int32_t>(row);
    }
    recorded_ = std::move(recorded);
}

double CodecDecoder::flops(int unit) const {
    const int inner = unit % units_of_a_pass() - (is_noisy() ? 1 : 0);
    if (inner >= 0 && inner < run_.size()) return run_.flops(inner);
    return kElementFlops * static_cast<double>(sdk::element_count(run_.output()));
}

void CodecDecoder::run(int unit) {
    const int step = unit / units_of_a_pass();
    const int inner = unit % units_of_a_pass() - (is_noisy() ? 1 : 0);
    if (inner < 0) return add_noise(step);
    if (inner == run_.size()) return estimate(step);
    run_.run(inner);
}

const sdk::View &CodecDecoder::output() const { return is_noisy() ? clean_.view() : run_.output(); }

// x = alpha x0 + sigma noise, and what the network sees of it.
void CodecDecoder::add_noise(int step) {
    const NoisyStep &s = steps_[static_cast<std::size_t>(step)];
    const std::int64_t pixels = noisy_.shape(0), channels = noisy_.shape(1);
    const sdk::View noise = sdk::reshape(noise_, {pixels, channels});
    if (recorded_) {
        compute_.copy(sdk::reshape(recorded_(step), {pixels, channels}), noise);
    } else {
        const sdk::View index =
            sdk::host_view(index_.data(), {static_cast<std::int64_t>(index_.size() / 2), 2});
        tessera_random random{};
        random.stream = kDecoderStream;
        random.seed = seed_;
        random.first_draw = static_cast<std::uint32_t>(step * ((noise_.shape(1) + 3) / 4));
        random.index = &index;
        compute_.normal(random, noise_);
    }
    compute_.scale_offset(noise, s.sigma, 0.0f, noise);
    if (step == 0) {
        compute_.copy(noise, noisy_);
    } else {
        const sdk::View clean = sdk::reshape(clean_, {pixels, channels});
        compute_.scale_offset(clean, s.alpha, 0.0f, clean);
        compute_.add(clean, noise, noisy_);
    }
    const sdk::View seen = sdk::reshape(run_.second(), {pixels, channels + 1});
    compute_.scale_offset(noisy_, s.in, 0.0f, sdk::slice(seen, 1, 0, channels));
    compute_.fill(s.time, sdk::slice(seen, 1, channels, 1));
}

void CodecDecoder::estimate(int step) {
    const NoisyStep &s = steps_[static_cast<std::size_t>(step)];
    const std::int64_t pixels = noisy_.shape(0), channels = noisy_.shape(1);
    tessera_reverse options{};
    options.clean_x = s.skip;
    options.clean_model = s.out;
    options.clean_low = -1.0f;
    options.clean_high = 1.0f;
    options.clean_scale = 1.0f;
    compute_.reverse_step(noisy_, sdk::reshape(run_.output(), {pixels, channels}), options,
                          sdk::reshape(clean_, {pixels, channels}));
}

} // namespace tessera::blocks
