// Who is next, and what a turn is: begin a run, or one step of it, or its end.
#include "api/runtime.hpp"

#include "core/log.hpp"
#include "core/thread_priority.hpp"
#include "core/trace.hpp"

#include <tessera/ext/features.h>

#include <pthread.h>

#include <algorithm>
#include <array>
#include <exception>
#include <new>
#include <string_view>
#include <tuple>

namespace tessera::api {
namespace {

constexpr std::uint32_t kStepUs = 4000; // of one turn
constexpr std::uint32_t kLeastStepUs = 500;
constexpr std::size_t kMostRuns = 4; // under way of one model
constexpr std::size_t kMostRunsOfPatient = 2;
constexpr std::uint64_t kPatientTurn = 8; // every so many turns the one who waits longest

std::int64_t us_since(Clock::time_point started) {
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - started).count();
}

// Jobs under way, at most kMostRuns: runs that were begun together are one.
std::size_t count_jobs(const Model &model) {
    std::array<std::uint64_t, kMostRuns> groups{};
    std::size_t count = 0;
    for (const auto &[texture, run] : model.runs) {
        const auto end = groups.begin() + static_cast<std::ptrdiff_t>(count);
        if (count == kMostRuns || run == nullptr) break;
        if (std::find(groups.begin(), end, run->group()) == end) groups[count++] = run->group();
    }
    return count;
}

} // namespace

// ---- whose turn ---------------------------------------------------------------------------------

bool Runtime::may_have_turn(const Texture &texture) const {
    const Model &model = *texture.model;
    if (model.state != ModelState::kReady) return false;
    const bool runs = texture.run_job != 0;
    if (runs && texture.stop) return true;
    if (model.evict) return false;
    if (model.renewed.session != nullptr) return false; // ends what it has first
    if (texture.paused || hidden_ == 1 || (!runs && !texture.waits)) return false;
    if (hidden_ == 0 && !(model.on_gpu ? gpu_ : cpu_).has_any()) return false;
    if (runs) return true;
    return count_jobs(model) < kMostRuns && texture.busy_at != model.changes && !model.closed;
}

std::shared_ptr<Texture> Runtime::next_texture() const {
    const bool patient = turns_ % kPatientTurn == kPatientTurn - 1;
    std::shared_ptr<Texture> best;
    for (const auto &[id, texture] : textures_) {
        if (!may_have_turn(*texture)) continue;
        const bool ends = texture->run_job != 0 && texture->stop;
        if (ends) {
            best = texture;
            break;
        }
        const bool begins = texture->run_job == 0;
        if (patient && begins && count_jobs(*texture->model) >= kMostRunsOfPatient) {
            continue;
        }
        if (best == nullptr) {
            best = texture;
        } else if (patient) {
            if (texture->last_turn < best->last_turn) best = texture;
        } else {
            const auto rank = [](const Texture &t) { return std::tuple(t.priority, t.weight); };
            const auto age = [](const Texture &t) { return std::tuple(t.run_job == 0, t.id); };
            const auto mine = rank(*texture), theirs = rank(*best);
            if (mine > theirs || (mine == theirs && age(*texture) < age(*best))) best = texture;
        }
    }
    return best;
}

std::optional<Runtime::Turn> Runtime::next_turn() {
    const auto best = next_texture();
    if (best == nullptr) return std::nullopt;
    Turn turn;
    turn.texture = best;
    turn.model = best->model;
    const auto run = best->model->runs.find(best->id);
    if (run != best->model->runs.end()) {
        turn.run = run->second.get();
        turn.stop = best->stop;
        turn.job = best->run_job;
    } else {
        try {
            turn.order = best->order;
        } catch (const std::bad_alloc &) {
            end_waiting(*best, TextureState::kFailed, {Status::kOutOfMemory, kNoMemory});
            return next_turn();
        }
        turn.job = best->job;
        claim(*best);
        claim_mates(turn);
    }
    const Allowance &allowance = best->model->on_gpu ? gpu_ : cpu_;
    turn.budget_us = kStepUs;
    if (allowance.limited && hidden_ != 2) {
        turn.budget_us = static_cast<std::uint32_t>(
            std::clamp<std::int64_t>(allowance.left_us, kLeastStepUs, kStepUs));
    }
    turn.frame_core = frame_core_;
    turn.number = ++turns_;
    note_turn(turn);
    return turn;
}

// ---- a turn, without the mutex ------------------------------------------------------------------

