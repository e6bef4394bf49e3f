// Pictures from UMD, evaluation by evaluation.
#include "umd/run.hpp"

#include <tessera/generator.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace tessera::umd {
namespace {

blocks::CleanRange range_of(const UmdConfig &config, const blocks::RunSpec &spec) {
    if (config.clips) return {-1.0, 1.0};
    return spec.diffusion.tokens;
}

} // namespace

UmdRun::UmdRun(const sdk::Compute &compute, const UmdModel &model, blocks::RunSpec spec,
               UmdSettings settings)
    : compute_(compute), model_(model), spec_(std::move(spec)), settings_(settings),
      tokens_(model.config.tokens()), width_(model.config.token_width()),
      alphas_(alphas_cumprod(model.config.schedule, static_cast<int>(model.config.times))) {
    if (spec_.deadline != nullptr) {
        throw sdk::Failure(sdk::Status::kUnsupported,
                           "deadline is set: UMD keeps none; it takes fewer steps instead");
    }
    for (std::size_t i = 0; i < spec_.known.size(); ++i) {
        if (spec_.known[i] != 0) known_.push_back(static_cast<std::int32_t>(i));
    }
    plan();
    cells_.assign(static_cast<std::size_t>(tokens_), TESSERA_CELL_UNKNOWN);
    for (const std::int32_t token : known_) {
        cells_[static_cast<std::size_t>(token)] = TESSERA_CELL_GIVEN;
    }
    const bool guided = std::any_of(evaluations_.begin(), evaluations_.end(),
                                    [&](const Evaluation &at) { return is_guided(at.time); });
    allocate(guided ? 2 * images() : images());
    if (is_done()) return;
    draw_first();
    start_step();
}

// The evaluations of the run, from the level on at which a hole starts.
void UmdRun::plan() {
    if (static_cast<std::int64_t>(known_.size()) == tokens_) return;
    const bool has_known = !known_.empty();
    reconstructs_ = has_known && (settings_.reconstruct || settings_.strength < 1.0);
    if (has_known && settings_.reconstruct) return;
    const auto times = static_cast<int>(alphas_.size());
    evaluations_ = spec_.diffusion.integrator == blocks::Integrator::kDpm2m
                       ? log_snr_evaluations(spec_.steps, alphas_)
                       : even_evaluations(spec_.steps, times);
    if (reconstructs_) {
        const double latest = settings_.strength * (times - 1);
        std::erase_if(evaluations_, [&](const Evaluation &at) { return at.time > latest; });
    }
    StepSettings step;
    step.integrator = spec_.diffusion.integrator;
    step.eta = spec_.diffusion.eta;
    step.temperature = spec_.diffusion.temperature;
    step.head = settings_.head;
    step.range = range_of(model_.config, spec_);
    steps_ = reverse_steps(alphas_, evaluations_, step);
}

void UmdRun::allocate(std::int64_t entries) {
    x_ = compute_.allocate({images(), tokens_, width_});
    clean_ = compute_.allocate({images(), tokens_, width_});
    compute_.fill(0.0F, clean_);
    const auto count = static_cast<std::int64_t>(known_.size());
    if (count > 0) given_ = compute_.allocate({1, count, width_});
    if (is_done()) return;
    network_ = std::make_unique<Network>(compute_, model_, entries);
    input_ = compute_.allocate({entries, tokens_, width_});
    answer_ = compute_.allocate({row_count(), 2 * width_});
    noise_ = compute_.allocate({row_count(), width_});
    times_.reserve(static_cast<std::size_t>(entries));
    if (spec_.watched >= 0) {
        chain_.resize((evaluations_.size() + 1) * static_cast<std::size_t>(width_));
    }
    if (count == 0) return;
    given_noise_ = compute_.allocate({images(), count, width_});
    level_ = compute_.allocate({2, count, width_});
    for (std::int64_t image = 0; image < images(); ++image) {
        visible_.insert(visible_.end(), known_.begin(), known_.end());
    }
}

// The first noise, which the given part keeps to the end.
void UmdRun::draw_first() {
    for (std::int64_t row = 0; row < row_count(); ++row) {
        noise_index_.push_back(static_cast<std::int32_t>(spec_.first_image + row / tokens_));
        noise_index_.push_back(static_cast<std::int32_t>(row % tokens_));
    }
    if (spec_.recorded) {
        recorded_ = spec_.recorded(0);
        compute_.copy(recorded_.initial, by_row(x_));
    } else {
        const sdk::View index = sdk::host_view(noise_index_.data(), {row_count(), 2});
        tessera_random random{};
        random.stream = TESSERA_STREAM_INITIAL_NOISE;
        random.seed = spec_.seed;
        random.index = &index;
        compute_.normal(random, by_row(x_));
    }
    const double scale =
        blocks::initial_noise_scale(spec_.diffusion.integrator, spec_.diffusion.temperature);
    if (scale != 1.0) compute_.scale_offset(x_, static_cast<float>(scale), 0.0F, x_);
    for (std::int64_t image = 0; given_noise_ && image < images(); ++image) {
        compute_.gather_rows(sdk::slice(x_.view(), 0, image, 1), known_index(),
                             sdk::slice(given_noise_.view(), 0, image, 1));
    }
    watch();
}

