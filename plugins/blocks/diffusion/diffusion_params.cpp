// The parameters of every generator that samples tokens.
#include "blocks/diffusion/diffusion_params.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <tuple>

namespace tessera::blocks {
namespace {

constexpr const char *kSampling = "Sampling";
constexpr const char *kFast = "Fast sampling";

enum class Spacing { kEven, kStride, kLogSnr, kModelOwn };
constexpr std::pair<Spacing, const char *> kSpacingNames[] = {
    {Spacing::kEven, "even"},
    {Spacing::kStride, "stride"},
    {Spacing::kLogSnr, "log-snr"},
    {Spacing::kModelOwn, "model"}, // last: offered only where the model has one
};

bool is_whole_number(const std::string &text) {
    return !text.empty() && text.size() < 6 &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

void read_number(const Config &defaults, const char *key, sdk::FloatParam &param) {
    if (defaults.has(key)) param.initial = defaults.number(key, param.min, param.max);
}

// Choices are described by lists of value and name; where one stands in its list is what a request
// says.
template <class Enum, std::size_t N>
std::vector<std::string> labels(const std::pair<Enum, const char *> (&names)[N]) {
    std::vector<std::string> result;
    for (const auto &[value, name] : names) result.emplace_back(name);
    return result;
}

template <class Enum, std::size_t N>
std::int64_t place_of(Enum wanted, const std::pair<Enum, const char *> (&names)[N]) {
    return std::find_if(std::begin(names), std::end(names),
                        [&](const auto &entry) { return entry.first == wanted; }) -
           std::begin(names);
}

template <class Enum, std::size_t N>
void read_choice(const Config &defaults, const char *key,
                 const std::pair<Enum, const char *> (&names)[N], sdk::ChoiceParam &param) {
    if (!defaults.has(key)) return;
    const std::string wanted = defaults.text(key);
    std::string all;
    for (std::size_t i = 0; i < N; ++i) {
        if (wanted == names[i].second) {
            param.initial = static_cast<std::int64_t>(i);
            return;
        }
        all += (all.empty() ? "'" : ", '") + std::string(names[i].second) + "'";
    }
    defaults.reject(key, "is '" + wanted + "', expected one of " + all);
}

template <class Enum, std::size_t N>
Enum choice(const sdk::Request &request, const sdk::ChoiceParam &param,
            const std::pair<Enum, const char *> (&names)[N]) {
    const int value = request[param];
    if (value < 0 || value >= static_cast<int>(N)) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           std::string(param.key) + " " + std::to_string(value) +
                               ", expected 0 to " + std::to_string(N - 1));
    }
    return names[value].first;
}

// What the panel and the command line say of each.
const sdk::FloatParam kGuidanceParam{
    .id = 3,
    .key = "guidance",
    .name = "Guidance",
    .group = kSampling,
    .min = 0.0,
    .max = 20.0,
    .initial = 1.0,
    .help = "How strongly the picture is pushed towards its class. 1 is off, and twice "
            "as fast."};
const sdk::ChoiceParam kScheduleParam{
    .id = 4,
    .key = "guidance_schedule",
    .name = "Guidance schedule",
    .group = kSampling,
    .help = "Linear grows with the tokens already there; constant is the same "
            "throughout."};
const sdk::FloatParam kTemperatureParam{
    .id = 5,
    .key = "temperature",
    .name = "Temperature",
    .group = kSampling,
    .min = 0.0,
    .max = 2.0,
    .initial = 1.0,
    .help = "Scales the noise of every denoising step. Lower is smoother and less "
            "varied."};
const sdk::IntParam kDenoiseParam{.id = 6,
                                  .key = "denoise_steps",
                                  .name = "Denoising steps",
                                  .group = kSampling,
                                  .min = 2,
                                  .max = kTrainSteps,
                                  .initial = 100,
                                  .flags = TESSERA_PARAM_LOG_SCALE,
                                  .help = "Reverse diffusion steps of each token."};
const sdk::ChoiceParam kSpacingParam{
    .id = 7,
    .key = "denoise_spacing",
    .name = "Denoising times",
    .group = kSampling,
    .flags = TESSERA_PARAM_ADVANCED,
    .help = "Even includes both ends; stride takes every k-th time, for counts that a "
            "whole k gives; log-snr is even in the logarithm of signal over noise; model "
            "uses the model's own list and its own number of steps."};
const sdk::ChoiceParam kIntegratorParam{
    .id = 8,
    .key = "integrator",
    .name = "Integrator",
    .group = kFast,
    .help = "How a token is denoised. Ancestral draws from what the model learnt "
            "for each step; ddim and dpm++2m follow a curve and need fewer "
            "steps: dpm++2m is second order, always with log-snr times."};
const sdk::FloatParam kEtaParam{
    .id = 9,
    .key = "eta",
    .name = "Step noise",
    .group = kFast,
    .help = "New noise in each step of ddim and dpm++2m: 0 is none, 1 as much as sampling by "
            "chance has. It mends errors of a model, and makes finer grain."};
const sdk::ChoiceParam kAnnealingParam{
    .id = 10,
    .key = "annealing",
    .name = "Annealing",
    .group = kFast,
    .help = "Takes fewer denoising steps for later tokens, which have less left open: "
            "down to the number below along a line, a cosine, or at once half way."};
const sdk::IntParam kGuidanceRefreshParam{
    .id = 26,
    .key = "guidance_refresh",
    .name = "Guidance refresh",
    .group = kFast,
    .min = 1,
    .max = 64,
    .initial = 1,
    .flags = TESSERA_PARAM_ADVANCED,
    .help = "Works out what guidance compares with only every so many steps, "
            "after the first few, and keeps the difference in between: steps "
            "of a guided run are nearly twice as fast then, and not exact. 1 "
            "is every step; 9 is what its authors use for 64 steps."};
const sdk::IntParam kTokenRefreshParam{
    .id = 27,
    .key = "token_refresh",
    .name = "Token refresh",
    .group = kFast,
    .min = 1,
    .max = 64,
    .initial = 1,
    .flags = TESSERA_PARAM_ADVANCED,
    .help = "Computes every token only every so many steps, once an eighth of them is known, and "
            "in between those that are new or changed most. Not exact: tokens of a trained model "
            "came out 3.8% off, where rounding weights to bf16 costs 0.3%. 1 is every step; 9 is "
            "what its authors use for 64 steps."};
const sdk::FloatParam kTokenShareParam{
    .id = 28,
    .key = "token_share",
    .name = "Least share of tokens",
    .group = kFast,
    .min = 0.05,
    .max = 1.0,
    .initial = 0.05,
    .flags = TESSERA_PARAM_ADVANCED,
    .help =
        "Share of the tokens that steps between those of token_refresh compute at least: more is "
        "closer to computing all, which 1 does, and slower."};
const sdk::IntParam kLastDenoiseParam{
    .id = 11,
    .key = "denoise_steps_last",
    .name = "Last denoising steps",
    .group = kFast,
    .min = 2,
    .max = kTrainSteps,
    .initial = 5,
    .flags = TESSERA_PARAM_LOG_SCALE,
    .help = "Denoising steps of the last tokens, where annealing ends."};
const sdk::FloatParam kGuidanceLowParam{
    .id = 12,
    .key = "guidance_low",
    .name = "Guidance from noise",
    .group = kFast,
    .flags = TESSERA_PARAM_ADVANCED,
    .help = "Guidance is off below this share of the noise times, where it changes "
            "little; a step without it is twice as fast."};
const sdk::FloatParam kGuidanceHighParam{
    .id = 13,
    .key = "guidance_high",
    .name = "Guidance to noise",
    .group = kFast,
    .initial = 1.0,
    .flags = TESSERA_PARAM_ADVANCED,
    .help = "Guidance is off above this share of the noise times, where it makes "
            "pictures alike; a step without it is twice as fast."};
const sdk::BoolParam kBoundParam{
    .id = 21,
    .key = "bound_tokens",
    .name = "Bound tokens",
    .group = kSampling,
    .initial = true,
    .flags = TESSERA_PARAM_ADVANCED,
    .help = "Keeps the tokens that each denoising step aims at in the range that the "
            "model knows, so that strong guidance and high temperatures stay pictures."};
const sdk::FloatParam kLevelLowParam{
    .id = 22,
    .key = "level_low",
    .name = "First level",
    .group = kFast,
    .min = -16.0,
    .max = 16.0,
    .initial = LevelRange{}.low,
    .flags = TESSERA_PARAM_ADVANCED,
    .help = "Log of signal over noise, in energy, that denoising begins at: -16 is "
            "noise alone."};
const sdk::FloatParam kLevelHighParam{
    .id = 23,
    .key = "level_high",
    .name = "Last level",
    .group = kFast,
    .min = -16.0,
    .max = 16.0,
    .initial = LevelRange{}.high,
    .flags = TESSERA_PARAM_ADVANCED,
    .help = "The same of the last denoising step, which goes to what it expects."};
const sdk::IntParam kTopKParam{
    .id = 24,
    .key = "top_k",
    .name = "Likeliest codes",
    .group = kSampling,
    .max = 1 << 20,
    .help = "Draws each token from so many of the likeliest codes only. 0 is all."};
const sdk::FloatParam kTopPParam{
    .id = 25,
    .key = "top_p",
    .name = "Share of likeliest",
    .group = kSampling,
    .help = "Draws each token from the likeliest codes that together have this share of "
            "the probability. 0 is all."};
const sdk::FloatParam kDeadlineParam{
    .id = 14,
    .key = "deadline",
    .name = "Deadline",
    .group = kFast,
    .unit = "s",
    .max = 3600.0,
    .help = "Seconds an image may take; 0 is any. When time runs short, first denoising "
            "steps and then steps are left out; the report says which settings make "
            "the same picture again."};
const sdk::TextParam kHurryParam{
    .id = 15,
    .key = "hurry",
    .name = "Hurry",
    .group = kFast,
    .flags = TESSERA_PARAM_HIDDEN,
    .help = "What a deadline did, as a setting: STEP:LEVEL,... says from which step on "
            "(counted from 1) denoising steps are halved (1), quartered (2), divided by 8 "
            "(3), and also the remaining steps halved (4), quartered (5) or made one "
            "(6)."};

} // namespace

