#include "host/edit/play_control.hpp"

#include <tessera/ext/features.h>
#include <tessera/ext/inputs.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tessera {

// splitmix64 (Steele, Lea and Flood 2014), folded to six digits.
std::uint64_t next_seed(std::uint64_t seed) {
    std::uint64_t z = seed + 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return (z ^ (z >> 31)) % 1'000'000;
}

PlayControl::PlayControl(std::unique_ptr<Player> player, RecordingTarget &recorded,
                         std::function<std::uint64_t()> now_us, const PlayOptions &initial)
    : options(initial), player_(std::move(player)), recorded_(recorded), history_(kBytes),
      now_us_(std::move(now_us)), state_(player_->state()) {}

void PlayControl::submit() {
    if (guest_ != nullptr) {
        problem_.clear();
        played_ = true;
        return guest_->play();
    }
    problem_.clear();
    played_ = true;
    auto given = inputs ? inputs() : PlayInputs{};
    waits_for_inputs_ = !given.has_value();
    if (waits_for_inputs_) return;
    add_style(given->list);
    RunRecord run;
    run.seed = options.seed;
    run.values = player_->params().to_json();
    run.keeps_pixels = given->keeps_pixels;
    job_ = player_->submit(
        {.seed = options.seed,
         .preview_every = 1,
         .step_budget_us = static_cast<std::uint32_t>(1000 * options.step_budget_ms),
         .inputs = std::move(given->list),
         .on_device = true});
    run.job = last_job_ = job_;
    history_.begin(std::move(run));
    requested_us_ = now_us_();
    waiting_for_picture_ = true;
}

void PlayControl::set_guest(PlayGuest *guest) {
    if (guest == guest_) return;
    guest_ = guest;
    waits_for_inputs_ = false;
    player_->cancel();
}

std::uint64_t PlayControl::submit_for_guest(PlayRequest request) {
    request.tag = RecordingTarget::kNotShown;
    add_style(request.inputs);
    last_job_ = player_->submit(std::move(request));
    return last_job_;
}

// ---- what it sees -------------------------------------------------------------------------------

bool PlayControl::can_encode() const {
    return find_slot(player_->inputs(), TESSERA_INPUT_ENCODE) != nullptr;
}

void PlayControl::encode(const std::shared_ptr<const Image> &picture) {
    if (!can_encode() || guest_ != nullptr || busy() || picture == nullptr) return;
    encoded_ = {picture, nullptr};
    PlayRequest request;
    request.tag = RecordingTarget::kNotShown;
    request.step_budget_us = static_cast<std::uint32_t>(1000 * options.step_budget_ms);
    request.inputs = {{TESSERA_INPUT_ENCODE, *picture}};
    encode_job_ = last_job_ = player_->submit(std::move(request));
}

// One that a run put an end to is asked for again.
void PlayControl::note_encoded(const PlayerEvent &event) {
    if (event.job != encode_job_) return;
    if (event.type == PlayerEvent::Type::kCancelled) encoded_ = {};
    if (event.type == PlayerEvent::Type::kFailed) problem_ = event.error.message;
    const bool is_dense = event.type == PlayerEvent::Type::kFeatures &&
                          event.name == TESSERA_FEATURE_DENSE && event.shape.size() == 3 &&
                          event.dtype == TESSERA_DTYPE_F32;
    if (!is_dense) return;
    auto dense = std::make_shared<Latents>();
    dense->height = static_cast<std::uint32_t>(event.shape[0]);
    dense->width = static_cast<std::uint32_t>(event.shape[1]);
    dense->channels = static_cast<std::uint32_t>(event.shape[2]);
    dense->values = floats_of(event.bytes);
    encoded_.dense = std::move(dense);
}

void PlayControl::play() {
    if (options.rolling && played_) options.seed = next_seed(options.seed);
    submit();
}

void PlayControl::restart() { submit(); }

void PlayControl::cancel() {
    options.loop = false;
    waits_for_inputs_ = false;
    if (player_->busy()) cancelled_us_ = now_us_();
    player_->cancel();
}

void PlayControl::roll() {
    options.seed = next_seed(options.seed);
    submit();
}

void PlayControl::set_seed(std::uint64_t seed) {
    if (seed == options.seed) return;
    options.seed = seed;
    play_changed();
}

void PlayControl::play_changed() {
    if (busy() || (options.live && played_)) submit();
}

void PlayControl::take_change(const Result<bool> &changed) {
    if (!changed) {
        problem_ = changed.error().message;
    } else if (*changed) {
        play_changed();
    }
}