void UmdRun::give(const sdk::View &tokens) {
    if (known_.empty()) return;
    compute_.gather_rows(tokens, known_index(), given_);
    keep_given();
    if (is_done()) return;
    if (!reconstructs_) return put_given_at(evaluations_.front().time);
    for (std::int64_t image = 0; image < images(); ++image) {
        compute_.copy(tokens, sdk::slice(input_.view(), 0, image, 1));
    }
}

// ---- steps --------------------------------------------------------------------------------------

bool UmdRun::is_guided(std::int32_t time) const {
    const double share = static_cast<double>(time) / static_cast<double>(alphas_.size() - 1);
    return model_.config.classes > 0 && blocks::is_guided(spec_.diffusion.guidance) &&
           share >= spec_.diffusion.guidance_low && share <= spec_.diffusion.guidance_high;
}

void UmdRun::start_step() {
    unit_ = 0;
    if (reconstructs_ && step_ == 0) return start_reconstruction();
    start_evaluation(evaluations_[static_cast<std::size_t>(step_ - (reconstructs_ ? 1 : 0))]);
}

// Clean pictures were always seen without a class.
void UmdRun::start_reconstruction() {
    for (std::int64_t image = 0; image < images(); ++image) network_->set_class(image, -1, {});
    times_.assign(static_cast<std::size_t>(images()), 0);
    network_->start(sdk::slice(input_.view(), 0, 0, images()), times_, visible_);
}

void UmdRun::start_evaluation(const Evaluation &at) {
    guided_now_ = is_guided(at.time);
    const std::int64_t entries = guided_now_ ? 2 * images() : images();
    for (std::int64_t image = 0; image < images(); ++image) {
        network_->set_class(image, spec_.labels[static_cast<std::size_t>(image)], spec_.mix);
        if (guided_now_) network_->set_class(images() + image, -1, {});
    }
    times_.assign(static_cast<std::size_t>(entries), at.time + 1);
    network_->start(sdk::slice(input_.view(), 0, 0, entries), times_, {});
}

double UmdRun::next_flops() const {
    if (is_done()) return 0.0;
    if (unit_ < network_->unit_count()) return network_->unit_flops(unit_);
    return 20.0 * static_cast<double>(row_count() * width_);
}

bool UmdRun::run_unit() {
    if (is_done()) return false;
    const bool reconstructing = reconstructs_ && step_ == 0;
    if (unit_ == 0 && !reconstructing) {
        compute_.copy(x_, sdk::slice(input_.view(), 0, 0, images()));
        if (guided_now_) compute_.copy(x_, sdk::slice(input_.view(), 0, images(), images()));
    }
    if (unit_ < network_->unit_count()) {
        network_->run_unit(unit_++);
        return false;
    }
    if (reconstructing) {
        finish_reconstruction();
    } else {
        finish_evaluation();
    }
    for (std::uint8_t &cell : cells_) {
        if (cell != TESSERA_CELL_GIVEN) cell = TESSERA_CELL_CHANGED;
    }
    if (++step_ < step_count()) start_step();
    return true;
}

// The x0 head where nothing is given; then, for what follows, the same with noise.
void UmdRun::finish_reconstruction() {
    tessera_reverse options{};
    options.clean_model = 1.0F;
    options.clean_scale = 1.0F;
    const blocks::CleanRange range = range_of(model_.config, spec_);
    options.clean_low = static_cast<float>(range.low);
    options.clean_high = static_cast<float>(range.high);
    const sdk::View made = sdk::reshape(network_->output(), {row_count(), 2 * width_});
    compute_.reverse_step(by_row(clean_), made, options, by_row(clean_));
    keep_given();
    if (evaluations_.empty()) return;
    const double abar = alphas_[static_cast<std::size_t>(evaluations_.front().time)];
    compute_.scale_offset(x_, static_cast<float>(std::sqrt(1.0 - abar)), 0.0F, x_);
    compute_.scale_offset(by_row(clean_), static_cast<float>(std::sqrt(abar)), 0.0F, noise_);
    compute_.add(by_row(x_), noise_, by_row(x_));
    put_given_at(evaluations_.front().time);
}