DiffusionParams::DiffusionParams(DiffusionScope scope)
    : scope_(scope), guidance_(kGuidanceParam), schedule_(kScheduleParam),
      temperature_(kTemperatureParam), denoise_(kDenoiseParam), spacing_(kSpacingParam),
      integrator_(kIntegratorParam), eta_(kEtaParam), annealing_(kAnnealingParam),
      guidance_refresh_(kGuidanceRefreshParam), token_refresh_(kTokenRefreshParam),
      token_share_(kTokenShareParam), last_denoise_(kLastDenoiseParam),
      guidance_low_(kGuidanceLowParam), guidance_high_(kGuidanceHighParam), bound_(kBoundParam),
      level_low_(kLevelLowParam), level_high_(kLevelHighParam), top_k_(kTopKParam),
      top_p_(kTopPParam), deadline_(kDeadlineParam), hurry_(kHurryParam) {
    if (scope != DiffusionScope::kSets) { // few steps at even log-SNR
        integrator_.initial = place_of(Integrator::kDpm2m, kIntegratorNames);
    }
    if (scope == DiffusionScope::kLevels) {
        deadline_.help = "Seconds an image may take; 0 is any. When time runs short, noise levels "
                         "are left out, late ones first; the report says which settings make the "
                         "same picture again.";
    }
    if (scope == DiffusionScope::kLevelSets) denoise_.min = 1;
}