void PlayControl::set_value(std::uint32_t id, double value) {
    take_change(player_->set_value(id, value));
}

void PlayControl::set_text(std::string_view key, std::string_view text) {
    take_change(player_->set_text(key, text));
}

void PlayControl::reset_value(std::uint32_t id) {
    const Param *const param = player_->params().find(id);
    if (param == nullptr) return;
    if (param->type == ParamType::kText) {
        set_text(param->key, param->initial_text);
    } else {
        set_value(id, param->initial);
    }
}

void PlayControl::reset_values() {
    player_->reset_values();
    play_changed();
}

bool PlayControl::takes_style() const {
    return find_slot(player_->inputs(), kStyleInput) != nullptr;
}

Result<void> PlayControl::set_style(StylePicture style) {
    if (style.image != nullptr && !takes_style()) {
        return make_error(Status::kUnsupported, "{} takes no style from a picture",
                          player_->info().name);
    }
    const bool changed = style.image != style_.image;
    style_ = std::move(style);
    if (changed) play_changed();
    return {};
}

void PlayControl::add_style(std::vector<RequestInput> &given) const {
    if (style_.image != nullptr) given.push_back({std::string(kStyleInput), *style_.image});
}

void PlayControl::adopt(std::uint64_t seed, const std::string &values_json,
                        const StylePicture &style) {
    options.seed = seed;
    style_ = style;
    if (const auto unused = player_->load_values(values_json); !unused) {
        problem_ = unused.error().message;
    }
}

Preset PlayControl::preset() const {
    return {player_->info().id, player_->info().model, options.seed, player_->params().to_json()};
}

Result<void> PlayControl::apply(const Preset &preset) {
    if (preset.plugin != player_->info().id) {
        problem_ =
            fmt::format("the preset is for '{}'; this is '{}'", preset.plugin, player_->info().id);
        return Error{Status::kInvalidArgument, problem_};
    }
    auto unused = player_->load_values(preset.values);
    if (!unused) {
        problem_ = unused.error().message;
        return unused.error();
    }
    options.seed = preset.seed;
    play_changed();
    if (unused->empty()) return {};
    problem_ = fmt::format("the preset sets what {} does not have: {}", player_->info().name,
                           fmt::join(*unused, ", "));
    return {};
}

void PlayControl::note(const PlayerEvent &event) {
    history_.note(event);
    switch (event.type) {
    case PlayerEvent::Type::kProgress:
        if (state_.last_step_us > 0) stats_.steps.push(state_.last_step_us);
        break;
    case PlayerEvent::Type::kImage:
        ++stats_.pictures;
        if (waiting_for_picture_) stats_.first_picture_us = now_us_() - requested_us_;
        waiting_for_picture_ = false;
        break;
    case PlayerEvent::Type::kFinished:
        ++stats_.finished;
        settled_job_ = std::max(settled_job_, event.job);
        if (options.loop) play();
        break;
    case PlayerEvent::Type::kCancelled:
        ++stats_.cancelled;
        if (cancelled_us_) stats_.cancel_us = now_us_() - *cancelled_us_;
        cancelled_us_.reset();
        settled_job_ = std::max(settled_job_, event.job);
        break;
    case PlayerEvent::Type::kFailed:
        ++stats_.failed;
        settled_job_ = std::max(settled_job_, event.job);
        options.loop = false;
        problem_ = event.error.message;
        break;
    case PlayerEvent::Type::kActivated:
    case PlayerEvent::Type::kCells:
    case PlayerEvent::Type::kFeatures:
        break;
    }
}

void PlayControl::look_for_new_build() {
    if (!player_->take_new_build()) return;
    const bool was_busy = busy();
    if (auto renewed = player_->renew(); !renewed) {
        problem_ = renewed.error().message;
        return;
    }
    problem_.clear();
    if (was_busy) restart();
}

void PlayControl::update() {
    const auto events = player_->take_events();
    state_ = player_->state();
    // Pictures first: a picture is published before its news, and a run that is over has all.
    for (const RecordedPicture &picture : recorded_.take()) {
        if (picture.info.tag != RecordingTarget::kNotShown) {
            history_.add(picture);
        } else if (guest_ != nullptr) {
            guest_->note(picture);
        }
    }
    for (const PlayerEvent &event : events) {
        if (event.tag != RecordingTarget::kNotShown) {
            note(event);
        } else if (guest_ != nullptr) {
            guest_->note(event);
        } else {
            note_encoded(event);
        }
    }
    if (waits_for_inputs_) submit();
}

} // namespace tessera
