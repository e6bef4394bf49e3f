#include "host/edit/editor.hpp"

#include "assets/image_resize.hpp"

#include <tessera/ext/features.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace tessera {
namespace {

constexpr std::uint64_t kReplayUs = 3'000'000;          // for a whole run ...
constexpr std::uint64_t kLongestReplayStepUs = 150'000; // ... of many steps

constexpr std::size_t kMaxStates = 500;

// The recorded step with a picture that is nearest to `step`; nullptr when there is none.
const RunStep *nearest(const RunRecord &run, std::uint32_t step) {
    const RunStep *best = nullptr;
    for (const RunStep &candidate : run.steps) {
        if (!candidate.has_picture()) continue;
        const auto distance = [step](const RunStep &s) {
            return s.step > step ? s.step - step : step - s.step;
        };
        if (best == nullptr || distance(candidate) <= distance(*best)) best = &candidate;
    }
    return best;
}

} // namespace

Editor::Editor(PlayControl &control) : control_(control) {
    if (const InputSlot *mask = mask_slot()) {
        marks_ = TokenMarks(mask->cell_columns, mask->cell_rows);
    }
    control.inputs = [this] { return next_inputs(); };
}

// A mask in tokens, and something that the kept ones can be taken from.
const InputSlot *Editor::mask_slot() const {
    const InputSlot *const mask = slot(TESSERA_INPUT_MASK);
    const bool has_source = slot(TESSERA_INPUT_LATENTS) != nullptr || can_start_from_image();
    return mask != nullptr && mask->cell_columns > 0 && mask->cell_rows > 0 && has_source ? mask
                                                                                          : nullptr;
}

const InputSlot *Editor::slot(std::string_view key) const {
    return find_slot(control_.player().inputs(), key);
}

// Marks of another grid are of no use: they are gone when the size of the next run changes.
void Editor::fit_marks() {
    const InputSlot *const mask = mask_slot();
    if (mask == nullptr || !mask->follows_size) return;
    const InputSlot now = sized(*mask, control_.player().params());
    if (marks_.columns() == now.cell_columns && marks_.rows() == now.cell_rows) return;
    marks_ = TokenMarks(now.cell_columns, now.cell_rows);
    stroke_.reset();
}

void Editor::update(std::uint64_t now_us) {
    fit_marks();
    const bool replaced = control_.job() != followed_job_ && followed_job_ > remembered_job_;
    if (replaced && is_complete(followed_job_)) remember(followed_job_);
    if (control_.settled() && control_.job() > remembered_job_) remember(control_.job());
    if (control_.job() != followed_job_) { // a new run is looked at from its start
        followed_job_ = control_.job();
        show_live();
    }
    if (cursor_ && control_.history().find(cursor_->job) == nullptr) show_live(); // no longer kept
    // The next run is given what is shown: it is read before it is asked for.
    if (const RunStep *const kept = marks_.empty() ? nullptr : step()) {
        static_cast<void>(control_.fetch(run()->job, kept->step));
    }
    if (!replaying_ || now_us < next_replay_us_) return;
    const RunRecord *const shown = run();
    if (shown == nullptr || shown->steps.empty()) {
        replaying_ = false;
        return;
    }
    const bool first = next_replay_us_ == 0;
    next_replay_us_ = now_us + std::min(kLongestReplayStepUs, kReplayUs / shown->steps.size());
    if (first) return;
    const RunStep *const before = step();
    move(1);
    if (step() == before) replaying_ = false;
}

const RunRecord *Editor::run() const {
    return control_.history().find(cursor_ ? cursor_->job : control_.job());
}

const RunStep *Editor::step() const {
    const RunRecord *const shown = run();
    if (shown == nullptr) return nullptr;
    return cursor_ ? nearest(*shown, cursor_->step) : shown->last_picture();
}

void Editor::pin() {
    if (const RunRecord *const shown = run()) pinned_ = *shown;
}

bool Editor::fetch_pinned() {
    const RunStep *const wanted = pinned_step();
    if (wanted == nullptr) return false;
    return pinned_->steps[static_cast<std::size_t>(wanted - pinned_->steps.data())].fetch();
}

const RunStep *Editor::pinned_step() const {
    if (!pinned_) return nullptr;
    const RunRecord *const shown = run();
    const RunStep *const now = step();
    const double share = shown == nullptr || shown->total_steps == 0 ? 1.0
                         : now == nullptr                            ? 0.0
                                          : static_cast<double>(now->step) / shown->total_steps;
    return nearest(*pinned_, static_cast<std::uint32_t>(std::lround(share * pinned_->total_steps)));
}