// "100" and "ddim25" become a number and a spacing that people can change; anything else is offered
// as the model's own list.
void DiffusionParams::recommend_denoising(const std::string &spec) {
    static_cast<void>(respace(spec)); // a bad one fails here
    constexpr std::pair<const char *, Spacing> kPrefixes[] = {
        {"ddim", Spacing::kStride}, {"logsnr", Spacing::kLogSnr}, {"", Spacing::kEven}};
    for (const auto &[prefix, spacing] : kPrefixes) {
        const std::string text = prefix;
        if (!spec.starts_with(text) || !is_whole_number(spec.substr(text.size()))) continue;
        denoise_.initial = std::stoll(spec.substr(text.size()));
        spacing_.initial = place_of(spacing, kSpacingNames);
        return;
    }
    own_spacing_ = spec;
    spacing_.initial = place_of(Spacing::kModelOwn, kSpacingNames);
}

void DiffusionParams::read_defaults(const Config &defaults) {
    read_number(defaults, "guidance", guidance_);
    read_choice(defaults, "guidance_schedule", kGuidanceScheduleNames, schedule_);
    read_number(defaults, "temperature", temperature_);
    if (defaults.has("denoise_steps")) {
        recommend_denoising(defaults.text_or_integer("denoise_steps"));
    }
    read_choice(defaults, "integrator", kIntegratorNames, integrator_);
    read_number(defaults, "eta", eta_);
    read_choice(defaults, "annealing", kAnnealingNames, annealing_);
    if (defaults.has("denoise_steps_last")) {
        last_denoise_.initial =
            defaults.integer("denoise_steps_last", last_denoise_.min, last_denoise_.max);
    }
    read_number(defaults, "guidance_low", guidance_low_);
    read_number(defaults, "guidance_high", guidance_high_);
    read_number(defaults, "level_low", level_low_);
    read_number(defaults, "level_high", level_high_);
    if (defaults.has("top_k")) top_k_.initial = defaults.integer("top_k", 0, top_k_.max);
    read_number(defaults, "top_p", top_p_);
}

