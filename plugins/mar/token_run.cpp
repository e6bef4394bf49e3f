// One autoregressive run of MAR over the tokens of a few images.
#include "mar/token_run.hpp"

#include "blocks/sampler.hpp"

#include <tessera/generator.h>

#include <algorithm>
#include <utility>

namespace tessera::mar {
namespace {

constexpr double kUnitFlops = 1e9;

} // namespace

TokenRun::TokenRun(const sdk::Compute &compute, const MarModel &model, TokenRunSpec spec)
    : compute_(compute), model_(model), spec_(std::move(spec)),
      guided_(blocks::is_guided(spec_.guidance)) {
    const MarConfig &c = model.config;
    const auto tokens = static_cast<int>(c.tokens());
    const int given = static_cast<int>(
        std::count_if(spec_.known.begin(), spec_.known.end(), [](auto k) { return k != 0; }));
    plan_ = blocks::cosine_plan(spec_.steps, tokens - given);

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

    const blocks::NoiseTables tables = blocks::cosine_tables(spec_.denoise_steps);
    reverse_steps_ = blocks::ancestral_steps(tables, spec_.temperature);
    const std::vector<std::int32_t> times(tables.timestep_map.rbegin(), tables.timestep_map.rend());
    time_table_ = model.head.time_table(compute_, times);

    std::int64_t widest_step = 1;
    for (const blocks::UnmaskStep &step : plan_) {
        widest_step = std::max<std::int64_t>(widest_step, step.unknown_before - step.first);
    }
    const std::int64_t max_rows = images() * widest_step;
    const std::int64_t batch = guided_ ? 2 * images() : images();
    tokens_ = compute_.allocate({images(), c.tokens(), c.token_width()});
    compute_.fill(0.0f, tokens_);
    x_ = compute_.allocate({std::max(max_rows, images() * given) * c.token_width()});
    towers_ = std::make_unique<Towers>(compute_, model, batch);
    for (std::int64_t image = 0; image < images(); ++image) {
        towers_->set_class(image, spec_.labels[image]);
        if (guided_) towers_->set_class(images() + image, -1);
    }
    chain_ = std::make_unique<blocks::DenoiseChain>(compute_, model.head, max_rows, tables.size(),
                                                    guided_, spec_.path);
    known_.reserve(static_cast<std::size_t>(batch * tokens));
    wanted_.reserve(static_cast<std::size_t>(batch * tokens));
    noise_index_.reserve(static_cast<std::size_t>(2 * max_rows));
    if (!is_done()) start_step();
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
        towers_->run_unit(unit_);
        if (++unit_ == towers_->unit_count()) start_denoise();
        return false;
    }
    const int count = denoise_count();
    const std::int64_t shape[] = {rows_, model_.config.token_width()};
    chain_->advance(reverse_step_, count,
                    sdk::make_view(x_.view().data, TESSERA_DTYPE_F32, shape, compute_.memory()));
    reverse_step_ += count;
    if (reverse_step_ < static_cast<int>(reverse_steps_.size())) return false;
    finish_step();
    return true;
}

// Which tokens are known and which are wanted, in raster order for each image.
void TokenRun::start_step() {
    const blocks::UnmaskStep &step = plan_[step_];
    known_.clear();
    wanted_.clear();
    for (const std::vector<std::int32_t> &order : spec_.orders) {
        const auto known_begin = known_.size();
        const auto wanted_begin = wanted_.size();
        known_.insert(known_.end(), order.begin() + step.unknown_before, order.end());
        wanted_.insert(wanted_.end(), order.begin() + step.first,
                       order.begin() + step.unknown_before);
        std::sort(known_.begin() + static_cast<std::ptrdiff_t>(known_begin), known_.end());
        std::sort(wanted_.begin() + static_cast<std::ptrdiff_t>(wanted_begin), wanted_.end());
    }
    rows_ = static_cast<std::int64_t>(wanted_.size());
    const std::int64_t per_image = rows_ / images();
    noise_index_.clear();
    for (std::int64_t row = 0; row < rows_; ++row) {
        const std::uint32_t stream =
            spec_.first_image + static_cast<std::uint32_t>(row / per_image);
        noise_index_.push_back(static_cast<std::int32_t>(stream));
        noise_index_.push_back(wanted_[row]);
    }
    noise_index_view_ = sdk::host_view(noise_index_.data(), {rows_, 2});
    if (guided_) { // the unconditional half sees the same tokens
        known_.resize(2 * known_.size());
        std::copy_n(known_.begin(), known_.size() / 2, known_.begin() + known_.size() / 2);
        wanted_.resize(2 * wanted_.size());
        std::copy_n(wanted_.begin(), wanted_.size() / 2, wanted_.begin() + wanted_.size() / 2);
    }
    towers_->start(known_, wanted_);
    unit_ = 0;
    phase_ = Phase::kTowers;
}

void TokenRun::start_denoise() {
    const MarConfig &c = model_.config;
    const std::int64_t shape[] = {rows_, c.token_width()};
    const sdk::View x = sdk::make_view(x_.view().data, TESSERA_DTYPE_F32, shape, compute_.memory());
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
        set.random = random;
        set.random.stream = TESSERA_STREAM_STEP_NOISE;
    }
    const sdk::View conditions = towers_->conditions();
    set.condition =
        sdk::reshape(conditions, {conditions.shape[0] * conditions.shape[1], c.decoder.width});
    set.time = time_table_;
    set.steps = reverse_steps_;
    set.guidance = static_cast<float>(blocks::guidance_at(
        spec_.schedule, spec_.guidance, static_cast<int>(c.tokens()), plan_[step_].unknown_after));
    chain_->begin(set, rows_);
    reverse_step_ = 0;
    phase_ = Phase::kDenoise;
}

int TokenRun::denoise_count() const {
    const double flops = model_.head.flops(static_cast<double>(guided_ ? 2 * rows_ : rows_));
    const int rest = static_cast<int>(reverse_steps_.size()) - reverse_step_;
    return std::clamp(static_cast<int>(std::min(kUnitFlops / flops, 1e6)), 1, rest);
}

void TokenRun::finish_step() {
    const MarConfig &c = model_.config;
    const std::int64_t per_image = rows_ / images();
    const std::int64_t shape[] = {images(), per_image, c.token_width()};
    const sdk::View x = sdk::make_view(x_.view().data, TESSERA_DTYPE_F32, shape, compute_.memory());
    const std::span<const std::int32_t> wanted(wanted_.data(), static_cast<std::size_t>(rows_));
    compute_.scatter_rows(x, sdk::host_view(wanted_.data(), {images(), per_image}), tokens_);
    towers_->embed(x, wanted, images(), 0);
    if (guided_) towers_->embed(x, wanted, images(), images());

    for (std::uint8_t &cell : cells_) {
        if (cell == TESSERA_CELL_CHANGED) cell = TESSERA_CELL_KNOWN;
    }
    for (std::int64_t row = 0; row < rows_; ++row) {
        cells_[(row / per_image) * c.tokens() + wanted_[row]] = TESSERA_CELL_CHANGED;
    }
    if (++step_ < step_count()) start_step();
}

} // namespace tessera::mar
