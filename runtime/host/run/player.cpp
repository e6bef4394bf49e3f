#include "host/run/player.hpp"

#include "host/run/player_worker.hpp"
#include "host/run/session.hpp"

#include <optional>
#include <utility>

namespace tessera {

// [main] only, but for what the worker guards itself.
struct Player::State {
    PlayerConfig config;
    std::unique_ptr<Session> session;
    Params params;
    std::optional<PlayRequest> last_request;
    std::uint64_t last_job = 0;
    std::unique_ptr<PlayerWorker> worker; // nullptr: without a thread
};

Player::Player(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Player>> Player::create(PlayerConfig config) {
    auto session = Session::create(config);
    if (!session) return session.error();
    auto state = std::make_unique<State>();
    state->config = std::move(config);
    state->session = std::move(*session);
    state->params = state->session->generator().params();
    if (state->config.worker_thread) {
        auto worker = PlayerWorker::start(*state->session, state->params.snapshot());
        if (!worker) return worker.error();
        state->worker = std::move(*worker);
    }
    return std::unique_ptr<Player>(new Player(std::move(state)));
}

Player::~Player() {
    if (state_->worker != nullptr) {
        state_->worker.reset(); // it deactivates on its own thread
    } else {
        state_->session->deactivate();
    }
}

const PlayerInfo &Player::info() const { return state_->session->info(); }
const Params &Player::params() const { return state_->params; }
const std::vector<InputSlot> &Player::inputs() const {
    return state_->session->generator().inputs();
}
const std::vector<FeatureTap> &Player::features() const {
    return state_->session->generator().features();
}

// ---- values -------------------------------------------------------------------------------------

void Player::values_changed() {
    if (state_->config.restart_on_change && busy()) restart();
}

Result<bool> Player::set_value(std::uint32_t id, double value) {
    auto changed = state_->params.set(id, value);
    if (changed && *changed) values_changed();
    return changed;
}

Result<bool> Player::set_text(std::string_view key, std::string_view text) {
    auto changed = state_->params.set_text(key, text);
    if (changed && *changed) values_changed();
    return changed;
}

void Player::reset_values() {
    state_->params.reset();
    values_changed();
}

Result<std::vector<std::string>> Player::load_values(std::string_view json) {
    auto unused = state_->params.load_json(json);
    if (unused) values_changed();
    return unused;
}

// ---- jobs ---------------------------------------------------------------------------------------

std::uint64_t Player::submit(PlayRequest request) {
    if (state_->worker == nullptr) return 0;
    state_->last_request = std::move(request);
    return restart();
}

std::uint64_t Player::restart() {
    if (state_->worker == nullptr || !state_->last_request) return 0;
    SessionJob job{++state_->last_job, *state_->last_request, state_->params.snapshot()};
    state_->worker->submit(std::move(job));
    return state_->last_job;
}

void Player::cancel() {
    if (state_->worker != nullptr) state_->worker->cancel();
}

bool Player::busy() const { return state_->worker != nullptr && state_->worker->busy(); }

bool Player::wait(std::uint64_t timeout_us) {
    return state_->worker == nullptr || state_->worker->wait(timeout_us);
}

PlayerState Player::state() const {
    if (state_->worker != nullptr) return state_->worker->state();
    PlayerState state;
    state.phase = state_->session->is_active() ? PlayerPhase::kReady : PlayerPhase::kLoading;
    state.device = state_->session->device();
    state.activation_us = state_->session->activation_us();
    state.activation = state_->session->is_active() ? 1 : 0;
    return state;
}

std::vector<PlayerEvent> Player::take_events() {
    return state_->worker != nullptr ? state_->worker->take_events() : std::vector<PlayerEvent>();
}

// ---- without a thread ---------------------------------------------------------------------------

Result<void> Player::activate() {
    if (state_->worker != nullptr) {
        return make_error(Status::kInvalidArgument,
                          "activate: this player has a worker thread, which does it");
    }
    return state_->session->prepare(state_->params.snapshot(), {});
}

Result<RunReport> Player::run(const PlayRequest &request,
                              const std::function<void(const PlayerEvent &)> &on_event,
                              const std::function<bool()> &should_stop) {
    if (state_->worker != nullptr) {
        return make_error(Status::kInvalidArgument,
                          "run: this player has a worker thread; use submit");
    }
    SessionCallbacks callbacks;
    if (on_event) callbacks.on_event = [&](const PlayerEvent &event) { on_event(event); };
    callbacks.should_stop = should_stop;
    return state_->session->run({++state_->last_job, request, state_->params.snapshot()},
                                callbacks);
}

} // namespace tessera