void DiffusionParams::offer_means(bool samples) {
    means_ = true;
    if (!samples) integrator_.initial = place_of(Integrator::kMean, kIntegratorNames);
}

bool DiffusionParams::is_limit(const std::string &key) {
    return key == "tokens" || key == "guidance" || key == "temperature" || key == "eta" ||
           key == "denoise_steps";
}

void DiffusionParams::read_limits(const Config &limits) {
    const auto narrow = [&](auto &param) {
        if (!limits.has(param.key)) return;
        using Number = decltype(param.min);
        const auto [low, high] =
            limits.range(param.key, static_cast<double>(param.min), static_cast<double>(param.max));
        param.min = static_cast<Number>(low);
        param.max = static_cast<Number>(high);
        param.initial = std::clamp(param.initial, param.min, param.max);
    };
    narrow(guidance_);
    narrow(temperature_);
    narrow(eta_);
    narrow(denoise_);
    if (!limits.has("tokens")) return;
    std::tie(tokens_.low, tokens_.high) = limits.range("tokens", -1e6, 1e6);
}

std::string DiffusionParams::raised(const DiffusionSettings &settings) {
    std::string text;
    const auto add = [&](const char *key, double value, double plain) {
        if (!(value > plain)) return;
        char number[32];
        std::snprintf(number, sizeof number, "%g", value);
        text += (text.empty() ? "" : " or ") + std::string(key) + " (now " + number + ")";
    };
    add("guidance", settings.guidance, 1.0);
    add("temperature", settings.temperature, 1.0);
    return text;
}

void DiffusionParams::add_to(sdk::ParamList &params) const {
    if (scope_ == DiffusionScope::kNone) return;
    params.add(guidance_);
    if (scope_ == DiffusionScope::kCodes) {
        params.add(schedule_, labels(kGuidanceScheduleNames));
        params.add(temperature_);
        params.add(top_k_);
        params.add(top_p_);
        return;
    }
    const bool sets = scope_ != DiffusionScope::kLevels;
    const bool timed = scope_ != DiffusionScope::kLevelSets;
    if (sets) params.add(schedule_, labels(kGuidanceScheduleNames));
    params.add(temperature_);
    if (sets) {
        params.add(denoise_);
    }
    if (sets && timed) {
        std::vector<std::string> spacings = labels(kSpacingNames);
        if (own_spacing_.empty()) spacings.pop_back();
        params.add(spacing_, spacings);
    }
    if (tokens_.is_on()) params.add(bound_);
    std::vector<std::string> integrators = labels(kIntegratorNames);
    if (!means_) integrators.pop_back();
    params.add(integrator_, integrators);
    params.add(eta_);
    if (sets) {
        params.add(annealing_, labels(kAnnealingNames));
        params.add(last_denoise_);
    }
    params.add(timed ? guidance_low_ : level_low_);
    params.add(timed ? guidance_high_ : level_high_);
    if (refreshes_ && sets) params.add(guidance_refresh_);
    if (keeps_tokens_ && sets) {
        params.add(token_refresh_);
        params.add(token_share_);
    }
    if (!timed) return;
    params.add(deadline_);
    params.add(hurry_);
}