Result<TextureTask> Runtime::task_of(const Turn &turn, const Texture &texture, const Order &order,
                                     std::uint64_t job) const {
    const ModelFacts &facts = *turn.model->facts;
    auto plan = plan_of(facts, order);
    if (!plan) return plan.error();
    TextureTask task;
    task.job = job;
    task.texture = texture.id;
    task.group = turn.number;
    task.values = plan->values.snapshot(/*canvas=*/plan->width != 0);
    task.request.seed = order.seed;
    task.request.preview_every = order.preview_every;
    task.request.inputs = order.inputs;
    task.width = plan->width;
    task.height = plan->height;
    for (const InputSlot &slot : facts.inputs) task.slots.push_back(sized(slot, plan->values));
    task.maps = order.maps;
    if (const Param *const material = plan->values.find("class")) {
        task.metallic = metallic_of(plan->values.format(*material));
    }
    return task;
}

TextureHooks Runtime::hooks_of(const std::shared_ptr<Texture> &texture, std::uint64_t job,
                               Worker &worker) {
    // Other values may take it to be activated again, for seconds.
    const auto watch = [this, &worker](bool watched) {
        const auto guard = lock();
        worker.watched = watched;
        worker.started = Clock::now();
    };
    TextureHooks hooks;
    hooks.session.device_features = false;
    hooks.session.should_stop = [this, texture] { return texture->stop || quit_; };
    hooks.session.on_event = [this, texture = texture.get(), job](PlayerEvent event) {
        take_event(*texture, job, event);
    };
    hooks.session.on_loading = [watch] { watch(false); };
    hooks.session.on_running = [watch] { watch(true); };
    hooks.picture = [this, texture = texture.get(), job] { return final_picture(*texture, job); };
    hooks.on_maps = [this, texture = texture.get(), job](std::shared_ptr<Maps> maps) {
        take_maps(*texture, job, std::move(maps));
    };
    return hooks;
}

// That of the turn's texture, and those of its mates.
Result<void> Runtime::begin_runs(Turn &turn, Worker &worker, Outcome &outcome) {
    std::vector<TextureTask> tasks;
    std::vector<TextureHooks> hooks;
    const auto add = [&](const std::shared_ptr<Texture> &texture, const Order &order,
                         std::uint64_t job) -> Result<void> {
        auto task = task_of(turn, *texture, order, job);
        if (!task) return task.error();
        tasks.push_back(std::move(*task));
        hooks.push_back(hooks_of(texture, job, worker));
        return {};
    };
    auto added = add(turn.texture, turn.order, turn.job);
    for (const Mate &mate : turn.mates) {
        if (added) added = add(mate.texture, mate.order, mate.job);
    }
    if (!added) return added;
    Session &session = *turn.model->working.session;
    PictureFrames &frames = *turn.model->working.frames;
    if (turn.mates.empty()) {
        auto begun = TextureRun::begin(session, frames, *pool_, memory_, std::move(tasks.front()),
                                       std::move(hooks.front()));
        if (!begun) return begun.error();
        outcome.begun = std::move(*begun);
    } else {
        auto begun = TextureRun::begin_together(session, frames, *pool_, memory_, std::move(tasks),
                                                std::move(hooks));
        if (!begun) return begun.error();
        outcome.begun = std::move(begun->front());
        begun->erase(begun->begin());
        outcome.mates = std::move(*begun);
    }
    turn.run = outcome.begun.get();
    return {};
}

Runtime::Outcome Runtime::try_turn(Turn &turn, Worker &worker, Outcome &outcome) {
    if (turn.stop) {
        (void)turn.run->finish();
        return {Ending::kCancelled, {}, nullptr, {}};
    }
    if (turn.run == nullptr) {
        if (auto begun = begin_runs(turn, worker, outcome); !begun) {
            const bool busy = begun.error().status == Status::kBusy;
            return {busy ? Ending::kBusy : Ending::kFailed, begun.error(), nullptr, {}};
        }
    }
    const bool held = turn.run->holds_model();
    auto more = turn.run->step(turn.budget_us);
    turn.freed = held && !turn.run->holds_model();
    if (!more) return {Ending::kFailed, more.error(), nullptr, {}};
    if (*more) return {Ending::kMore, {Status::kOk, {}}, nullptr, {}};
    if (auto ended = turn.run->finish(); !ended)
        return {Ending::kFailed, ended.error(), nullptr, {}};
    return {Ending::kDone, {Status::kOk, {}}, nullptr, {}};
}

