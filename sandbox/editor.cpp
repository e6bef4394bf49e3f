#include "sandbox/editor.hpp"

#include <algorithm>
#include <iterator>

namespace tessera {
namespace {

constexpr std::uint64_t kReplayUs = 3'000'000;          // for a whole run ...
constexpr std::uint64_t kLongestReplayStepUs = 150'000; // ... of many steps

// The recorded step with a picture that is nearest to `step`; nullptr when there is none.
const RunStep *nearest(const RunRecord &run, std::uint32_t step) {
    const RunStep *best = nullptr;
    for (const RunStep &candidate : run.steps) {
        if (candidate.picture == nullptr) continue;
        const auto distance = [step](const RunStep &s) {
            return s.step > step ? s.step - step : step - s.step;
        };
        if (best == nullptr || distance(candidate) <= distance(*best)) best = &candidate;
    }
    return best;
}

} // namespace

void Editor::update(std::uint64_t now_us) {
    if (control_.job() != followed_job_) { // a new run is looked at from its start
        followed_job_ = control_.job();
        show_live();
    }
    if (cursor_ && control_.history().find(cursor_->job) == nullptr) show_live(); // no longer kept
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
        } while (at->picture == nullptr);
        if (at->picture != nullptr) to = at;
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

} // namespace tessera