DiffusionSettings DiffusionParams::read(const sdk::Request &request) const {
    DiffusionSettings s;
    s.guidance = request[guidance_];
    s.schedule = choice(request, schedule_, kGuidanceScheduleNames);
    s.temperature = request[temperature_];
    s.integrator = integrator(request);
    s.denoise_steps = denoise_spec(request);
    if (scope_ == DiffusionScope::kLevelSets) {
        s.level_count = s.integrator == Integrator::kMean ? 1 : request[denoise_];
        s.levels = {request[level_low_], request[level_high_]};
    }
    s.eta = request[eta_];
    s.annealing = choice(request, annealing_, kAnnealingNames);
    s.last_denoise_steps = request[last_denoise_];
    s.guidance_refresh = std::max(1, static_cast<int>(request[guidance_refresh_]));
    s.token_refresh = std::max(1, static_cast<int>(request[token_refresh_]));
    s.token_share = request[token_share_];
    if (request[bound_]) s.tokens = tokens_;
    s.guidance_low = request[guidance_low_];
    s.guidance_high = request[guidance_high_];
    s.hurry = request[hurry_];
    s.top_k = request[top_k_];
    s.top_p = request[top_p_];
    check(s);
    return s;
}

Integrator DiffusionParams::integrator(const sdk::Request &request) const {
    const Integrator chosen = choice(request, integrator_, kIntegratorNames);
    if (chosen == Integrator::kMean && !means_) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           std::string(integrator_.key) + " " +
                               std::to_string(request[integrator_]) +
                               " (mean), which this model has no head for");
    }
    return chosen;
}

// Throws Failure for values that no run can have.
void DiffusionParams::check(const DiffusionSettings &s) const {
    if (scope_ == DiffusionScope::kLevelSets &&
        !(s.level_count >= 1 && s.levels.low >= -16.0 && s.levels.low < s.levels.high &&
          s.levels.high <= 16.0)) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           "denoise_steps " + std::to_string(s.level_count) + " from level_low " +
                               std::to_string(s.levels.low) + " to level_high " +
                               std::to_string(s.levels.high) +
                               ": expected at least 1 step, and levels of -16 to 16, the lower one "
                               "first");
    }
    if (s.top_k < 0 || !(s.top_p >= 0.0 && s.top_p <= 1.0)) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           "top_k " + std::to_string(s.top_k) + ", top_p " +
                               std::to_string(s.top_p) +
                               ", expected no negative number, and 0 to 1");
    }
    if (!std::isfinite(s.guidance) || !(s.temperature >= 0.0) || !(s.eta >= 0.0 && s.eta <= 1.0) ||
        s.last_denoise_steps < 2 || std::isnan(s.guidance_low) || std::isnan(s.guidance_high)) {
        throw sdk::Failure(
            sdk::Status::kInvalidArgument,
            "guidance " + std::to_string(s.guidance) + " from " + std::to_string(s.guidance_low) +
                " to " + std::to_string(s.guidance_high) + ", temperature " +
                std::to_string(s.temperature) + ", eta " + std::to_string(s.eta) +
                ", denoise_steps_last " + std::to_string(s.last_denoise_steps) +
                ": expected a finite guidance, no negative temperature, an eta of 0 to 1 and at "
                "least 2 denoising steps");
    }
}

double DiffusionParams::deadline(const sdk::Request &request) const {
    const double seconds = request[deadline_];
    if (!(seconds >= 0.0)) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           "deadline " + std::to_string(seconds) + ", expected at least 0 seconds");
    }
    return seconds;
}

std::string DiffusionParams::denoise_spec(const sdk::Request &request) const {
    const std::string count = std::to_string(request[denoise_]);
    if (choice(request, integrator_, kIntegratorNames) == Integrator::kDpm2m) {
        return "logsnr" + count;
    }
    switch (choice(request, spacing_, kSpacingNames)) {
    case Spacing::kStride:
        return "ddim" + count;
    case Spacing::kLogSnr:
        return "logsnr" + count;
    case Spacing::kModelOwn:
        return own_spacing_;
    default:
        return count;
    }
}

std::string DiffusionParams::json_of(const std::string &hurried) const {
    return std::string("{\"") + deadline_.key + "\": 0, \"" + hurry_.key + "\": \"" + hurried +
           "\"}";
}

} // namespace tessera::blocks