// Where the other cores are enough for all threads. Those of a job system are the program's.
void Runtime::keep_off(int core, Worker &worker) const {
    const bool mine = config_.callbacks.submit == nullptr;
    const bool enough = static_cast<int>(pool_->thread_count()) < cores_.count();
    if (!mine || !enough || core == worker.kept_off) return;
    worker.kept_off = core;
    cores_.keep_off(core, ::pthread_self());
    for (std::thread &other : pool_->workers()) cores_.keep_off(core, other.native_handle());
}

// What a plugin throws ends here.
Runtime::Outcome Runtime::take_turn(Turn &turn, Worker &worker) {
    const std::string &plugin = turn.model->facts->plugin;
    constexpr std::string_view kThrew = "threw an exception, which the contract forbids";
    Outcome outcome;
    keep_off(turn.frame_core, worker);
    try {
        Outcome told = try_turn(turn, worker, outcome);
        outcome.ending = told.ending;
        outcome.error = std::move(told.error);
    } catch (const std::bad_alloc &) {
        outcome.ending = Ending::kFailed;
        outcome.error = make_error(Status::kOutOfMemory, "{}: out of memory", plugin);
    } catch (const std::exception &exception) {
        outcome.ending = Ending::kFailed;
        outcome.error = make_error(Status::kFailed, "{}: {}: {}", plugin, kThrew, exception.what());
    } catch (...) {
        outcome.ending = Ending::kFailed;
        outcome.error = make_error(Status::kFailed, "{}: {}", plugin, kThrew);
    }
    if (outcome.ending != Ending::kFailed) return outcome;
    // Here rather than by whoever drops it, who holds the mutex.
    if (turn.run != nullptr) (void)turn.run->finish();
    const bool among_others = turn.run != nullptr && turn.run->is_among_others();
    if (among_others || !turn.mates.empty()) outcome.ending = Ending::kApart;
    return outcome;
}

// News of a run; the texture may have been started again meanwhile.
void Runtime::take_event(Texture &texture, std::uint64_t job, PlayerEvent &event) {
    if (event.job != job) return; // of an activation
    const auto guard = lock();
    if (texture.job != job) return;
    texture.step = std::max(texture.step, event.step);
    texture.total_steps = std::max(texture.total_steps, event.total_steps);
    if (event.type == PlayerEvent::Type::kFeatures && event.name == TESSERA_FEATURE_VALUES) {
        texture.made_values.assign(reinterpret_cast<const char *>(event.bytes.data()),
                                   event.bytes.size());
    }
}

void Runtime::take_picture(std::unique_ptr<Picture> picture, const FrameInfo &info) {
    const auto guard = lock();
    const auto at = textures_.find(info.tag);
    if (at == textures_.end() || at->second->closed || at->second->job != info.job) return;
    Texture &texture = *at->second;
    if (texture.run_job != info.job) return; // cancelled, and its job goes on for others
    if (texture.model->state == ModelState::kHung) return;
    picture->number = ++pictures_;
    texture.picture = std::move(picture);
    texture.step = std::max(texture.step, info.step);
    texture.total_steps = std::max(texture.total_steps, info.total_steps);
    if (std::exchange(texture.has_picture_event, true)) return;
    push(TESSERA_ON_PICTURE, *texture.model, &texture, {Status::kOk, {}});
}

std::shared_ptr<const Picture> Runtime::final_picture(const Texture &texture, std::uint64_t job) {
    const auto guard = lock();
    const bool is_it = texture.picture != nullptr && texture.picture->final &&
                       texture.picture->job == job && texture.job == job;
    return is_it ? texture.picture : nullptr;
}

void Runtime::take_maps(Texture &texture, std::uint64_t job, std::shared_ptr<Maps> maps) {
    const auto guard = lock();
    if (texture.closed || texture.job != job || texture.picture == nullptr) return;
    maps->number = texture.picture->number;
    texture.maps = std::move(maps);
}

// ---- what came of it, with the mutex ------------------------------------------------------------

// BUSY: true when the texture has its turn later; otherwise the outcome says what it is.
bool Runtime::waits_again(Texture &texture, Outcome &outcome) {
    const Model &model = *texture.model;
    if (texture.stop || quit_ || texture.waits) {
        outcome.ending = Ending::kCancelled;
        return false;
    }
    if (model.runs.empty()) { // busy with nothing
        outcome.ending = Ending::kFailed;
        return false;
    }
    texture.busy_at = model.changes;
    texture.waits = true;
    texture.state = texture.paused ? TextureState::kPaused : TextureState::kWaiting;
    return true;
}

