// One autoregressive run over the tokens of a few images.
#include "blocks/shell/token_run.hpp"

#include "blocks/shell/guidance_cache.hpp"

#include <tessera/generator.h>

#include <algorithm>
#include <utility>

namespace tessera::blocks {
namespace {

constexpr std::int64_t kMostSteps = 1000; // of denoising

RunPlan make_plan(const RunSpec &spec, bool one_by_one) {
    const DiffusionSettings &d = spec.diffusion;
    const auto given =
        std::count_if(spec.known.begin(), spec.known.end(), [](auto k) { return k != 0; });
    RunSettings settings;
    settings.steps = spec.steps;
    settings.denoise_steps =
        d.level_count > 0 ? d.level_count : static_cast<int>(respace(d.denoise_steps).size());
    settings.annealing = d.annealing;
    settings.last_denoise_steps = d.last_denoise_steps;
    settings.hurry = d.hurry;
    if (one_by_one) settings.most_hurry = kHurryDenoising;
    return {settings, static_cast<int>(spec.grid.tokens() - given)};
}

// With the grid and the steps that the model gives where the request does not.
RunSpec complete(RunSpec spec, const SetModel &model) {
    if (spec.grid.tokens() == 0) spec.grid = model.grid();
    if (model.one_by_one()) spec.steps = static_cast<int>(spec.grid.tokens());
    return spec;
}

// Numbers of denoising steps that the run may come to use.
std::vector<int> denoise_counts(const RunSpec &spec, const RunPlan &plan) {
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

void repeat(std::vector<std::int32_t> &values) {
    const std::size_t size = values.size();
    values.resize(2 * size);
    std::copy_n(values.begin(), size, values.begin() + static_cast<std::ptrdiff_t>(size));
}

} // namespace

std::vector<std::int32_t> SetModel::order(const RunSpec &spec, int image) const {
    return random_order(spec.seed, spec.first_image + static_cast<std::uint32_t>(image),
                        static_cast<int>(spec.grid.tokens()), spec.known);
}

double SetModel::guidance(const RunSpec &spec, std::int32_t, int unknown_after) const {
    return guidance_at(spec.diffusion.schedule, spec.diffusion.guidance,
                       static_cast<int>(spec.grid.tokens()), unknown_after);
}

TokenRun::TokenRun(const sdk::Compute &compute, const SetModel &model, RunSpec spec)
    : compute_(compute), model_(model), spec_(complete(std::move(spec), model)),
      plan_(make_plan(spec_, model.one_by_one())), trial_(plan_), given_(compute, spec_) {
    draw_orders();
    cells_.assign(static_cast<std::size_t>(images() * grid().tokens()), TESSERA_CELL_UNKNOWN);
    for (std::size_t i = 0; i < cells_.size() && !spec_.known.empty(); ++i) {
        if (spec_.known[i % spec_.known.size()] != 0) cells_[i] = TESSERA_CELL_GIVEN;
    }
    if (spec_.seamless && grid().rows == grid().columns) plan_rounds();
    allocate();
    if (!is_done()) start_step();
}

void TokenRun::draw_orders() {
    if (!spec_.orders.empty()) return;
    for (int image = 0; image < images(); ++image) {
        spec_.orders.push_back(model_.order(spec_, image));
    }
}

// The orders of the rounds come after those of the plan, image by image.
void TokenRun::plan_rounds() {
    rounds_ = seam_rounds(static_cast<int>(grid().rows), spec_.steps, spec_.known);
    std::vector<std::uint8_t> known(static_cast<std::size_t>(grid().tokens()));
    for (int round = 0; round < static_cast<int>(rounds_.size()); ++round) {
        for (const UnmaskStep &step : rounds_[round].steps) seam_steps_.push_back({round, step});
        std::transform(rounds_[round].wanted.begin(), rounds_[round].wanted.end(), known.begin(),
                       [](std::uint8_t wanted) { return static_cast<std::uint8_t>(wanted == 0); });
        for (std::int64_t image = 0; image < images(); ++image) {
            spec_.orders.push_back(
                random_order(spec_.seed, spec_.first_image + static_cast<std::uint32_t>(image),
                             static_cast<int>(grid().tokens()), known));
        }
    }
    places_.resize(static_cast<std::size_t>(images() * grid().tokens()));
    token_at_.resize(static_cast<std::size_t>(grid().tokens()));
}

// A deadline may make one step of all that is left.
std::int64_t TokenRun::widest_set() const {
    if (model_.one_by_one()) return 1;
    const int unknown = plan_.size() == 0 ? 0 : plan_[0].tokens.unknown_before;
    std::int64_t widest = spec_.deadline != nullptr ? std::max(unknown, 1) : 1;
    for (int k = 0; k < step_count(); ++k) {
        const UnmaskStep step = step_of(plan_, k).tokens;
        widest = std::max<std::int64_t>(widest, step.unknown_before - step.first);
    }
    return widest;
}

void TokenRun::allocate() {
    const std::int64_t max_rows = images() * widest_set();
    sampler_ =
        model_.sampler(compute_, {spec_.diffusion, denoise_counts(spec_, plan_), max_rows,
                                  spec_.seed, spec_.path, spec_.watched >= 0, grid().tokens()});
    guided_ = sampler_->is_guided();
    const std::int64_t batch = guided_ ? 2 * images() : images();
    tokens_ = compute_.allocate({images(), grid().tokens(), grid().token_width()});
    compute_.fill(0.0f, tokens_);
    const int refresh = spec_.diffusion.guidance_refresh;
    if (guided_ && refresh > 1) {
        const auto make = [&](std::int64_t entries, bool exact) {
            RunSpec spec = spec_;
            if (exact) spec.diffusion.token_refresh = 1;
            return model_.network(compute_, spec, entries);
        };
        network_ = std::make_unique<GuidanceCache>(compute_, make, images(), grid().tokens(),
                                                   plan_.size(), refresh);
    } else {
        network_ = model_.network(compute_, spec_, batch);
    }
    for (std::int64_t image = 0; image < images(); ++image) {
        network_->set_class(image, spec_.labels[image], spec_.mix);
        if (guided_) network_->set_class(images() + image, -1, {});
    }
    if (const sdk::View tails = network_->tails(); tails.data != nullptr) {
        tails_ = compute_.allocate({images(), tails.shape[1]});
        whole_ = compute_.allocate({max_rows, grid().token_width()});
        image_.reserve(static_cast<std::size_t>(max_rows));
        if (spec_.watched >= 0) {
            chain_.reserve(static_cast<std::size_t>((kMostSteps + 1) * grid().token_width()));
        }
    }
    known_.reserve(static_cast<std::size_t>(batch * grid().tokens()));
    wanted_.reserve(static_cast<std::size_t>(batch * grid().tokens()));
    wanted_tokens_.reserve(static_cast<std::size_t>(images() * grid().tokens()));
    noise_index_.reserve(static_cast<std::size_t>(2 * max_rows));
}

// The unconditional half sees the same tokens.
void TokenRun::embed(const sdk::View &tokens, std::span<const std::int32_t> positions) {
    network_->embed(tokens, positions, images(), 0);
    if (guided_) network_->embed(tokens, positions, images(), images());
}

void TokenRun::give(const sdk::View &tokens) {
    network_->give(tokens);
    if (given_.is_empty()) return;
    given_.take(tokens);
    given_.put_into(tokens_);
    embed(given_.tokens(), given_.positions());
}

std::span<const std::uint8_t> TokenRun::cells(int image) const {
    const auto tokens = static_cast<std::size_t>(grid().tokens());
    return std::span(cells_).subspan(static_cast<std::size_t>(image) * tokens, tokens);
}

double TokenRun::next_flops() const {
    if (is_done()) return 0.0;
    return phase_ == Phase::kNetwork ? network_->unit_flops(unit_) : sampler_->next_flops();
}

bool TokenRun::run_unit() {
    if (is_done()) return false;
    if (phase_ == Phase::kSampler) {
        if (!sampler_->run_unit()) return false;
        finish_step();
        return true;
    }
    if (unit_ == 0 && spec_.deadline != nullptr) spec_.deadline->start();
    network_->run_unit(unit_);
    if (++unit_ == network_->unit_count()) start_sampler();
    return false;
}

// Step k of the run when `plan` is what it does at first; the seam is denoised as its last step is.
RunStep TokenRun::step_of(const RunPlan &plan, int k) const {
    if (k < plan.size()) return plan[k];
    return {seam_steps_[static_cast<std::size_t>(k - plan.size())].tokens,
            plan[plan.size() - 1].denoise_steps};
}

// Steps [first, end) of a plan, and the pictures from there on.
Work TokenRun::work_of(const RunPlan &plan, int first, int end) const {
    Work work;
    for (int k = first; k < end; ++k) {
        const UnmaskStep step = step_of(plan, k).tokens;
        const std::int64_t wanted = step.unknown_before - step.first;
        work.tower += network_->flops(grid().tokens() - step.unknown_before, wanted);
        work.head +=
            sampler_->work(step_of(plan, k).denoise_steps, static_cast<double>(images() * wanted));
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
    for (int level = plan_.level(); level < kHurryLevels; ++level) {
        trial_ = plan_;
        trial_.hurry(step_, level);
        Work work = work_of(trial_, step_, step_ + 1);
        trial_.hurry(step_ + 1, level + 1);
        const Work rest =
            work_of(trial_, step_ + 1, trial_.size() + static_cast<int>(seam_steps_.size()));
        work.tower += rest.tower;
        work.head += rest.head;
        work.pictures += rest.pictures;
        if (spec_.deadline->fits(work)) return plan_.hurry(step_, level);
    }
    plan_.hurry(step_, kHurryLevels);
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
    list_noise();
    if (guided_) { // the unconditional half sees the same tokens
        repeat(known_);
        repeat(wanted_);
    }
    network_->start(known_, wanted_);
    unit_ = 0;
    phase_ = Phase::kNetwork;
}

// All tokens as they are seen in the round.
void TokenRun::start_round() {
    const auto side = static_cast<int>(grid().rows);
    const auto tokens = static_cast<std::int32_t>(grid().tokens());
    for (std::size_t i = 0; i < places_.size(); ++i) {
        const std::int32_t token = static_cast<std::int32_t>(i) % tokens;
        places_[i] = rolled(token, side, rounds_[static_cast<std::size_t>(round_)]);
        token_at_[static_cast<std::size_t>(places_[i])] = token;
    }
    embed(tokens_, places_);
}

// Which tokens are known and which are wanted, by where they are seen, in raster order for each
// image.
void TokenRun::choose_tokens(const UnmaskStep &step) {
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
}

// The wanted tokens and their places in the noise; every round has noise of its own.
void TokenRun::list_noise() {
    const auto tokens = static_cast<std::int32_t>(grid().tokens());
    const std::int64_t per_image = rows_ / images();
    wanted_tokens_.clear();
    noise_index_.clear();
    for (std::int64_t row = 0; row < rows_; ++row) {
        const std::int32_t token = round_ < 0 ? wanted_[row] : token_at_[wanted_[row]];
        const std::uint32_t stream =
            spec_.first_image + static_cast<std::uint32_t>(row / per_image);
        wanted_tokens_.push_back(token);
        noise_index_.push_back(static_cast<std::int32_t>(stream));
        noise_index_.push_back(token + (round_ + 1) * tokens);
    }
    noise_index_view_ = sdk::host_view(noise_index_.data(), {rows_, 2});
}

void TokenRun::start_sampler() {
    if (spec_.deadline != nullptr) {
        compute_.synchronize();
        spec_.deadline->measured_tower(work_of(plan_, step_, step_ + 1).tower);
        spec_.deadline->start();
    }
    const RunStep step = step_of(plan_, step_);
    const sdk::View conditions = network_->conditions();
    TokenSet set;
    set.conditions =
        sdk::reshape(conditions, {conditions.shape[0] * conditions.shape[1], conditions.shape[2]});
    set.rows = rows_;
    set.denoise_steps = step.denoise_steps;
    set.guidance = model_.guidance(spec_, wanted_tokens_.front(), step.tokens.unknown_after);
    set.network = network_.get();
    set.noise_index = &noise_index_view_;
    if (spec_.recorded) {
        noise_ = spec_.recorded(step_);
        set.recorded = &noise_;
    }
    const auto first_image = wanted_tokens_.begin() + rows_ / images();
    const auto found = std::find(wanted_tokens_.begin(), first_image, spec_.watched);
    set.watched_row = found == first_image ? -1 : found - wanted_tokens_.begin();
    sampler_->begin(set);
    phase_ = Phase::kSampler;
}

sdk::View TokenRun::with_tails(const sdk::View &sampled) {
    if (!tails_) return sampled;
    if (step_ == 0) compute_.upload(network_->tails(), tails_);
    const std::int64_t own = sampled.shape[1], behind = grid().token_width() - own;
    image_.clear();
    for (std::int64_t row = 0; row < rows_; ++row) {
        image_.push_back(static_cast<std::int32_t>(row * images() / rows_));
    }
    const sdk::View whole = sdk::slice(whole_.view(), 0, 0, rows_);
    compute_.copy(sampled, sdk::slice(whole, 1, 0, own));
    compute_.gather_rows(sdk::reshape(tails_, {1, images(), behind}),
                         sdk::host_view(image_.data(), {1, rows_}),
                         sdk::slice(sdk::reshape(whole, {1, rows_, own + behind}), 2, own, behind));
    return whole;
}

sdk::View TokenRun::watched_chain() const {
    const sdk::View own = sampler_->watched_chain();
    if (!tails_ || own.data == nullptr) return own;
    const sdk::View tails = network_->tails(); // the first image's is watched
    const auto *from = static_cast<const float *>(own.data);
    const auto *tail = static_cast<const float *>(tails.data);
    chain_.clear();
    for (std::int64_t step = 0; step < own.shape[0]; ++step, from += own.shape[1]) {
        chain_.insert(chain_.end(), from, from + own.shape[1]);
        chain_.insert(chain_.end(), tail, tail + tails.shape[1]);
    }
    return sdk::host_view(chain_.data(), {own.shape[0], grid().token_width()});
}

void TokenRun::finish_step() {
    if (spec_.deadline != nullptr) {
        compute_.synchronize();
        spec_.deadline->measured_head(work_of(plan_, step_, step_ + 1).head);
    }
    const std::int64_t per_image = rows_ / images();
    const sdk::View made =
        sdk::reshape(with_tails(sampler_->tokens()), {images(), per_image, grid().token_width()});
    compute_.scatter_rows(made, sdk::host_view(wanted_tokens_.data(), {images(), per_image}),
                          tokens_);
    embed(made, std::span(wanted_).first(static_cast<std::size_t>(rows_)));

    for (std::uint8_t &cell : cells_) {
        if (cell == TESSERA_CELL_CHANGED) cell = TESSERA_CELL_KNOWN;
    }
    for (std::int64_t row = 0; row < rows_; ++row) {
        cells_[(row / per_image) * grid().tokens() + wanted_tokens_[row]] = TESSERA_CELL_CHANGED;
    }
    if (++step_ < step_count()) return start_step();
    network_->finish(tokens_);
}

} // namespace tessera::blocks
