#include "host/run/player_worker.hpp"

#include "core/log.hpp"
#include "core/trace.hpp"
#include "host/run/thread_priority.hpp"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

namespace tessera {
namespace {

constexpr int kWorkerNice = 10;          // below the window's thread
constexpr std::size_t kMaxEvents = 1024; // that may be dropped, when nobody drains the queue

bool is_droppable(const PlayerEvent &event) {
    return event.type == PlayerEvent::Type::kProgress || event.type == PlayerEvent::Type::kImage ||
           event.type == PlayerEvent::Type::kCells || event.type == PlayerEvent::Type::kFeatures;
}

} // namespace

Result<std::unique_ptr<PlayerWorker>> PlayerWorker::start(Session &session, ParamSnapshot values) {
    std::unique_ptr<PlayerWorker> worker(new PlayerWorker(session));
    // The standard library reports a lack of threads by throwing.
    try {
        worker->thread_ =
            std::thread([self = worker.get(), values = std::move(values)] { self->work(values); });
    } catch (const std::system_error &error) {
        return make_error(Status::kFailed, "cannot start the player's thread: {}", error.what());
    }
    return worker;
}

PlayerWorker::~PlayerWorker() {
    {
        const std::lock_guard lock(mutex_);
        quit_ = true;
        stop_job_ = true;
        pending_.reset();
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
}

// ---- control thread -----------------------------------------------------------------------------

void PlayerWorker::submit(SessionJob job) {
    {
        const std::lock_guard lock(mutex_);
        drop_pending();
        pending_ = std::move(job);
        stop_job_ = true;
    }
    wake_.notify_all();
}

void PlayerWorker::cancel() {
    const std::lock_guard lock(mutex_);
    drop_pending();
    stop_job_ = true;
    if (!running_) idle_.notify_all();
}

bool PlayerWorker::busy() const {
    const std::lock_guard lock(mutex_);
    return running_ || pending_.has_value();
}

bool PlayerWorker::wait(std::uint64_t timeout_us) {
    std::unique_lock lock(mutex_);
    return idle_.wait_for(lock, std::chrono::microseconds(timeout_us),
                          [&] { return !running_ && !pending_; });
}

PlayerState PlayerWorker::state() const {
    const std::lock_guard lock(mutex_);
    PlayerState state = state_;
    if (running_) state.job_us = session_.now_us() - job_started_us_;
    return state;
}

std::vector<PlayerEvent> PlayerWorker::take_events() {
    const std::lock_guard lock(mutex_);
    std::vector<PlayerEvent> taken(std::make_move_iterator(events_.begin()),
                                   std::make_move_iterator(events_.end()));
    events_.clear();
    return taken;
}

// ---- worker thread ------------------------------------------------------------------------------

void PlayerWorker::drop_pending() {
    if (!pending_) return;
    PlayerEvent event;
    event.type = PlayerEvent::Type::kCancelled;
    event.job = pending_->number;
    push(std::move(event));
    pending_.reset();
}

void PlayerWorker::push(PlayerEvent event) {
    if (events_.size() >= kMaxEvents) {
        const auto oldest = std::find_if(events_.begin(), events_.end(), is_droppable);
        if (oldest != events_.end()) events_.erase(oldest);
    }
    events_.push_back(std::move(event));
}

void PlayerWorker::work(const ParamSnapshot &values) {
    lower_thread_priority(kWorkerNice);
    trace::name_thread("player");
    activate(values);
    std::unique_lock lock(mutex_);
    while (true) {
        wake_.wait(lock, [&] { return quit_ || pending_; });
        if (quit_) break;
        const SessionJob job = std::move(*pending_);
        pending_.reset();
        running_ = true;
        stop_job_ = false; // what was asked before this job was about earlier ones
        lock.unlock();
        run(job);
        lock.lock();
        running_ = false;
        if (!pending_) idle_.notify_all();
    }
    lock.unlock();
    session_.deactivate();
}

SessionCallbacks PlayerWorker::activation_callbacks() {
    SessionCallbacks callbacks;
    // A cancelled job does not stop its activation: the next job needs it as well.
    callbacks.should_stop = [this] { return quit_.load(); };
    callbacks.on_event = [this](const PlayerEvent &event) {
        const std::lock_guard lock(mutex_);
        if (event.total_steps == 0) return;
        state_.activation = static_cast<double>(event.step) / event.total_steps;
        state_.step_name = event.name;
    };
    return callbacks;
}

Result<void> PlayerWorker::prepare(const ParamSnapshot &values) {
    if (session_.is_prepared(values)) return {};
    {
        const std::lock_guard lock(mutex_);
        state_.phase = PlayerPhase::kLoading;
        state_.activation = 0;
    }
    auto prepared = session_.prepare(values, activation_callbacks());
    const std::lock_guard lock(mutex_);
    state_.step_name.clear();
    state_.device = session_.device();
    if (!prepared) return prepared;
    state_.phase = PlayerPhase::kReady;
    state_.activation = 1;
    state_.activation_us = session_.activation_us();
    PlayerEvent event;
    event.type = PlayerEvent::Type::kActivated;
    push(std::move(event));
    return prepared;
}

void PlayerWorker::activate(const ParamSnapshot &values) {
    auto prepared = prepare(values);
    if (prepared || quit_) return;
    const std::lock_guard lock(mutex_);
    state_.phase = PlayerPhase::kFailed;
    state_.error = prepared.error();
    PlayerEvent event;
    event.type = PlayerEvent::Type::kFailed;
    event.error = prepared.error();
    push(std::move(event));
}

void PlayerWorker::note_progress(const PlayerEvent &event, std::uint64_t now) {
    if (event.step > state_.step) {
        state_.step = event.step;
        state_.last_step_us = now - step_started_us_;
        step_started_us_ = now;
    }
    state_.total_steps = std::max(state_.total_steps, event.total_steps);
    if (event.type == PlayerEvent::Type::kProgress) state_.step_name = event.name;
}

void PlayerWorker::run(const SessionJob &job) {
    {
        const std::lock_guard lock(mutex_);
        state_.error = {};
        state_.job = job.number;
        state_.step = 0;
        state_.total_steps = 0;
        state_.job_us = 0;
        state_.step_name.clear();
        job_started_us_ = session_.now_us();
    }
    if (auto prepared = prepare(job.values); !prepared) {
        finish(job.number, &prepared.error(), session_.now_us());
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        state_.phase = PlayerPhase::kRunning;
        job_started_us_ = step_started_us_ = session_.now_us();
    }
    SessionCallbacks callbacks;
    callbacks.should_stop = [this] { return stop_job_.load(); };
    callbacks.on_event = [this](PlayerEvent event) {
        const std::uint64_t now = session_.now_us();
        const std::lock_guard lock(mutex_);
        note_progress(event, now);
        push(std::move(event));
    };
    callbacks.on_call = [this](std::uint64_t call_us) {
        const std::lock_guard lock(mutex_);
        state_.last_call_us = call_us;
    };
    const auto report = session_.run(job, callbacks);
    finish(job.number, report ? nullptr : &report.error(), session_.now_us());
}

void PlayerWorker::finish(std::uint64_t job, const Error *error, std::uint64_t now) {
    const std::lock_guard lock(mutex_);
    const bool stopped = error != nullptr && stop_job_;
    PlayerEvent event;
    event.job = job;
    event.step = state_.step;
    event.total_steps = state_.total_steps;
    state_.job_us = now - job_started_us_;
    state_.step_name.clear();
    if (error == nullptr) {
        event.type = PlayerEvent::Type::kFinished;
    } else if (stopped && error->status == Status::kCancelled) {
        event.type = PlayerEvent::Type::kCancelled;
    } else {
        event.type = PlayerEvent::Type::kFailed;
        event.error = *error;
        state_.error = *error;
    }
    if (event.type == PlayerEvent::Type::kFailed) {
        state_.phase = PlayerPhase::kFailed;
    } else {
        state_.phase = session_.is_active() ? PlayerPhase::kReady : PlayerPhase::kLoading;
    }
    push(std::move(event));
}

} // namespace tessera
