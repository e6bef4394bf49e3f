// One job of a generator that is a model.
#include "blocks/shell/job.hpp"

#include "blocks/model/unit_size.hpp"

#include <tessera/ext/features.h>

#include <algorithm>
#include <utility>

namespace tessera::blocks {
namespace {

// Without a budget, small units are run together up to this much work. On a device every return to
// the host is a wait for it: ten units of its own, some ten milliseconds.
double natural_flops(const sdk::Compute &compute) {
    constexpr double kOnTwoCores = 1e9;
    const double unit = unit_flops(compute, kOnTwoCores);
    return compute.memory() == TESSERA_MEMORY_HOST ? unit : 10.0 * unit;
}

} // namespace

ModelJob::ModelJob(const sdk::Compute &compute, Spec spec, std::unique_ptr<Run> run,
                   std::unique_ptr<Pictures> pictures, sdk::Sink sink)
    : compute_(compute), spec_(std::move(spec)), sink_(sink), run_(std::move(run)),
      pictures_(std::move(pictures)) {
    if (spec_.deadline != nullptr) {
        double flops = 0.0;
        for (int unit = 0; unit < pictures_->units(); ++unit) flops += pictures_->flops(unit);
        spec_.deadline->expect_picture(flops);
    }
    const TokenGrid &grid = spec_.grid;
    if (compute_.memory() != TESSERA_MEMORY_HOST) {
        rgba_ = compute_.allocate({grid.height(), grid.width(), 4}, TESSERA_DTYPE_U8);
    }
    const std::int64_t places = spec_.images + run_->step_count();
    first_bad_ = compute_.allocate({places}, TESSERA_DTYPE_I32);
    bad_rows_.assign(static_cast<std::size_t>(places), -1);
    cells_.assign(static_cast<std::size_t>(grid.tokens()), TESSERA_CELL_CHANGED);
    for (std::size_t i = 0; i < spec_.known.size(); ++i) {
        if (spec_.known[i] != 0) cells_[i] = TESSERA_CELL_GIVEN;
    }
    if (pictures_->encode_units() == 0) start_run();
    compute_.synchronize();
}

sdk::Status ModelJob::step(std::uint32_t budget_us) {
    const double start = spec_.clock();
    const double budget = 1e-6 * budget_us;
    const double natural = natural_flops(compute_);
    // A device is only told what to do meanwhile: what it takes is known from the last time.
    const bool waits = compute_.memory() != TESSERA_MEMORY_HOST;
    double done_flops = 0.0;
    while (phase_ != Phase::kDone) {
        const double flops = next_flops();
        const bool boundary = run_unit();
        done_flops += flops;
        if (phase_ == Phase::kDone || sink_.should_stop()) break;
        if (budget_us == 0) {
            if (boundary || done_flops + next_flops() > natural) break;
        } else {
            double elapsed = spec_.clock() - start;
            if (waits) elapsed = std::max(elapsed, done_flops * seconds_per_flop_);
            const double pace = done_flops > 0.0 ? elapsed / done_flops : 0.0;
            if (elapsed + next_flops() * std::max(pace, seconds_per_flop_) > budget) break;
        }
    }
    compute_.synchronize();
    check_numbers();
    if (done_flops > 0.0) seconds_per_flop_ = (spec_.clock() - start) / done_flops;
    return phase_ == Phase::kDone ? sdk::Status::kDone : sdk::Status::kMore;
}

double ModelJob::next_flops() const {
    switch (phase_) {
    case Phase::kEncode:
        return pictures_->encode_flops(unit_);
    case Phase::kRun:
        return run_->next_flops();
    case Phase::kPictures:
        return pictures_->flops(unit_);
    default:
        return 0.0;
    }
}

bool ModelJob::run_unit() {
    switch (phase_) {
    case Phase::kEncode:
        return run_encode_unit();
    case Phase::kRun:
        return run_run_unit();
    case Phase::kPictures:
        return run_picture_unit();
    default:
        return true;
    }
}

bool ModelJob::run_encode_unit() {
    pictures_->run_encode(unit_);
    if (++unit_ < pictures_->encode_units()) return false;
    start_run();
    return true;
}

void ModelJob::start_run() {
    const sdk::View given = pictures_->given_tokens();
    if (given.data != nullptr) run_->give(given);
    phase_ = Phase::kRun;
    if (run_->is_done()) start_pictures();
}

bool ModelJob::run_run_unit() {
    if (!run_->run_unit()) return false;
    const sdk::View tokens = run_->tokens();
    watch(sdk::reshape(tokens, {tokens.shape[0] * tokens.shape[1], tokens.shape[2]}),
          static_cast<std::size_t>(spec_.images + run_->steps_done() - 1));
    sink_.progress(progress(), run_->is_done() ? "decoding" : "sampling");
    emit_cells();
    emit_chain();
    emit_features();
    const bool preview = spec_.preview_every != 0 &&
                         static_cast<std::uint32_t>(run_->steps_done()) % spec_.preview_every == 0;
    if (preview || run_->is_done()) start_pictures();
    return true;
}

void ModelJob::start_pictures() {
    phase_ = Phase::kPictures;
    image_ = 0;
    start_picture();
}

void ModelJob::start_picture() {
    unit_ = 0;
    pictures_->start(sdk::slice(run_->tokens(), 0, image_, 1), image_);
}

bool ModelJob::run_picture_unit() {
    Deadline *const deadline = spec_.deadline.get();
    if (deadline != nullptr && unit_ == 0) deadline->start();
    pictures_->run(unit_);
    if (++unit_ < pictures_->units()) return false;
    emit_picture();
    if (deadline != nullptr) deadline->measured_picture();
    if (++image_ < spec_.images) {
        start_picture();
    } else {
        unit_ = 0;
        phase_ = run_->is_done() ? Phase::kDone : Phase::kRun;
    }
    if (phase_ == Phase::kDone && deadline != nullptr && spec_.report) {
        spec_.report(run_->hurried(), progress());
    }
    return true;
}

void ModelJob::emit_picture() {
    const TokenGrid &grid = spec_.grid;
    const sdk::View picture = pictures_->picture();
    const sdk::Frame frame = sink_.acquire_frame(static_cast<std::uint32_t>(grid.width()),
                                                 static_cast<std::uint32_t>(grid.height()));
    if (frame.tensor.memory == compute_.memory()) {
        compute_.to_rgba8(picture, frame.tensor);
    } else {
        compute_.to_rgba8(picture, rgba_);
        compute_.download(rgba_, frame.tensor);
    }
    watch(sdk::reshape(picture, {grid.height() * grid.width(), picture.shape[2]}),
          static_cast<std::size_t>(image_));
    // Who reads either of them on the host waits for the device; on a device nobody has to.
    if (frame.tensor.memory == TESSERA_MEMORY_HOST) {
        compute_.synchronize();
        check_numbers();
    }
    // The picture last: who shows it submits what is enqueued so far, latents that are kept too.
    sink_.features(TESSERA_FEATURE_LATENTS, pictures_->latents(), progress(image_));
    sink_.emit(frame, progress(image_));
}

// Known after the next synchronize, which comes anyway: the device never waits for it.
void ModelJob::watch(const sdk::View &rows, std::size_t place) {
    const sdk::View found = sdk::slice(first_bad_.view(), 0, static_cast<std::int64_t>(place), 1);
    compute_.first_not_finite(rows, found);
    compute_.download(found, sdk::host_view(&bad_rows_[place], {1}));
}

// After a synchronize. Tokens first: a picture of bad ones is only what follows.
void ModelJob::check_numbers() {
    const TokenGrid &grid = spec_.grid;
    const auto images = static_cast<std::size_t>(spec_.images);
    for (std::size_t place = images; place < bad_rows_.size(); ++place) {
        const std::int64_t row = std::exchange(bad_rows_[place], -1);
        if (row < 0 || row == spec_.images * grid.tokens()) continue;
        refuse("step " + std::to_string(place - images + 1) + " of " +
               std::to_string(run_->step_count()) + ": token " +
               std::to_string(row % grid.tokens()) + " of image " +
               std::to_string(row / grid.tokens()) + " is no longer a number");
    }
    for (std::size_t image = 0; image < images; ++image) {
        const std::int64_t row = std::exchange(bad_rows_[image], -1);
        if (row < 0 || row == grid.height() * grid.width()) continue;
        refuse("step " + std::to_string(run_->steps_done()) + " of " +
               std::to_string(run_->step_count()) + ": pixel (" +
               std::to_string(row % grid.width()) + ", " + std::to_string(row / grid.width()) +
               ") of image " + std::to_string(image) + " is not a number");
    }
}

void ModelJob::refuse(const std::string &what) const {
    throw sdk::Failure(sdk::Status::kFailed,
                       what + "; " +
                           (spec_.raised.empty()
                                ? "no setting is raised, so the weights of the model may be damaged"
                                : "lower " + spec_.raised));
}

void ModelJob::emit_cells() {
    for (int image = 0; image < spec_.images; ++image) {
        const std::span<const std::uint8_t> cells = run_->cells(image);
        sink_.cells(sdk::host_view(cells.empty() ? cells_.data() : cells.data(),
                                   {spec_.grid.rows, spec_.grid.columns}),
                    progress(image));
    }
}

void ModelJob::emit_chain() {
    const sdk::View chain = run_->watched_chain();
    if (chain.data == nullptr) return;
    compute_.synchronize();
    sink_.features(TESSERA_FEATURE_CHAIN, chain, progress());
}

void ModelJob::emit_features() {
    if (!run_->is_done()) return;
    const Run::Features made = run_->features();
    if (made.pooled.data == nullptr) return;
    sink_.features(TESSERA_FEATURE_POOLED, made.pooled, progress());
    sink_.features(TESSERA_FEATURE_DENSE, made.dense, progress());
}

// A run with nothing to generate counts as one step that is done.
sdk::Progress ModelJob::progress(int image) const {
    if (run_->step_count() == 0) return {.done = 1, .total = 1, .image = image};
    return {.done = run_->steps_done(), .total = run_->step_count(), .image = image};
}

} // namespace tessera::blocks