const Param *Editor::watch_param() const {
    return control_.player().params().find(TESSERA_KEY_WATCH_TOKEN);
}

std::int64_t Editor::watched() const {
    return static_cast<std::int64_t>(
        control_.player().params().value_of(TESSERA_KEY_WATCH_TOKEN, -1));
}

void Editor::watch(std::int64_t token) {
    if (!can_watch() || token == watched()) return;
    const bool plays_by_itself = control_.busy() || control_.options.live;
    control_.set_value(watch_param()->id, static_cast<double>(token));
    if (!plays_by_itself) control_.restart();
}

void Editor::show(std::uint64_t job, std::uint32_t step) {
    const RunRecord *const wanted = control_.history().find(job);
    const RunStep *const found = wanted != nullptr ? nearest(*wanted, step) : nullptr;
    if (found == nullptr) return;
    replaying_ = false;
    cursor_ = Cursor{job, found->step};
}

void Editor::show_live() {
    cursor_.reset();
    replaying_ = false;
}

void Editor::move(int steps) {
    const RunRecord *const shown = run();
    const RunStep *const now = step();
    if (shown == nullptr || now == nullptr) return;
    const bool forth = steps > 0;
    const RunStep *to = now;
    const RunStep *const begin = shown->steps.data();
    const RunStep *const end = begin + shown->steps.size();
    for (const RunStep *at = now; steps != 0; steps += forth ? -1 : 1) {
        do {
            if (forth ? at + 1 == end : at == begin) break;
            at += forth ? 1 : -1;
        } while (!at->has_picture());
        if (at->has_picture()) to = at;
    }
    const bool at_end = to == shown->last_picture();
    if (at_end && shown->job == control_.job()) {
        cursor_.reset(); // and follows it from here
    } else {
        cursor_ = Cursor{shown->job, to->step};
    }
}

void Editor::show_first() {
    if (const RunRecord *const shown = run()) show(shown->job, 0);
}

void Editor::replay() {
    show_first();
    replaying_ = !is_live();
    next_replay_us_ = 0;
}

// ---- marks --------------------------------------------------------------------------------------

void Editor::begin_stroke(Point at, Mark mark) {
    if (!can_mark()) return;
    stroke_ = Stroke{marks_, at, at, mark};
    stroke_to(at);
}

void Editor::stroke_to(Point at) {
    if (!stroke_) return;
    if (tool == Tool::kRectangle) {
        marks_ = stroke_->before;
        marks_.paint_rectangle(stroke_->first, at, stroke_->mark);
    } else {
        marks_.paint(stroke_->last, at, brush_size, stroke_->mark);
    }
    stroke_->last = at;
}

void Editor::end_stroke() {
    if (!stroke_) return;
    const bool changed = stroke_->before != marks_;
    stroke_.reset();
    if (changed && run() != nullptr) remember(run()->job);
}

void Editor::clear_marks() {
    if (marks_.empty()) return;
    marks_ = TokenMarks(marks_.columns(), marks_.rows());
    stroke_.reset();
    if (run() != nullptr) remember(run()->job);
}

std::size_t Editor::wanted_count() const {
    if (marks_.empty()) return 0;
    const std::vector<std::uint8_t> wanted = marks_.wanted();
    return wanted.size() -
           static_cast<std::size_t>(std::count(wanted.begin(), wanted.end(), std::uint8_t{0}));
}

// What the next run is given: with marks, the tokens of what is shown. A run that is restarted
// before it is done keeps what it was given.
std::optional<PlayInputs> Editor::next_inputs() {
    if (given_) {
        base_.reset();
        return *std::exchange(given_, std::nullopt);
    }
    if (marks_.empty() || !can_mark()) {
        base_.reset();
        return PlayInputs{};
    }
    const bool restarts = is_live() && base_ && !control_.settled();
    if (!restarts) {
        const RunRecord *const shown = run();
        const RunStep *const kept = step();
        base_.reset();
        if (shown != nullptr && kept != nullptr) base_ = Cursor{shown->job, kept->step};
    }
    const RunRecord *const from = base_ ? control_.history().find(base_->job) : nullptr;
    const RunStep *const kept = from != nullptr ? nearest(*from, base_->step) : nullptr;
    if (kept == nullptr) return PlayInputs{};
    if (!control_.fetch(from->job, kept->step)) return std::nullopt;
    return inputs_from(*from, *kept);
}

