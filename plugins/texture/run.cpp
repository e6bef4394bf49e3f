// Noise level by noise level.
#include "texture/run.hpp"

#include <tessera/generator.h>

#include <algorithm>
#include <utility>

namespace tessera::texture {
namespace {

constexpr double kSolveFlops = 100.0; // of a number, on one thread

SolverSettings solver_settings(const blocks::RunSpec &spec, const blocks::ImageSpec &own) {
    return {spec.diffusion.integrator, spec.diffusion.eta, own.temperature};
}

int count_unknown(const blocks::RunSpec &spec, std::int64_t tokens) {
    if (spec.known.empty()) return static_cast<int>(tokens);
    return static_cast<int>(std::count(spec.known.begin(), spec.known.end(), std::uint8_t{0}));
}

} // namespace

TextureRun::TextureRun(const sdk::Compute &compute, const TextureModel &model, blocks::RunSpec spec,
                       int sets)
    : compute_(compute), model_(model),
      spec_(std::move(spec)), grid_{spec_.grid.rows, spec_.grid.columns},
      times_(run_times(model_.config, spec_.steps)),
      sets_(blocks::cosine_plan(sets, count_unknown(spec_, count()))),
      plan_(static_cast<int>(sets_.size()), spec_.steps, spec_.diffusion.hurry),
      styles_(model, spec_) {
    const int unknown = count_unknown(spec_, count());
    if (spec_.known.empty()) spec_.known.assign(static_cast<std::size_t>(count()), 0);
    const auto images = static_cast<std::int64_t>(spec_.labels.size());
    tokens_ = compute_.allocate({images, count(), kTokenWidth});
    compute_.fill(0.0F, tokens_);
    shown_.resize(static_cast<std::size_t>(images * count() * kTokenWidth));
    for (std::int64_t i = 0; i < images; ++i) {
        const blocks::ImageSpec own = spec_.image(static_cast<std::size_t>(i));
        const SolverSettings settings = solver_settings(spec_, own);
        images_.push_back(
            {own,
             settings,
             Solver(model_, settings, times_, count()),
             blocks::random_order(own.seed, own.stream, static_cast<int>(count()), spec_.known),
             spec_.known,
             std::vector<float>(static_cast<std::size_t>(count() * kTokenNumbers)),
             {}});
        for (const std::uint8_t known : spec_.known) {
            images_.back().cells.push_back(known != 0 ? TESSERA_CELL_GIVEN : TESSERA_CELL_UNKNOWN);
        }
    }
    if (unknown == 0) return;
    const bool guided = std::any_of(times_.begin(), times_.end() - 1, [&](const double &time) {
        return is_guided(static_cast<int>(&time - times_.data()));
    });
    trunk_ = std::make_unique<Trunk>(compute_, model_, grid_, images, guided);
    const std::int64_t batch = guided ? 2 * images : images;
    noise_ = compute_.allocate({count(), kTokenNumbers});
    noise_host_.resize(static_cast<std::size_t>(count() * kTokenNumbers));
    noise_index_.resize(static_cast<std::size_t>(2 * count()));
    input_host_.resize(static_cast<std::size_t>(batch * count() * (kTokenNumbers + 1)));
    output_host_.resize(static_cast<std::size_t>(batch * count() * kTokenNumbers));
    if (spec_.watched >= 0) {
        chain_.resize(static_cast<std::size_t>((spec_.steps + 1) * kTokenWidth));
    }
    const bool any_known =
        std::any_of(spec_.known.begin(), spec_.known.end(), [](auto known) { return known != 0; });
    if (!any_known) start(); // else `give` does
}

int TextureRun::step_count() const { return plan_.size(); }

bool TextureRun::is_guided(const Image &image, int level) const {
    const double time = times_[static_cast<std::size_t>(level)];
    return image.own.guidance != 1.0 && time >= spec_.diffusion.guidance_low &&
           time <= spec_.diffusion.guidance_high;
}

bool TextureRun::is_guided(int level) const {
    return std::any_of(images_.begin(), images_.end(),
                       [&](const Image &image) { return is_guided(image, level); });
}

// ---- before the first level ---------------------------------------------------------------------

void TextureRun::give(const sdk::View &tokens) {
    const std::int64_t sets = sdk::element_count(tokens) / (count() * kTokenWidth);
    compute_.download(sdk::reshape(tokens, {sets, count(), kTokenWidth}),
                      sdk::host_view(shown_.data(), {sets, count(), kTokenWidth}));
    compute_.synchronize();
    const auto size = static_cast<std::size_t>(count() * kTokenWidth);
    for (std::size_t i = 0; i < images_.size(); ++i) {
        const auto given = std::span(shown_).subspan(sets > 1 ? i * size : 0, size);
        for (std::int64_t token = 0; token < count(); ++token) {
            if (spec_.known[static_cast<std::size_t>(token)] == 0) continue;
            std::copy_n(given.data() + token * kTokenWidth, kTokenNumbers,
                        images_[i].values.data() + token * kTokenNumbers);
        }
        styles_.give(i, given, spec_.known);
    }
    start();
}

void TextureRun::start() {
    started_ = true;
    if (trunk_ == nullptr) {
        for (std::size_t i = 0; i < images_.size(); ++i) show(i);
        return;
    }
    trunk_->set_conditions(styles_.conditions(compute_),
                           std::span(times_).first(times_.size() - 1));
    start_set();
}

// ---- levels -------------------------------------------------------------------------------------

// Every set and every step of the solver has noise of its own: positions behind those of the
// tokens.
void TextureRun::draw_noise(std::size_t image, std::uint32_t stream, std::uint32_t first_draw) {
    const blocks::ImageSpec &own = images_[image].own;
    const auto tokens = static_cast<std::int32_t>(count());
    const auto set = static_cast<std::int32_t>(plan_[step_].set);
    for (std::int32_t token = 0; token < tokens; ++token) {
        const auto row = static_cast<std::size_t>(2 * token);
        noise_index_[row] = static_cast<std::int32_t>(own.stream);
        noise_index_[row + 1] = token + set * tokens;
    }
    const sdk::View index = sdk::host_view(noise_index_.data(), {count(), 2});
    tessera_random random{};
    random.stream = stream;
    random.seed = own.seed;
    random.first_draw = first_draw;
    random.index = &index;
    compute_.normal(random, noise_);
    compute_.download(noise_, sdk::host_view(noise_host_.data(), {count(), kTokenNumbers}));
    compute_.synchronize();
}

void TextureRun::start_set() {
    const auto set = static_cast<std::size_t>(plan_[step_].set);
    for (std::size_t i = 0; i < images_.size(); ++i) {
        Image &image = images_[i];
        const sdk::View recorded = spec_.recorded ? spec_.recorded(step_).initial : sdk::View{};
        if (recorded.data != nullptr) {
            compute_.download(
                sdk::reshape(
                    sdk::slice(recorded, 0, static_cast<std::int64_t>(i) * count(), count()),
                    {count(), kTokenNumbers}),
                sdk::host_view(noise_host_.data(), {count(), kTokenNumbers}));
            compute_.synchronize();
        } else {
            draw_noise(i, TESSERA_STREAM_INITIAL_NOISE, 0);
        }
        image.solver.start(noise_host_, image.known, image.values);
        for (int k = sets_[set].first; k < sets_[set].unknown_before; ++k) {
            image.cells[static_cast<std::size_t>(image.order[static_cast<std::size_t>(k)])] =
                TESSERA_CELL_CHANGED;
        }
    }
    const bool watched_is_known = spec_.watched < 0 || spec_.watched >= count() ||
                                  images_[0].known[static_cast<std::size_t>(spec_.watched)] != 0;
    if (!watched_is_known) chain_rows_ = 0;
    watch(images_[0].solver.tokens());
    start_pass();
}

// Passes [first, end) of a plan, and the pictures from there on.
blocks::Work TextureRun::work_of(const LevelPlan &plan, int first, int end) const {
    blocks::Work work;
    const auto images = static_cast<double>(images_.size());
    for (int k = first; k < end; ++k) {
        work.tower += trunk_->pass_flops() * images * (is_guided(plan[k].level) ? 2.0 : 1.0);
        const bool shown = spec_.preview_every != 0 &&
                           static_cast<std::uint32_t>(k + 1) % spec_.preview_every == 0;
        if (k + 1 == plan.size() || shown) work.pictures += images;
    }
    return work;
}

// The lowest hurry at which this pass still leaves time for the rest at the next one: what is left
// out is left out late, where it changes least.
void TextureRun::keep_deadline() {
    for (int hurry = plan_.hurry(); hurry < blocks::kHurryLevels; ++hurry) {
        LevelPlan trial = plan_;
        trial.raise(step_, hurry);
        blocks::Work work = work_of(trial, step_, step_ + 1);
        trial.raise(step_ + 1, hurry + 1);
        const blocks::Work rest = work_of(trial, step_ + 1, trial.size());
        work.tower += rest.tower;
        work.pictures += rest.pictures;
        if (spec_.deadline->fits(work)) return plan_.raise(step_, hurry);
    }
    plan_.raise(step_, blocks::kHurryLevels);
}

void TextureRun::start_pass() {
    if (spec_.deadline != nullptr) {
        keep_deadline();
        spec_.deadline->start();
    }
    const int level = plan_[step_].level;
    const bool guided = is_guided(level);
    const std::int64_t images = static_cast<std::int64_t>(images_.size());
    const std::int64_t entries = guided ? 2 * images : images;
    float *to = input_host_.data();
    for (std::int64_t entry = 0; entry < entries; ++entry) {
        const Image &image = images_[static_cast<std::size_t>(entry % images)];
        const float *from = image.solver.tokens().data();
        for (std::int64_t token = 0; token < count(); ++token) {
            to = std::copy_n(from + token * kTokenNumbers, kTokenNumbers, to);
            *to++ = image.known[static_cast<std::size_t>(token)] != 0 ? 1.0F : 0.0F;
        }
    }
    compute_.upload(
        sdk::host_view(input_host_.data(), {entries, grid_.rows, grid_.columns, kTokenNumbers + 1}),
        sdk::slice(trunk_->input(), 0, 0, entries));
    trunk_->start(level, guided);
    unit_ = 0;
}

double TextureRun::next_flops() const {
    if (is_done() || trunk_ == nullptr) return 0.0;
    if (unit_ < trunk_->size()) return trunk_->flops(unit_);
    return kSolveFlops * static_cast<double>(count() * kTokenNumbers);
}

// The units of the pass, then the solver of each picture.
bool TextureRun::run_unit() {
    if (is_done()) return false;
    if (unit_ < trunk_->size()) {
        trunk_->run(unit_++);
        return false;
    }
    const auto image = static_cast<std::size_t>(unit_++ - trunk_->size());
    if (image == 0) read_output();
    solve(image);
    show(image);
    if (image + 1 < images_.size()) return false;
    finish_level();
    return true;
}

// Of all pictures at once: a device is waited for once.
void TextureRun::read_output() {
    const auto images = static_cast<std::int64_t>(images_.size());
    const std::int64_t entries = is_guided(plan_[step_].level) ? 2 * images : images;
    compute_.download(
        sdk::slice(trunk_->output(), 0, 0, entries),
        sdk::host_view(output_host_.data(), {entries, grid_.rows, grid_.columns, kTokenNumbers}));
    compute_.synchronize();
}

void TextureRun::solve(std::size_t image) {
    const LevelPass pass = plan_[step_];
    const int level = pass.level;
    const std::size_t unguided = images_.size() + image;
    const auto size = static_cast<std::size_t>(count() * kTokenNumbers);
    const auto entry = [&](std::size_t i) {
        return std::span<const float>(output_host_).subspan(i * size, size);
    };
    Verdict verdict;
    verdict.given = entry(image);
    verdict.given_gain = trunk_->gain(static_cast<std::int64_t>(image));
    verdict.guidance = images_[image].own.guidance;
    if (is_guided(images_[image], level)) {
        verdict.free = entry(unguided);
        verdict.free_gain = trunk_->gain(static_cast<std::int64_t>(unguided));
    }
    std::span<const float> noise;
    if (images_[image].settings.has_noise() && !pass.last) {
        draw_noise(image, TESSERA_STREAM_STEP_NOISE,
                   static_cast<std::uint32_t>(level * kTokenNumbers / 4));
        noise = noise_host_;
    }
    const int next = pass.last ? spec_.steps : plan_[step_ + 1].level;
    images_[image].solver.advance(level, next, verdict, noise);
    if (image == 0) watch(images_[0].solver.tokens());
}

void TextureRun::finish_level() {
    if (spec_.deadline != nullptr) {
        spec_.deadline->measured_tower(work_of(plan_, step_, step_ + 1).tower);
    }
    if (!plan_[step_++].last) return start_pass();
    for (Image &image : images_) finish_set(image);
    if (!is_done()) start_set();
}

// The tokens of the set become known; the last set's stay marked as what changed.
void TextureRun::finish_set(Image &image) {
    const blocks::UnmaskStep &set = sets_[static_cast<std::size_t>(plan_[step_ - 1].set)];
    for (int k = set.first; k < set.unknown_before; ++k) {
        const auto token = static_cast<std::size_t>(image.order[static_cast<std::size_t>(k)]);
        image.known[token] = 1;
        if (!is_done()) image.cells[token] = TESSERA_CELL_KNOWN;
        std::copy_n(image.solver.tokens().data() + token * kTokenNumbers, kTokenNumbers,
                    image.values.data() + token * kTokenNumbers);
    }
}

// What a picture takes its tokens to be at this level.
void TextureRun::show(std::size_t image) {
    const Image &from = images_[image];
    const float *tokens = trunk_ == nullptr ? from.values.data() : from.solver.clean().data();
    float *to = shown_.data() + static_cast<std::int64_t>(image) * count() * kTokenWidth;
    for (std::int64_t token = 0; token < count(); ++token) {
        to = std::copy_n(tokens + token * kTokenNumbers, kTokenNumbers, to);
        to = std::copy(styles_[image].begin(), styles_[image].end(), to);
    }
    if (image + 1 < images_.size()) return; // the last one brings them all
    const auto images = static_cast<std::int64_t>(images_.size());
    compute_.upload(sdk::host_view(shown_.data(), {images, count(), kTokenWidth}), tokens_);
}

void TextureRun::watch(std::span<const float> tokens) {
    if (spec_.watched < 0 || spec_.watched >= count()) return;
    if (images_[0].known[static_cast<std::size_t>(spec_.watched)] != 0) return;
    float *row = chain_.data() + chain_rows_++ * kTokenWidth;
    std::copy_n(tokens.data() + spec_.watched * kTokenNumbers, kTokenNumbers, row);
    std::copy(styles_[0].begin(), styles_[0].end(), row + kTokenNumbers);
}

std::span<const std::uint8_t> TextureRun::cells(int image) const {
    return images_[static_cast<std::size_t>(image)].cells;
}

sdk::View TextureRun::watched_chain() const {
    if (chain_rows_ < 2) return {};
    return sdk::host_view(chain_.data(), {chain_rows_, kTokenWidth});
}

} // namespace tessera::texture
