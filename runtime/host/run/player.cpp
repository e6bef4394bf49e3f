#include "host/run/player.hpp"

#include "core/log.hpp"
#include "core/thread_priority.hpp"
#include "core/trace.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <system_error>
#include <utility>

namespace tessera {
namespace {

constexpr std::size_t kMaxEvents = 1024; // that may be dropped, when nobody drains the queue

bool is_droppable(const PlayerEvent &event) {
    return event.type == PlayerEvent::Type::kProgress || event.type == PlayerEvent::Type::kImage ||
           event.type == PlayerEvent::Type::kCells || event.type == PlayerEvent::Type::kFeatures;
}

PlayerEvent end_of(const SessionJob &job, PlayerEvent::Type type) {
    PlayerEvent event;
    event.type = type;
    event.job = job.number;
    event.tag = job.request.tag;
    return event;
}

} // namespace

Result<std::unique_ptr<Player>> Player::create(PlayerConfig config) {
    auto session = Session::create(static_cast<const SessionConfig &>(config));
    if (!session) return session.error();
    (*session)->go_on_after(config.jobs_before);
    std::unique_ptr<Player> player(new Player(std::move(*session), config));
    if (auto started = player->start(); !started) return started.error();
    return player;
}

Result<void> Player::start() {
    if (store_ != nullptr) {
        store_->set_wake([this] {
            {
                const std::lock_guard lock(mutex_);
                reads_ = true;
            }
            wake_.notify_all();
        });
    }
    // The standard library reports a lack of threads by throwing.
    try {
        thread_ = std::thread([this, values = params().snapshot()] { work(values); });
        return {};
    } catch (const std::system_error &error) {
        return make_error(Status::kFailed, "cannot start the player's thread: {}", error.what());
    }
}

Player::~Player() { stop(); }

Result<void> Player::renew() {
    auto session = session_->renewed(frames_);
    if (!session) return session.error();
    stop();
    session_ = std::move(*session);
    quit_ = false;
    stop_job_ = false;
    loading_ = false;
    reads_ = false;
    state_.phase = PlayerPhase::kLoading;
    state_.error = {};
    return start();
}

void Player::stop() {
    if (store_ != nullptr) store_->set_wake({});
    {
        const std::lock_guard lock(mutex_);
        quit_ = true;
        stop_job_ = true;
        drop_pending();
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
}

// ---- values -------------------------------------------------------------------------------------

void Player::values_changed() {
    if (restart_on_change_ && busy()) restart();
}

Result<bool> Player::set_value(std::uint32_t id, double value) {
    auto changed = session_->params().set(id, value);
    if (changed && *changed) values_changed();
    return changed;
}

Result<bool> Player::set_text(std::string_view key, std::string_view text) {
    auto changed = session_->params().set_text(key, text);
    if (changed && *changed) values_changed();
    return changed;
}

void Player::reset_values() {
    session_->params().reset();
    values_changed();
}

void Player::take_values_of(const Player &other) {
    session_->params().take_over(other.params());
    values_changed();
}

Result<std::vector<std::string>> Player::load_values(std::string_view json) {
    auto unused = session_->params().load_json(json);
    if (unused) values_changed();
    return unused;
}

// ---- jobs, on the control thread ----------------------------------------------------------------

std::uint64_t Player::submit(PlayRequest request) {
    last_request_ = std::move(request);
    return restart();
}

std::uint64_t Player::restart() {
    if (!last_request_) return 0;
    SessionJob job = session_->job(*last_request_);
    const std::uint64_t number = job.number;
    {
        const std::lock_guard lock(mutex_);
        drop_pending();
        pending_ = std::move(job);
        stop_job_ = true;
    }
    wake_.notify_all();
    return number;
}

void Player::cancel() {
    const std::lock_guard lock(mutex_);
    drop_pending();
    stop_job_ = true;
    if (!running_) idle_.notify_all();
}

bool Player::busy() const {
    const std::lock_guard lock(mutex_);
    return running_ || pending_.has_value();
}

bool Player::wait(std::uint64_t timeout_us) {
    std::unique_lock lock(mutex_);
    return idle_.wait_for(lock, std::chrono::microseconds(timeout_us),
                          [&] { return !running_ && !pending_; });
}

PlayerState Player::state() const {
    const std::lock_guard lock(mutex_);
    PlayerState state = state_;
    if (running_) state.job_us = session_->now_us() - job_started_us_;
    return state;
}

std::vector<PlayerEvent> Player::take_events() {
    const std::lock_guard lock(mutex_);
    std::vector<PlayerEvent> taken(std::make_move_iterator(events_.begin()),
                                   std::make_move_iterator(events_.end()));
    events_.clear();
    return taken;
}

void Player::drop_pending() {
    if (!pending_) return;
    push(end_of(*pending_, PlayerEvent::Type::kCancelled));
    pending_.reset();
}

void Player::push(PlayerEvent event) {
    if (events_.size() >= kMaxEvents) {
        const auto oldest = std::find_if(events_.begin(), events_.end(), is_droppable);
        if (oldest != events_.end()) events_.erase(oldest);
    }
    events_.push_back(std::move(event));
}

// ---- the player's thread ------------------------------------------------------------------------

void Player::work(const ParamSnapshot &values) {
    take_share(share_);
    const trace::ThreadName thread_name("player");
    auto activated = session_->activate(values, callbacks());
    std::unique_lock lock(mutex_);
    if (!activated && !quit_) {
        state_.phase = PlayerPhase::kFailed;
        state_.error = activated.error();
        PlayerEvent event;
        event.type = PlayerEvent::Type::kFailed;
        event.error = activated.error();
        push(std::move(event));
    }
    while (true) {
        wake_.wait(lock, [&] { return quit_ || pending_ || reads_; });
        if (quit_) break;
        if (std::exchange(reads_, false) && !pending_) { // a job serves between its steps
            lock.unlock();
            if (auto served = session_->serve(); !served) {
                log::warning("player", "{}", served.error().message);
            }
            lock.lock();
            continue;
        }
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
    session_->deactivate();
}

SessionCallbacks Player::callbacks() {
    SessionCallbacks callbacks;
    callbacks.on_loading = [this] { begin_loading(); };
    callbacks.on_running = [this] { begin_running(); };
    callbacks.on_event = [this](PlayerEvent event) { note(std::move(event)); };
    callbacks.on_call = [this](std::uint64_t call_us) {
        const std::lock_guard lock(mutex_);
        state_.last_call_us = call_us;
    };
    // A cancelled job does not stop its activation: the next job needs it as well.
    callbacks.should_stop = [this] { return quit_ || (stop_job_ && !loading_); };
    return callbacks;
}

void Player::begin_loading() {
    loading_ = true;
    const std::lock_guard lock(mutex_);
    state_.phase = PlayerPhase::kLoading;
    state_.activation = 0;
}

void Player::begin_running() {
    const std::lock_guard lock(mutex_);
    state_.phase = PlayerPhase::kRunning;
    job_started_us_ = step_started_us_ = session_->now_us();
}

void Player::note(PlayerEvent event) {
    const std::uint64_t now = session_->now_us();
    const std::lock_guard lock(mutex_);
    if (event.type == PlayerEvent::Type::kActivated) {
        loading_ = false;
        state_.phase = PlayerPhase::kReady;
        state_.activation = 1;
        state_.activation_us = session_->activation_us();
        state_.step_name.clear();
        state_.device = session_->device();
        state_.memory = session_->memory();
    } else if (loading_) {
        if (event.total_steps == 0) return;
        state_.activation = static_cast<double>(event.step) / event.total_steps;
        state_.step_name = event.name;
        return;
    } else {
        note_progress(event, now);
    }
    push(std::move(event));
}

void Player::note_progress(const PlayerEvent &event, std::uint64_t now) {
    if (event.step > state_.step) {
        state_.step = event.step;
        state_.last_step_us = now - step_started_us_;
        step_started_us_ = now;
    }
    state_.total_steps = std::max(state_.total_steps, event.total_steps);
    if (event.type == PlayerEvent::Type::kProgress) state_.step_name = event.name;
}

void Player::run(const SessionJob &job) {
    {
        const std::lock_guard lock(mutex_);
        state_.error = {};
        state_.job = job.number;
        state_.step = 0;
        state_.total_steps = 0;
        state_.job_us = 0;
        state_.step_name.clear();
        job_started_us_ = session_->now_us();
    }
    const auto report = session_->run(job, callbacks());
    finish(job, report ? nullptr : &report.error());
}

void Player::finish(const SessionJob &job, const Error *error) {
    const std::uint64_t now = session_->now_us();
    const std::lock_guard lock(mutex_);
    PlayerEvent event = end_of(job, PlayerEvent::Type::kFinished);
    event.step = state_.step;
    event.total_steps = state_.total_steps;
    state_.job_us = now - job_started_us_;
    state_.step_name.clear();
    state_.device = session_->device();
    state_.memory = session_->memory();
    state_.phase = session_->is_active() ? PlayerPhase::kReady : PlayerPhase::kLoading;
    if (error != nullptr && stop_job_ && error->status == Status::kCancelled) {
        event.type = PlayerEvent::Type::kCancelled;
    } else if (error != nullptr) {
        event.type = PlayerEvent::Type::kFailed;
        event.error = *error;
        state_.error = *error;
        state_.phase = PlayerPhase::kFailed;
    }
    push(std::move(event));
}

} // namespace tessera