// What the texture is now, and the event.
void Runtime::tell_end(Texture &texture, std::uint64_t job, Outcome &outcome) {
    TextureState state = TextureState::kDone;
    std::uint32_t type = TESSERA_ON_DONE;
    std::uint64_t *count = &counts_.done;
    if (outcome.ending == Ending::kCancelled) {
        outcome.error = {Status::kCancelled, "cancelled"};
        state = TextureState::kCancelled;
        type = TESSERA_ON_CANCELLED;
        count = &counts_.cancelled;
    } else if (outcome.ending == Ending::kFailed) {
        state = TextureState::kFailed;
        type = TESSERA_ON_FAILED;
        count = &counts_.failed;
    }
    ++*count;
    if (!texture.waits) {
        texture.state = state;
        texture.error = outcome.error;
    }
    const bool newest = !texture.waits && texture.job == job;
    if (!newest && type == TESSERA_ON_DONE) { // started again at the last moment
        type = TESSERA_ON_CANCELLED;
        outcome.error = {Status::kCancelled, "started again"};
    }
    try {
        Event event = event_of(type, *texture.model, &texture, outcome.error);
        event.job = job;
        push(std::move(event));
    } catch (const std::bad_alloc &) {
        ++counts_.dropped_events;
        changed_.notify_all();
    }
}

void Runtime::apply(Turn &turn, Outcome outcome) {
    ++counts_.steps;
    Model &model = *turn.model;
    const bool begins = turn.run == nullptr;
    if (begins && !turn.mates.empty() && outcome.error.status == Status::kOutOfMemory) {
        model.batch = std::max(1U, static_cast<std::uint32_t>(turn.mates.size() + 1) / 2);
    }
    bool ended = false;
    for (std::size_t i = 0; i < turn.mates.size(); ++i) {
        Outcome of_mate{outcome.ending, outcome.error, nullptr, {}};
        if (!outcome.mates.empty()) {
            of_mate = {Ending::kMore, {Status::kOk, {}}, std::move(outcome.mates[i]), {}};
        }
        ended |= apply_to(*turn.mates[i].texture, turn.mates[i].job, turn, std::move(of_mate));
    }
    ended |= apply_to(*turn.texture, turn.job, turn, std::move(outcome));
    if (ended) count_idle_and_evict(config_.cpu_bytes, config_.gpu_bytes);
}

// What came of it for one of the textures that the turn was for. True: it is at its end.
bool Runtime::apply_to(Texture &texture, std::uint64_t job, const Turn &turn, Outcome outcome) {
    Model &model = *turn.model;
    if (outcome.begun != nullptr && outcome.ending == Ending::kMore) {
        try {
            model.runs[texture.id] = nullptr; // takes memory, before it takes the run
        } catch (const std::bad_alloc &) {
            (void)outcome.begun->finish();
            outcome.ending = Ending::kFailed;
            outcome.error = {Status::kOutOfMemory, kNoMemory};
        }
    }
    if (outcome.ending == Ending::kMore) {
        if (outcome.begun != nullptr) {
            model.runs[texture.id] = std::move(outcome.begun);
            ++model.changes;
        }
        if (turn.freed) ++model.changes;
        return false;
    }
    model.runs.erase(texture.id); // it is finished: nothing is left to end
    if (outcome.ending != Ending::kBusy) ++model.changes;
    texture.run_job = 0;
    if (texture.closed) {
        textures_.erase(texture.id);
        return false;
    }
    if (outcome.ending == Ending::kBusy && waits_again(texture, outcome)) return false;
    const bool stopped = texture.stop || quit_ || texture.waits;
    if (outcome.ending == Ending::kApart && !stopped) {
        texture.apart = true;
        texture.waits = true;
        texture.state = texture.paused ? TextureState::kPaused : TextureState::kWaiting;
        return false;
    }
    const bool failed = outcome.ending == Ending::kFailed || outcome.ending == Ending::kApart;
    if (failed && stopped &&
        (outcome.ending == Ending::kApart || outcome.error.status == Status::kCancelled)) {
        outcome.ending = Ending::kCancelled;
    }
    tell_end(texture, job, outcome);
    return true;
}