void UmdRun::finish_evaluation() {
    const auto k = static_cast<std::size_t>(step_ - (reconstructs_ ? 1 : 0));
    if (guided_now_) {
        const auto half = [&](std::int64_t first) {
            return sdk::reshape(sdk::slice(network_->output(), 0, first, images()),
                                {row_count(), 2 * width_});
        };
        compute_.guide(half(0), half(images()), static_cast<float>(spec_.diffusion.guidance),
                       static_cast<std::uint32_t>(2 * width_), answer_);
    }
    tessera_reverse options = steps_[k];
    const sdk::View clean = by_row(clean_);
    options.kept = &clean;
    options.clean = &clean;
    sdk::View noise = noise_;
    if (options.noise_scale != 0.0F) {
        options.noise = &noise;
        if (recorded_.steps.data != nullptr) {
            noise = sdk::at(recorded_.steps, static_cast<std::int64_t>(k));
        } else {
            const sdk::View index = sdk::host_view(noise_index_.data(), {row_count(), 2});
            tessera_random random{};
            random.stream = TESSERA_STREAM_STEP_NOISE;
            random.seed = spec_.seed;
            random.first_draw =
                static_cast<std::uint32_t>(k) * static_cast<std::uint32_t>((width_ + 3) / 4);
            random.index = &index;
            compute_.normal(random, noise_);
        }
    }
    compute_.reverse_step(by_row(x_), answer(), options, by_row(x_));
    keep_given();
    if (evaluations_[k].next >= 0) put_given_at(evaluations_[k].next);
    watch();
}

sdk::View UmdRun::answer() const {
    if (guided_now_) return answer_;
    return sdk::reshape(network_->output(), {row_count(), 2 * width_});
}

// ---- the given part -----------------------------------------------------------------------------

// x of the given part at a noise level.
void UmdRun::put_given_at(std::int32_t time) {
    if (!given_) return;
    const double abar = alphas_[static_cast<std::size_t>(time)];
    const sdk::View clean = sdk::slice(level_.view(), 0, 0, 1);
    const sdk::View noise = sdk::slice(level_.view(), 0, 1, 1);
    for (std::int64_t image = 0; image < images(); ++image) {
        compute_.scale_offset(given_, static_cast<float>(std::sqrt(abar)), 0.0F, clean);
        compute_.scale_offset(sdk::slice(given_noise_.view(), 0, image, 1),
                              static_cast<float>(std::sqrt(1.0 - abar)), 0.0F, noise);
        compute_.add(clean, noise, clean);
        compute_.scatter_rows(clean, known_index(), sdk::slice(x_.view(), 0, image, 1));
    }
}

void UmdRun::keep_given() {
    for (std::int64_t image = 0; given_ && image < images(); ++image) {
        compute_.scatter_rows(given_, known_index(), sdk::slice(clean_.view(), 0, image, 1));
    }
}

// ---- looking at it ------------------------------------------------------------------------------

std::span<const std::uint8_t> UmdRun::cells(int) const { return cells_; }

void UmdRun::watch() {
    if (chain_.empty() || spec_.watched >= tokens_) return;
    compute_.download(sdk::slice(sdk::at(x_.view(), 0), 0, spec_.watched, 1),
                      sdk::host_view(chain_.data() + chain_rows_++ * width_, {1, width_}));
}

sdk::View UmdRun::watched_chain() const {
    if (chain_rows_ < 2) return {};
    return sdk::host_view(chain_.data(), {chain_rows_, width_});
}

// ---- representation -----------------------------------------------------------------------------

UmdEncoding::UmdEncoding(const sdk::Compute &compute, const UmdModel &model,
                         const blocks::RunSpec &spec, int layer)
    : compute_(compute), grid_(spec.grid), network_(compute, model, 1),
      cells_(static_cast<std::size_t>(grid_.tokens()), TESSERA_CELL_GIVEN) {
    tokens_ = compute_.allocate({1, grid_.tokens(), grid_.token_width()});
    dense_ = compute_.allocate({grid_.tokens(), model.config.width});
    const std::int32_t clean[] = {0};
    network_.start_encoder(tokens_, clean, {}, layer);
}

void UmdEncoding::give(const sdk::View &tokens) { compute_.copy(tokens, tokens_); }

bool UmdEncoding::run_unit() {
    network_.run_unit(unit_++);
    if (unit_ < network_.unit_count()) return false;
    compute_.copy(sdk::at(network_.patches(), 0), dense_);
    return true;
}

blocks::Run::Features UmdEncoding::features() const {
    const std::int64_t width = dense_.shape(1);
    return {sdk::at(network_.pooled(), 0),
            sdk::reshape(dense_, {grid_.rows, grid_.columns, width})};
}

} // namespace tessera::umd
