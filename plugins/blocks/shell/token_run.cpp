// One autoregressive run of MAR over the tokens of a few images.
#include "blocks/shell/token_run.hpp"

#include <tessera/generator.h>

#include <algorithm>
#include <utility>

namespace tessera::mar {
namespace {

constexpr double kUnitFlops = 1e9;

blocks::RunPlan make_plan(const TokenRunSpec &spec, std::int64_t tokens) {
    const blocks::DiffusionSettings &d = spec.diffusion;
    const auto given =
        std::count_if(spec.known.begin(), spec.known.end(), [](auto k) { return k != 0; });
    blocks::RunSettings settings;
    settings.steps = spec.steps;
    settings.denoise_steps = static_cast<int>(blocks::respace(d.denoise_steps).size());
    settings.annealing = d.annealing;
    settings.last_denoise_steps = d.last_denoise_steps;
    settings.hurry = d.hurry;
    return {settings, static_cast<int>(tokens - given)};
}

// Numbers of denoising steps that the run may come to use.
std::vector<int> denoise_counts(const TokenRunSpec &spec, const blocks::RunPlan &plan) {
    std::vector<int> counts;
    int most = 0;
    for (int k = 0; k < plan.size(); ++k) {
        counts.push_back(plan[k].denoise_steps);
        most = std::max(most, counts.back());
    }
    if (spec.deadline == nullptr) return counts;
    for (int count = 2; count < most; ++count) counts.push_back(count);
    return counts;
}

} // namespace

TokenRun::TokenRun(const sdk::Compute &compute, const MarModel &model, TokenRunSpec spec)
    : compute_(compute), model_(model), spec_(std::move(spec)),
      plan_(make_plan(spec_, model.config.tokens())), trial_(plan_),
      tables_(compute, model.head, spec_.diffusion, denoise_counts(spec_, plan_)),
      guided_(tables_.is_guided()) {
    const auto tokens = static_cast<int>(model.config.tokens());
    if (spec_.orders.empty()) {
        for (std::int64_t image = 0; image < images(); ++image) {
            spec_.orders.push_back(blocks::random_order(
                spec_.seed, spec_.first_image + static_cast<std::uint32_t>(image), tokens,
                spec_.known));
        }
    }
    cells_.assign(static_cast<std::size_t>(images() * tokens), TESSERA_CELL_UNKNOWN);
    for (std::size_t i = 0; i < cells_.size() && !spec_.known.empty(); ++i) {
        if (spec_.known[i % spec_.known.size()] != 0) cells_[i] = TESSERA_CELL_GIVEN;
    }
    if (spec_.seamless) plan_rounds();
    allocate();
    if (!is_done()) start_step();
}

// The orders of the rounds come after those of the plan, image by image.
void TokenRun::plan_rounds() {
    const MarConfig &c = model_.config;
    rounds_ = blocks::seam_rounds(static_cast<int>(c.side()), spec_.steps, spec_.known);
    std::vector<std::uint8_t> known(static_cast<std::size_t>(c.tokens()));
    for (int round = 0; round < static_cast<int>(rounds_.size()); ++round) {
        for (const blocks::UnmaskStep &step : rounds_[round].steps) {
            seam_steps_.push_back({round, step});
        }
        std::transform(rounds_[round].wanted.begin(), rounds_[round].wanted.end(), known.begin(),
                       [](std::uint8_t wanted) { return static_cast<std::uint8_t>(wanted == 0); });
        for (std::int64_t image = 0; image < images(); ++image) {
            spec_.orders.push_back(blocks::random_order(
                spec_.seed, spec_.first_image + static_cast<std::uint32_t>(image),
                static_cast<int>(c.tokens()), known));
        }
    }
    places_.resize(static_cast<std::size_t>(images() * c.tokens()));
    token_at_.resize(static_cast<std::size_t>(c.tokens()));
}

void TokenRun::allocate() {
    const MarConfig &c = model_.config;
    const int unknown = plan_.size() == 0 ? 0 : plan_[0].tokens.unknown_before;
    std::int64_t widest_step = spec_.deadline != nullptr ? std::max(unknown, 1) : 1;
    for (int k = 0; k < step_count(); ++k) {
        const blocks::UnmaskStep step = step_of(plan_, k).tokens;
        widest_step = std::max<std::int64_t>(widest_step, step.unknown_before - step.first);
    }
    const std::int64_t max_rows = images() * widest_step;
    const std::int64_t batch = guided_ ? 2 * images() : images();
    tokens_ = compute_.allocate({images(), c.tokens(), c.token_width()});
    compute_.fill(0.0f, tokens_);
    x_ = compute_.allocate(
        {std::max(max_rows, images() * (c.tokens() - unknown)) * c.token_width()});
    if (c.local_kernel != 0) {
        guesses_ = compute_.allocate({(guided_ ? 3 : 1) * max_rows * c.token_width()});
    }
    towers_ = std::make_unique<Towers>(compute_, model_, batch);
    for (std::int64_t image = 0; image < images(); ++image) {
        towers_->set_class(image, spec_.labels[image], spec_.mix);
        if (guided_) towers_->set_class(images() + image, -1);
    }
    chain_ = std::make_unique<blocks::DenoiseChain>(
        compute_, model_.head, max_rows, std::max(tables_.most_steps(), 1), guided_, spec_.path);
    known_.reserve(static_cast<std::size_t>(batch * c.tokens()));
    wanted_.reserve(static_cast<std::size_t>(batch * c.tokens()));
    wanted_tokens_.reserve(static_cast<std::size_t>(images() * c.tokens()));
    noise_index_.reserve(static_cast<std::size_t>(2 * max_rows));
    if (spec_.watched >= 0) {
        const std::int64_t most = tables_.most_steps() + 1;
        trace_.resize(static_cast<std::size_t>(most * c.token_width()));
        if (c.local_kernel != 0) seen_ = compute_.allocate({most, c.token_width()});
    }
}

void TokenRun::give(const sdk::View &tokens) {
    const std::int64_t width = model_.config.token_width();
    std::vector<std::int32_t> positions; // of every image
    std::vector<std::int32_t> once;
    for (std::size_t i = 0; i < spec_.known.size(); ++i) {
        if (spec_.known[i] != 0) once.push_back(static_cast<std::int32_t>(i));
    }
    if (once.empty()) return;
    for (std::int64_t image = 0; image < images(); ++image) {
        positions.insert(positions.end(), once.begin(), once.end());
    }
    const auto count = static_cast<std::int64_t>(once.size());
    const std::int64_t shape[] = {images(), count, width};
    const sdk::View given =
        sdk::make_view(x_.view().data, TESSERA_DTYPE_F32, shape, compute_.memory());
    for (std::int64_t image = 0; image < images(); ++image) {
        compute_.gather_rows(tokens, sdk::host_view(once.data(), {1, count}),
                             sdk::slice(given, 0, image, 1));
    }
    compute_.scatter_rows(given, sdk::host_view(positions.data(), {images(), count}), tokens_);
    towers_->embed(given, positions, images(), 0);
    if (guided_) towers_->embed(given, positions, images(), images());
    compute_.synchronize(); // the index vectors end here
}

std::span<const std::uint8_t> TokenRun::cells(int image) const {
    const auto tokens = static_cast<std::size_t>(model_.config.tokens());
    return std::span(cells_).subspan(static_cast<std::size_t>(image) * tokens, tokens);
}

double TokenRun::next_flops() const {
    if (is_done()) return 0.0;
    if (phase_ == Phase::kTowers) return towers_->unit_flops(unit_);
    return denoise_count() * model_.head.flops(static_cast<double>(guided_ ? 2 * rows_ : rows_));
}

bool TokenRun::run_unit() {
    if (is_done()) return false;
    if (phase_ == Phase::kTowers) {
        if (unit_ == 0 && spec_.deadline != nullptr) spec_.deadline->start();
        towers_->run_unit(unit_);
        if (++unit_ == towers_->unit_count()) start_denoise();
        return false;
    }
    const int count = denoise_count();
    chain_->advance(reverse_step_, count, step_tokens());
    watch();
    reverse_step_ += count;
    if (reverse_step_ < reverse_count_) return false;
    finish_step();
    return true;
}

// Step k of the run when `plan` is what it does at first; the seam is denoised as its last step is.
blocks::RunStep TokenRun::step_of(const blocks::RunPlan &plan, int k) const {
    if (k < plan.size()) return plan[k];
    return {seam_steps_[static_cast<std::size_t>(k - plan.size())].tokens,
            plan[plan.size() - 1].denoise_steps};
}

// Steps [first, end) of a plan, and the pictures from there on.
blocks::Work TokenRun::work_of(const blocks::RunPlan &plan, int first, int end) const {
    blocks::Work work;
    for (int k = first; k < end; ++k) {
        const blocks::UnmaskStep step = step_of(plan, k).tokens;
        const std::int64_t known = model_.config.tokens() - step.unknown_before;
        const std::int64_t wanted = step.unknown_before - step.first;
        work.tower += towers_->flops(known, wanted);
        work.head += tables_.work(step_of(plan, k).denoise_steps,
                                  static_cast<double>(images() * wanted), model_.head.flops(1.0));
        const bool last = k + 1 == plan.size() + static_cast<int>(seam_steps_.size());
        const bool shown = spec_.preview_every != 0 &&
                           static_cast<std::uint32_t>(k + 1) % spec_.preview_every == 0;
        if (last || shown) work.pictures += static_cast<double>(images());
    }
    return work;
}

// The lowest level at which this step still leaves time for the rest one level higher: what is
// left out is left out late, where it changes least.
void TokenRun::keep_deadline() {
    for (int level = plan_.level(); level < blocks::kHurryLevels; ++level) {
        trial_ = plan_;
        trial_.hurry(step_, level);
        blocks::Work work = work_of(trial_, step_, step_ + 1);
        trial_.hurry(step_ + 1, level + 1);
        const blocks::Work rest =
            work_of(trial_, step_ + 1, trial_.size() + static_cast<int>(seam_steps_.size()));
        work.tower += rest.tower;
        work.head += rest.head;
        work.pictures += rest.pictures;
        if (spec_.deadline->fits(work)) return plan_.hurry(step_, level);
    }
    plan_.hurry(step_, blocks::kHurryLevels);
}

void TokenRun::start_step() {
    if (spec_.deadline != nullptr && step_ < plan_.size()) keep_deadline();
    if (step_ >= plan_.size()) {
        const int round = seam_steps_[static_cast<std::size_t>(step_ - plan_.size())].round;
        if (round != round_) {
            round_ = round;
            start_round();
        }
    }
    choose_tokens(step_of(plan_, step_).tokens);
    towers_->start(known_, wanted_);
    unit_ = 0;
    phase_ = Phase::kTowers;
}

// All tokens as they are seen in the round.
void TokenRun::start_round() {
    const auto side = static_cast<int>(model_.config.side());
    const auto tokens = static_cast<std::int32_t>(model_.config.tokens());
    for (std::size_t i = 0; i < places_.size(); ++i) {
        const std::int32_t token = static_cast<std::int32_t>(i) % tokens;
        places_[i] = blocks::rolled(token, side, rounds_[static_cast<std::size_t>(round_)]);
        token_at_[static_cast<std::size_t>(places_[i])] = token;
    }
    towers_->embed(tokens_, places_, images(), 0);
    if (guided_) towers_->embed(tokens_, places_, images(), images());
}

// Which tokens are known and which are wanted, by where they are seen, in raster order for each
// image.
void TokenRun::choose_tokens(const blocks::UnmaskStep &step) {
    const auto tokens = static_cast<std::int32_t>(model_.config.tokens());
    const auto add = [&](std::span<const std::int32_t> order, std::vector<std::int32_t> &out) {
        const auto begin = static_cast<std::ptrdiff_t>(out.size());
        for (const std::int32_t token : order) {
            out.push_back(round_ < 0 ? token : places_[static_cast<std::size_t>(token)]);
        }
        std::sort(out.begin() + begin, out.end());
    };
    known_.clear();
    wanted_.clear();
    for (std::int64_t image = 0; image < images(); ++image) {
        const std::span<const std::int32_t> order = spec_.orders[(round_ + 1) * images() + image];
        add(order.subspan(static_cast<std::size_t>(step.unknown_before)), known_);
        add(order.subspan(static_cast<std::size_t>(step.first),
                          static_cast<std::size_t>(step.unknown_before - step.first)),
            wanted_);
    }
    rows_ = static_cast<std::int64_t>(wanted_.size());
    const std::int64_t per_image = rows_ / images();
    wanted_tokens_.clear();
    noise_index_.clear();
    for (std::int64_t row = 0; row < rows_; ++row) {
        const std::int32_t token = round_ < 0 ? wanted_[row] : token_at_[wanted_[row]];
        const std::uint32_t stream =
            spec_.first_image + static_cast<std::uint32_t>(row / per_image);
        wanted_tokens_.push_back(token);
        noise_index_.push_back(static_cast<std::int32_t>(stream));
        noise_index_.push_back(token + (round_ + 1) * tokens); // every round has noise of its own
    }
    noise_index_view_ = sdk::host_view(noise_index_.data(), {rows_, 2});
    if (guided_) { // the unconditional half sees the same tokens
        known_.resize(2 * known_.size());
        std::copy_n(known_.begin(), known_.size() / 2, known_.begin() + known_.size() / 2);
        wanted_.resize(2 * wanted_.size());
        std::copy_n(wanted_.begin(), wanted_.size() / 2, wanted_.begin() + wanted_.size() / 2);
    }
}

void TokenRun::start_denoise() {
    const MarConfig &c = model_.config;
    const blocks::DiffusionSettings &settings = spec_.diffusion;
    if (spec_.deadline != nullptr) {
        compute_.synchronize();
        spec_.deadline->measured_tower(work_of(plan_, step_, step_ + 1).tower);
        spec_.deadline->start();
    }
    const sdk::View x = step_tokens();
    blocks::DenoiseSet set;
    if (spec_.recorded) {
        noise_ = spec_.recorded(step_);
        compute_.copy(noise_.initial, x);
        set.noise = &noise_.steps;
    } else {
        tessera_random random{};
        random.stream = TESSERA_STREAM_INITIAL_NOISE;
        random.seed = spec_.seed;
        random.index = &noise_index_view_;
        compute_.normal(random, x);
        const double scale = blocks::initial_noise_scale(settings.integrator, settings.temperature);
        if (scale != 1.0) compute_.scale_offset(x, static_cast<float>(scale), 0.0f, x);
        set.random = random;
        set.random.stream = TESSERA_STREAM_STEP_NOISE;
    }
    const sdk::View conditions = towers_->conditions();
    set.condition =
        sdk::reshape(conditions, {conditions.shape[0] * conditions.shape[1], c.decoder.width});
    const blocks::RunStep step = step_of(plan_, step_);
    const double guidance =
        blocks::guidance_at(settings.schedule, settings.guidance, static_cast<int>(c.tokens()),
                            step.tokens.unknown_after);
    if (guesses_) make_guesses(set.condition, guidance);
    tables_.prepare(step.denoise_steps, guidance, set);
    chain_->begin(set, rows_);
    reverse_step_ = 0;
    reverse_count_ = static_cast<int>(set.steps.size());
    phase_ = Phase::kDenoise;
    const auto first_image = wanted_tokens_.begin() + rows_ / images();
    const auto found = std::find(wanted_tokens_.begin(), first_image, spec_.watched);
    watched_row_ = found == first_image ? -1 : found - wanted_tokens_.begin();
    traced_ = 0;
    watch();
}

// The watched token as it is now.
void TokenRun::watch() {
    if (watched_row_ < 0) return;
    const std::int64_t width = model_.config.token_width();
    sdk::View token = sdk::slice(step_tokens(), 0, watched_row_, 1);
    if (seen_) {
        const sdk::View with_guess = sdk::slice(seen_.view(), 0, traced_, 1);
        const sdk::View guess = sdk::slice(guesses_.view(), 0, watched_row_ * width, width);
        compute_.add(token, sdk::reshape(guess, {1, width}), with_guess);
        token = with_guess;
    }
    compute_.download(token, sdk::host_view(trace_.data() + traced_ * width, {1, width}));
    ++traced_;
}

sdk::View TokenRun::watched_chain() const {
    if (watched_row_ < 0) return {};
    return sdk::host_view(trace_.data(), {traced_, model_.config.token_width()});
}

sdk::View TokenRun::step_tokens() const {
    const std::int64_t shape[] = {rows_, model_.config.token_width()};
    return sdk::make_view(x_.view().data, TESSERA_DTYPE_F32, shape, compute_.memory());
}

// What the sampled tokens will be differences to, guided as they are.
void TokenRun::make_guesses(const sdk::View &conditions, double guidance) {
    const std::int64_t width = model_.config.token_width();
    const auto rows_at = [&](std::int64_t first, std::int64_t rows) {
        return sdk::reshape(sdk::slice(guesses_.view(), 0, first * width, rows * width),
                            {rows, width});
    };
    const std::int64_t count = conditions.shape[0];
    const sdk::View made = rows_at(guided_ ? rows_ : 0, count);
    compute_.linear(conditions, model_.guess.weight, {.bias = model_.guess.bias.optional()}, made);
    if (!guided_) return;
    compute_.guide(sdk::slice(made, 0, 0, rows_), sdk::slice(made, 0, rows_, rows_),
                   static_cast<float>(guidance), static_cast<std::uint32_t>(width),
                   rows_at(0, rows_));
}

int TokenRun::denoise_count() const {
    if (watched_row_ >= 0) return 1; // every one is looked at
    const double flops = model_.head.flops(static_cast<double>(guided_ ? 2 * rows_ : rows_));
    const int rest = reverse_count_ - reverse_step_;
    return std::clamp(static_cast<int>(std::min(kUnitFlops / flops, 1e6)), 1, rest);
}

void TokenRun::finish_step() {
    const MarConfig &c = model_.config;
    if (spec_.deadline != nullptr) {
        compute_.synchronize();
        spec_.deadline->measured_head(work_of(plan_, step_, step_ + 1).head);
    }
    if (guesses_) {
        const std::int64_t flat[] = {rows_ * c.token_width()};
        const sdk::View tokens =
            sdk::make_view(x_.view().data, TESSERA_DTYPE_F32, flat, compute_.memory());
        compute_.add(tokens, sdk::slice(guesses_.view(), 0, 0, flat[0]), tokens);
    }
    const std::int64_t per_image = rows_ / images();
    const std::int64_t shape[] = {images(), per_image, c.token_width()};
    const sdk::View x = sdk::make_view(x_.view().data, TESSERA_DTYPE_F32, shape, compute_.memory());
    const std::span<const std::int32_t> wanted(wanted_.data(), static_cast<std::size_t>(rows_));
    compute_.scatter_rows(x, sdk::host_view(wanted_tokens_.data(), {images(), per_image}), tokens_);
    towers_->embed(x, wanted, images(), 0);
    if (guided_) towers_->embed(x, wanted, images(), images());

    for (std::uint8_t &cell : cells_) {
        if (cell == TESSERA_CELL_CHANGED) cell = TESSERA_CELL_KNOWN;
    }
    for (std::int64_t row = 0; row < rows_; ++row) {
        cells_[(row / per_image) * c.tokens() + wanted_tokens_[row]] = TESSERA_CELL_CHANGED;
    }
    if (++step_ < step_count()) start_step();
}

} // namespace tessera::mar