// Ends what is under way, of one model or of all; jobs end on this thread, without the mutex.
void Runtime::end_all_runs(std::unique_lock<std::mutex> &lock, const Model *only) {
    std::map<std::uint64_t, std::unique_ptr<TextureRun>> runs; // moved without memory
    for (const auto &[id, model] : models_) {
        if (only != nullptr ? model.get() != only : model->state == ModelState::kHung) continue;
        for (const auto &[texture, run] : model->runs) {
            const auto at = textures_.find(texture);
            if (at != textures_.end()) at->second->run_job = 0;
        }
        runs.merge(model->runs);
    }
    lock.unlock();
    runs.clear();
    lock.lock();
}

// ---- the thread, or the jobs instead ------------------------------------------------------------

// False: the worker was left behind meanwhile.
bool Runtime::give_turn(Turn &turn, Worker &worker, std::unique_lock<std::mutex> &lock) {
    worker.texture = turn.texture;
    worker.started = Clock::now();
    worker.thread_number = thread_number();
    worker.watched = true;
    turn.model->in_turn = true;
    if (control_sleeps_) control_wake_.notify_all(); // it watches the time
    const auto started = worker.started;
    lock.unlock();
    Outcome outcome = take_turn(turn, worker);
    const std::int64_t used_us = us_since(started);
    lock.lock();
    turn.model->in_turn = false;
    if (worker.abandoned) {
        if (outcome.begun != nullptr) {
            turn.model->runs[turn.texture->id] = std::move(outcome.begun);
        }
        for (std::size_t i = 0; i < outcome.mates.size(); ++i) {
            turn.model->runs[turn.mates[i].texture->id] = std::move(outcome.mates[i]);
        }
        end_all_runs(lock, turn.model.get());
        return false;
    }
    (turn.model->on_gpu ? gpu_ : cpu_).take(used_us);
    counts_.last_step_us = static_cast<std::uint32_t>(used_us);
    counts_.worst_step_us = std::max(counts_.worst_step_us, counts_.last_step_us);
    apply(turn, std::move(outcome));
    worker.texture = nullptr;
    const Model &model = *turn.model;
    if (model.closed || model.evict || model.renewed.session != nullptr) {
        control_wake_.notify_all();
    }
    return true;
}

void Runtime::end_worker(Worker &worker, std::unique_lock<std::mutex> &lock) {
    if (!worker.abandoned) end_all_runs(lock, nullptr);
    worker.texture = nullptr;
    worker.ended = true;
    control_wake_.notify_all();
}

void Runtime::generate(const std::shared_ptr<Worker> &worker) {
    if (config_.nice > 0) lower_thread_priority(config_.nice);
    const trace::ThreadName thread_name("tessera generate");
    auto guard = lock();
    while (!quit_) {
        auto turn = next_turn();
        if (!turn) {
            turn_wake_.wait(guard);
        } else if (!give_turn(*turn, *worker, guard)) {
            break;
        }
    }
    end_worker(*worker, guard);
}

// With the program's job system, from the control thread and from the job before: one turn, or the
// end of the worker. Without the mutex, since the program may take its own.
void Runtime::submit_turn(std::unique_lock<std::mutex> &lock) {
    if (workers_.empty()) return;
    const std::shared_ptr<Worker> worker = workers_.back();
    const bool has_work = quit_ || next_texture() != nullptr;
    if (worker->submitted || worker->ended || !has_work) return;
    struct Job {
        std::shared_ptr<Runtime> runtime;
        std::shared_ptr<Worker> worker;
    };
    auto job = std::make_unique<Job>(Job{shared_from_this(), worker});
    worker->submitted = true;
    lock.unlock();
    const auto run = [](void *context) {
        const std::unique_ptr<Job> mine(static_cast<Job *>(context));
        mine->runtime->run_job(mine->worker);
    };
    config_.callbacks.submit(config_.callbacks.user, run, job.release());
    lock.lock();
}

void Runtime::run_job(const std::shared_ptr<Worker> &worker) {
    auto guard = lock();
    if (!quit_) {
        auto turn = next_turn();
        if (turn && !give_turn(*turn, *worker, guard)) return end_worker(*worker, guard);
    }
    worker->submitted = false;
    if (quit_) return end_worker(*worker, guard);
    try {
        submit_turn(guard);
    } catch (const std::bad_alloc &) {
        control_wake_.notify_all(); // tries it again
    }
}

} // namespace tessera::api
