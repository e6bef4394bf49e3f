// One job of the MAR generator.
#include "blocks/shell/job.hpp"

#include <tessera/ext/features.h>

#include <chrono>
#include <utility>

namespace tessera::mar {
namespace {

// Without a budget, small units are run together up to this much work.
constexpr double kNaturalUnitFlops = 1e9;

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TokenRunSpec with_deadline(TokenRunSpec spec, blocks::Deadline *deadline,
                           std::uint32_t preview_every) {
    spec.deadline = deadline;
    spec.preview_every = preview_every;
    return spec;
}

} // namespace

MarJob::MarJob(const sdk::Compute &compute, const MarModel &model, const blocks::LatentCodec &codec,
               Spec spec, sdk::Sink sink)
    : compute_(compute), model_(model), codec_(codec), sink_(sink),
      preview_every_(spec.preview_every), completion_(std::move(spec.completion)),
      deadline_(std::move(spec.deadline)), report_(std::move(spec.report)),
      images_(static_cast<int>(spec.tokens.labels.size())), seamless_(spec.tokens.seamless),
      tokens_(compute, model,
              with_deadline(std::move(spec.tokens), deadline_ ? &*deadline_ : nullptr,
                            spec.preview_every)) {
    create_buffers();
    if (encoder_) {
        phase_ = Phase::kEncode;
    } else {
        if (completion_) give_latents();
        if (tokens_.is_done()) start_pictures();
    }
    compute_.synchronize();
}

void MarJob::create_buffers() {
    const MarConfig &c = model_.config;
    const std::int64_t side = c.latent_side();
    const std::int64_t size = c.pixel_side();
    const std::int64_t channels = codec_.image_channels();
    decoder_ = std::make_unique<blocks::LayerRun>(compute_, codec_.decoder(), side, side,
                                                  blocks::LayerRun::kUnitFlops, seamless_);
    if (deadline_) {
        double flops = 0.0;
        for (int unit = 0; unit < decoder_->size(); ++unit) flops += decoder_->flops(unit);
        deadline_->expect_picture(flops);
    }
    latents_ = compute_.allocate({1, side, side, c.latent_channels});
    latents_host_.resize(static_cast<std::size_t>(side * side * c.latent_channels));
    if (compute_.memory() != TESSERA_MEMORY_HOST) {
        rgba_ = compute_.allocate({size, size, 4}, TESSERA_DTYPE_U8);
    }
    if (!completion_) return;
    token_map_ = compute_.allocate({1, c.tokens(), c.token_width()});
    if (completion_->latents.empty()) {
        encoder_ = std::make_unique<blocks::LayerRun>(compute_, codec_.encoder(), size, size);
        compute_.upload(sdk::host_view(completion_->pixels.data(), {1, size, size, channels}),
                        encoder_->input());
    } else {
        compute_.upload(
            sdk::host_view(completion_->latents.data(), {1, side, side, c.latent_channels}),
            latents_);
    }
    const auto kept = static_cast<std::int64_t>(completion_->kept_pixels.size());
    if (kept > 0) {
        kept_values_ = compute_.to_device(
            sdk::host_view(completion_->kept_values.data(), {1, kept, channels}));
    }
}

sdk::Status MarJob::step(std::uint32_t budget_us) {
    const auto start = std::chrono::steady_clock::now();
    const double budget = 1e-6 * budget_us;
    double done_flops = 0.0;
    while (phase_ != Phase::kDone) {
        const double flops = next_flops();
        const bool boundary = run_unit();
        done_flops += flops;
        if (phase_ == Phase::kDone || sink_.should_stop()) break;
        if (budget_us == 0) {
            if (boundary || done_flops + next_flops() > kNaturalUnitFlops) break;
        } else {
            const double elapsed = seconds_since(start);
            const double pace = done_flops > 0.0 ? elapsed / done_flops : 0.0;
            if (elapsed + next_flops() * std::max(pace, seconds_per_flop_) > budget) break;
        }
    }
    compute_.synchronize();
    if (done_flops > 0.0) seconds_per_flop_ = seconds_since(start) / done_flops;
    return phase_ == Phase::kDone ? sdk::Status::kDone : sdk::Status::kMore;
}

double MarJob::next_flops() const {
    switch (phase_) {
    case Phase::kEncode:
        return encoder_->flops(unit_);
    case Phase::kTokens:
        return tokens_.next_flops();
    case Phase::kDecode:
        return decoder_->flops(unit_);
    default:
        return 0.0;
    }
}

bool MarJob::run_unit() {
    switch (phase_) {
    case Phase::kEncode:
        return run_encode_unit();
    case Phase::kTokens:
        return run_token_unit();
    case Phase::kDecode:
        return run_decode_unit();
    default:
        return true;
    }
}

bool MarJob::run_encode_unit() {
    encoder_->run(unit_);
    if (++unit_ < encoder_->size()) return false;
    load_encoded_latents();
    give_latents();
    unit_ = 0;
    phase_ = Phase::kTokens;
    if (tokens_.is_done()) start_pictures();
    return true;
}

// The mean of the posterior, scaled.
void MarJob::load_encoded_latents() {
    const MarConfig &c = model_.config;
    const std::int64_t side = c.latent_side();
    const sdk::View mean =
        sdk::slice(sdk::reshape(encoder_->output(), {side * side, 2 * c.latent_channels}), 1, 0,
                   c.latent_channels);
    const sdk::View latents = sdk::reshape(latents_, {side * side, c.latent_channels});
    compute_.copy(mean, latents);
    compute_.scale_offset(latents, static_cast<float>(c.latent_scale), 0.0f, latents);
}

// latents_ as tokens; only the known ones are taken.
void MarJob::give_latents() {
    const MarConfig &c = model_.config;
    compute_.pixel_unshuffle(latents_, static_cast<std::uint32_t>(c.patch),
                             sdk::reshape(token_map_, {1, c.side(), c.side(), c.token_width()}));
    tokens_.give(token_map_);
}

bool MarJob::run_token_unit() {
    if (!tokens_.run_unit()) return false;
    sink_.progress(progress(), tokens_.is_done() ? "decoding" : "sampling");
    emit_cells();
    emit_chain();
    const bool preview = preview_every_ != 0 &&
                         static_cast<std::uint32_t>(tokens_.steps_done()) % preview_every_ == 0;
    if (preview || tokens_.is_done()) start_pictures();
    return true;
}

void MarJob::start_pictures() {
    phase_ = Phase::kDecode;
    image_ = 0;
    unit_ = 0;
    load_latents();
}

// Latents of image_ into latents_, and without the scale into the decoder.
void MarJob::load_latents() {
    const MarConfig &c = model_.config;
    const sdk::View tokens = sdk::slice(tokens_.tokens(), 0, image_, 1);
    compute_.pixel_shuffle(sdk::reshape(tokens, {1, c.side(), c.side(), c.token_width()}),
                           static_cast<std::uint32_t>(c.patch), latents_);
    compute_.scale_offset(latents_, static_cast<float>(1.0 / c.latent_scale), 0.0f,
                          decoder_->input());
}

bool MarJob::run_decode_unit() {
    if (deadline_ && unit_ == 0) deadline_->start();
    decoder_->run(unit_);
    if (++unit_ < decoder_->size()) return false;
    emit_picture();
    if (deadline_) deadline_->measured_picture();
    unit_ = 0;
    if (++image_ < images_) {
        load_latents();
    } else {
        phase_ = tokens_.is_done() ? Phase::kDone : Phase::kTokens;
    }
    if (phase_ == Phase::kDone && deadline_ && report_) {
        report_(tokens_.plan(), *deadline_, progress());
    }
    return true;
}

void MarJob::emit_picture() {
    const MarConfig &c = model_.config;
    const std::int64_t size = c.pixel_side();
    const std::int64_t channels = codec_.image_channels();
    if (kept_values_) { // given pixels are given back as they came
        const auto kept = static_cast<std::int64_t>(completion_->kept_pixels.size());
        compute_.scatter_rows(kept_values_,
                              sdk::host_view(completion_->kept_pixels.data(), {1, kept}),
                              sdk::reshape(decoder_->output(), {1, size * size, channels}));
    }
    const sdk::View picture = sdk::reshape(decoder_->output(), {size, size, channels});
    const auto pixels = static_cast<std::uint32_t>(size);
    const sdk::Frame frame = sink_.acquire_frame(pixels, pixels);
    if (frame.tensor.memory == compute_.memory()) {
        compute_.to_rgba8(picture, frame.tensor);
    } else {
        compute_.to_rgba8(picture, rgba_);
        compute_.download(rgba_, frame.tensor);
    }
    const sdk::View latents =
        sdk::host_view(latents_host_.data(), {c.latent_side(), c.latent_side(), c.latent_channels});
    compute_.download(sdk::at(latents_.view(), 0), latents);
    compute_.synchronize();
    sink_.emit(frame, progress(image_));
    sink_.features(TESSERA_FEATURE_LATENTS, latents, progress(image_));
}

void MarJob::emit_cells() {
    const std::int64_t side = model_.config.side();
    for (int image = 0; image < images_; ++image) {
        sink_.cells(sdk::host_view(tokens_.cells(image).data(), {side, side}), progress(image));
    }
}

void MarJob::emit_chain() {
    const sdk::View chain = tokens_.watched_chain();
    if (chain.data == nullptr) return;
    compute_.synchronize();
    sink_.features(TESSERA_FEATURE_CHAIN, chain, progress());
}

// A run with nothing to generate counts as one step that is done.
sdk::Progress MarJob::progress(int image) const {
    if (tokens_.step_count() == 0) return {.done = 1, .total = 1, .image = image};
    return {.done = tokens_.steps_done(), .total = tokens_.step_count(), .image = image};
}

} // namespace tessera::mar