PlayInputs Editor::inputs_from(const RunRecord &run, const RunStep &step) const {
    PlayInputs given;
    Image mask{marks_.columns(), marks_.rows(), 1, marks_.wanted()};
    const InputSlot *const slot_of_mask = mask_slot();
    const bool other_size = slot_of_mask != nullptr && slot_of_mask->follows_size &&
                            !step.cells.empty() && step.cells.size() != mask.pixels.size();
    if (other_size) return {};                     // the next run is of another size than this one
    if (step.cells.size() == mask.pixels.size()) { // an unfinished picture is finished as well
        for (std::size_t i = 0; i < step.cells.size(); ++i) {
            if (step.cells[i] == TESSERA_CELL_UNKNOWN) mask.pixels[i] = 1;
        }
    }
    const bool has_latents = slot(TESSERA_INPUT_LATENTS) != nullptr && step.latents != nullptr;
    given.keeps_pixels = (run.keeps_pixels || !has_latents) && can_start_from_image();
    if (!has_latents && !given.keeps_pixels) return {};
    given.list.push_back({TESSERA_INPUT_MASK, std::move(mask)});
    if (has_latents) {
        const Latents &latents = *step.latents;
        given.list.push_back({TESSERA_INPUT_LATENTS,
                              {latents.width, latents.height, latents.channels, {}},
                              latents.values});
    }
    if (given.keeps_pixels) given.list.push_back({TESSERA_INPUT_IMAGE, *step.picture});
    return given;
}

// ---- undo ---------------------------------------------------------------------------------------

bool Editor::is_complete(std::uint64_t job) const {
    const RunRecord *const record = control_.history().find(job);
    const RunStep *const last = record != nullptr ? record->last_picture() : nullptr;
    return last != nullptr && last->step == record->total_steps;
}

void Editor::remember(std::uint64_t job) {
    const RunRecord *const record = control_.history().find(job);
    remembered_job_ = std::max(remembered_job_, job);
    if (record == nullptr || record->last_picture() == nullptr) return;
    if (!states_.empty()) states_.resize(now_ + 1);
    if (states_.size() >= kMaxStates) states_.erase(states_.begin());
    states_.push_back({marks_, job, record->seed, record->values, control_.style()});
    now_ = states_.size() - 1;
}

bool Editor::can_undo() const { return !states_.empty() && (now_ > 0 || !control_.settled()); }

void Editor::undo() {
    if (!can_undo()) return;
    // A run under way is given up: back to what was there before it.
    const bool is_running = !control_.settled();
    if (is_running) {
        remembered_job_ = control_.job();
        control_.cancel();
    }
    restore(is_running ? now_ : now_ - 1);
}

void Editor::redo() {
    if (can_redo()) restore(now_ + 1);
}

void Editor::restore(std::size_t index) {
    now_ = index;
    const State &state = states_[index];
    stroke_.reset();
    marks_ = state.marks;
    control_.adopt(state.seed, state.values, state.style);
    const RunRecord *const record = control_.history().find(state.job);
    const RunStep *const last = record != nullptr ? record->last_picture() : nullptr;
    if (last == nullptr) return; // no longer kept: the settings and marks are
    followed_job_ = control_.job();
    if (state.job == control_.job()) {
        show_live();
    } else {
        show(state.job, last->step);
    }
}

// ---- pictures from outside ----------------------------------------------------------------------

Result<void> Editor::start_from(const Image &image) {
    const InputSlot *const picture = slot(TESSERA_INPUT_IMAGE);
    if (picture == nullptr) {
        return make_error(Status::kUnsupported, "{} takes no picture to start from",
                          control_.player().info().name);
    }
    const Params &params = control_.player().params();
    const InputSlot wanted = sized(*picture, params);
    const std::uint32_t width = wanted.width > 0 ? wanted.width : image.width;
    const std::uint32_t height = wanted.height > 0 ? wanted.height : image.height;
    auto fitted = fit_image(image, width, height);
    if (!fitted) return fitted.error();
    PlayInputs given;
    given.keeps_pixels = true;
    given.list.push_back({TESSERA_INPUT_IMAGE, std::move(*fitted)});
    if (const InputSlot *const given_mask = slot(TESSERA_INPUT_MASK)) { // nothing is made again
        const InputSlot mask = sized(*given_mask, params);
        const bool in_cells = mask.cell_columns > 0 && mask.cell_rows > 0;
        Image keep{in_cells ? mask.cell_columns : width, in_cells ? mask.cell_rows : height, 1, {}};
        keep.pixels.resize(std::size_t{keep.width} * keep.height);
        given.list.push_back({TESSERA_INPUT_MASK, std::move(keep)});
    }
    marks_ = TokenMarks(marks_.columns(), marks_.rows());
    given_ = std::move(given);
    control_.restart();
    return {};
}

} // namespace tessera
