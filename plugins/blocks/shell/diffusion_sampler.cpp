// Tokens from conditions by a diffusion head.
#include "blocks/shell/diffusion_sampler.hpp"

#include "blocks/model/unit_size.hpp"

#include <algorithm>
#include <utility>

namespace tessera::blocks {
namespace {

constexpr double kUnitFlops = 5e8; // below 10 ms on two cores

// What the head samples: the token, or its difference to a guess that keeps the same range.
DiffusionSettings for_head(DiffusionSettings settings, bool differences) {
    if (differences && settings.tokens.is_on()) {
        const double reach = settings.tokens.high - settings.tokens.low;
        settings.tokens = {-reach, reach};
    }
    return settings;
}

} // namespace

DiffusionSampler::DiffusionSampler(const sdk::Compute &compute, const TokenHead &head,
                                   const Linear *guess, SamplerSpec spec)
    : compute_(compute), head_(head), guess_(guess), spec_(std::move(spec)),
      tables_(compute, head, for_head(spec_.diffusion, guess != nullptr), spec_.denoise_counts),
      guided_(tables_.is_guided()), chain_(compute, head, spec_.max_rows,
                                           std::max(tables_.most_steps(), 1), guided_, spec_.path) {
    x_ = compute_.allocate({spec_.max_rows * width()});
    if (guess_ != nullptr) {
        guesses_ = compute_.allocate({(guided_ ? 3 : 1) * spec_.max_rows * width()});
    }
    if (spec_.diffusion.tokens.is_on()) {
        nothing_ = compute_.allocate({spec_.max_rows * width()});
        compute_.fill(0.0f, nothing_);
    }
    if (!spec_.watches) return;
    const std::int64_t most = tables_.most_steps() + 1;
    trace_.resize(static_cast<std::size_t>(most * width()));
    if (guess_ != nullptr) seen_ = compute_.allocate({most, width()});
}

void DiffusionSampler::begin(const TokenSet &set) {
    set_ = set;
    const sdk::View x = tokens();
    DenoiseSet chain;
    if (set.recorded != nullptr) {
        compute_.copy(set.recorded->initial, x);
        chain.noise = &set.recorded->steps;
    } else {
        tessera_random random{};
        random.stream = TESSERA_STREAM_INITIAL_NOISE;
        random.seed = spec_.seed;
        random.index = set.noise_index;
        compute_.normal(random, x);
        const double scale =
            initial_noise_scale(spec_.diffusion.integrator, spec_.diffusion.temperature);
        if (scale != 1.0) compute_.scale_offset(x, static_cast<float>(scale), 0.0f, x);
        chain.random = random;
        chain.random.stream = TESSERA_STREAM_STEP_NOISE;
    }
    chain.condition = set.conditions;
    if (guess_ != nullptr) make_guesses(set.conditions, set.guidance);
    tables_.prepare(set.denoise_steps, set.guidance, chain);
    chain_.begin(chain, set.rows);
    step_ = 0;
    steps_ = static_cast<int>(chain.steps.size());
    traced_ = 0;
    watch();
}

double DiffusionSampler::flops_of_a_pass() const {
    return head_.flops(static_cast<double>(guided_ ? 2 * set_.rows : set_.rows));
}

int DiffusionSampler::step_count() const {
    if (set_.watched_row >= 0) return 1; // every one is looked at
    const double unit = unit_flops(compute_, kUnitFlops);
    const auto fitting = static_cast<int>(std::min(unit / flops_of_a_pass(), 1e6));
    return std::clamp(fitting, 1, steps_ - step_);
}

double DiffusionSampler::next_flops() const { return step_count() * flops_of_a_pass(); }

bool DiffusionSampler::run_unit() {
    const int count = step_count();
    chain_.advance(step_, count, tokens());
    watch();
    step_ += count;
    if (step_ < steps_) return false;
    if (guess_ != nullptr) {
        const sdk::View flat = sdk::slice(x_.view(), 0, 0, set_.rows * width());
        compute_.add(flat, sdk::slice(guesses_.view(), 0, 0, set_.rows * width()), flat);
    }
    bound(tokens());
    return true;
}

sdk::View DiffusionSampler::tokens() const {
    const std::int64_t shape[] = {set_.rows, width()};
    return sdk::make_view(x_.view().data, TESSERA_DTYPE_F32, shape, compute_.memory());
}

// What the sampled tokens will be differences to, guided as they are.
void DiffusionSampler::make_guesses(const sdk::View &conditions, double guidance) {
    const auto rows_at = [&](std::int64_t first, std::int64_t rows) {
        return sdk::reshape(sdk::slice(guesses_.view(), 0, first * width(), rows * width()),
                            {rows, width()});
    };
    const sdk::View made = rows_at(guided_ ? set_.rows : 0, conditions.shape[0]);
    compute_.linear(conditions, guess_->weight, {.bias = guess_->bias.optional()}, made);
    if (!guided_) return bound(made);
    compute_.guide(sdk::slice(made, 0, 0, set_.rows), sdk::slice(made, 0, set_.rows, set_.rows),
                   static_cast<float>(guidance), static_cast<std::uint32_t>(width()),
                   rows_at(0, set_.rows));
    bound(rows_at(0, set_.rows));
}

// Moves what lies outside the range of tokens to its border.
void DiffusionSampler::bound(const sdk::View &x) {
    const CleanRange &range = spec_.diffusion.tokens;
    if (!range.is_on()) return;
    tessera_reverse options{};
    options.clean_x = 1.0f;
    options.clean_scale = 1.0f;
    options.clean_low = static_cast<float>(range.low);
    options.clean_high = static_cast<float>(range.high);
    const sdk::View nothing = // the operation reads a prediction, if only times 0
        sdk::reshape(sdk::slice(nothing_.view(), 0, 0, x.shape[0] * width()),
                     {x.shape[0], width()});
    compute_.reverse_step(x, nothing, options, x);
}

// The watched token as it is now.
void DiffusionSampler::watch() {
    if (set_.watched_row < 0) return;
    sdk::View token = sdk::slice(tokens(), 0, set_.watched_row, 1);
    if (seen_) {
        const sdk::View with_guess = sdk::slice(seen_.view(), 0, traced_, 1);
        const sdk::View guess = sdk::slice(guesses_.view(), 0, set_.watched_row * width(), width());
        compute_.add(token, sdk::reshape(guess, {1, width()}), with_guess);
        token = with_guess;
    }
    compute_.download(token, sdk::host_view(trace_.data() + traced_ * width(), {1, width()}));
    ++traced_;
}

sdk::View DiffusionSampler::watched_chain() const {
    if (set_.watched_row < 0) return {};
    return sdk::host_view(trace_.data(), {traced_, width()});
}

} // namespace tessera::blocks
