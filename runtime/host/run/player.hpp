// A player: a session with a thread round it. This is what programs with a frame loop use.
// It knows nothing of windows: pictures go to a FrameTarget, news to a queue that the control
// thread drains. All functions belong to the control thread (the one that called create), and none
// of them waits for the generator, except `wait` and the destructor.
//
//   PlayerConfig config;
//   config.model = "materials";
//   config.frames = &ring;
//   auto player = Player::create(std::move(config)); // cheap; weights load on the player's thread
//   (*player)->set_text("class", "bark");
//   (*player)->submit({.seed = 7, .preview_every = 1});
//   every frame: for (PlayerEvent &event : (*player)->take_events()) ...; draw (*player)->state();
#pragma once

#include "host/run/session.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace tessera {

struct PlayerConfig : SessionConfig {
    bool restart_on_change = true; // a value changed while a job runs starts that job again
    // Of a core that other programs want at the same time, for each of the player's threads (0.01
    // to 0.5; what nobody else wants is the player's anyway). Small: frames stay smooth. Large:
    // pictures come in time on a loaded machine, where 0.1 is a tenth of the usual speed.
    double share = 0.25;
    std::uint64_t jobs_before = 0; // numbers of a player that this one takes the place of
};

enum class PlayerPhase {
    kLoading, // no job has needed the generator yet, or it is being activated
    kReady,   // active and idle
    kRunning, // a job runs
    kFailed,  // the last activation or job failed; the next submit tries again
};

// What a panel shows; a copy.
struct PlayerState {
    PlayerPhase phase = PlayerPhase::kLoading;
    Error error;                     // when phase is kFailed
    std::uint64_t job = 0;           // the running or last job; 0: none yet
    std::uint32_t step = 0;          // of that job
    std::uint32_t total_steps = 0;   // 0: not known yet
    std::string step_name;           // phase that is under way, if the generator says
    double activation = 0;           // 0 to 1
    std::uint64_t activation_us = 0; // how long it took
    std::uint64_t last_call_us = 0;  // duration of the last `step` call
    std::uint64_t last_step_us = 0;  // time between the last two progress steps
    std::uint64_t job_us = 0;        // begin to end of the running (so far) or last job
    std::string device;              // for people; empty until the compute is open
    // Where it computes, from then on.
    tessera_memory memory = TESSERA_MEMORY_HOST;
};

class Player {
  public:
    // Finds the plugin, makes the generator and reads its descriptions; activation starts on the
    // player's thread at once.
    [[nodiscard]] static Result<std::unique_ptr<Player>> create(PlayerConfig config);
    // Cancels, waits for the step under way, and takes everything down.
    ~Player();
    Player(const Player &) = delete;
    Player &operator=(const Player &) = delete;

    [[nodiscard]] const PlayerInfo &info() const { return session_->info(); }
    [[nodiscard]] const Params &params() const { return session_->params(); }
    [[nodiscard]] const std::vector<InputSlot> &inputs() const { return session_->inputs(); }
    [[nodiscard]] const std::vector<FeatureTap> &features() const { return session_->features(); }

    [[nodiscard]] const Batch &batch() const { return session_->batch(); }

    // ---- values; a change restarts a running job when the config says so ----

    Result<bool> set_value(std::uint32_t id, double value); // conformed; true when it changed
    Result<bool> set_text(std::string_view key, std::string_view text);
    void reset_values();
    void take_values_of(const Player &other);                            // as Params::take_over
    Result<std::vector<std::string>> load_values(std::string_view json); // as Params::load_json

    // ---- a plugin that is built again ----

    // As BuildWatch::take_change: true once for each new build.
    [[nodiscard]] bool take_new_build() { return session_->take_new_build(); }
    // Goes on with the library that lies there now: values, numbers of jobs and what nobody took of
    // the events stay; a running job and a waiting one are cancelled. Waits for the step under way.
    // An error says what is wrong with the new library, and changes nothing.
    [[nodiscard]] Result<void> renew();

    // ---- jobs ----

    // Generates with a snapshot of the values. A running job ends at its next step boundary; of
    // several submits in a row only the last one runs. Returns the job's number.
    std::uint64_t submit(PlayRequest request);
    // The last submitted request once more, with the values as they are. 0 when there was none.
    std::uint64_t restart();
    // Ends the running job at its next step boundary, and drops a waiting one.
    void cancel();
    // True while a job runs or waits.
    [[nodiscard]] bool busy() const;
    // Blocks until not busy; for programs without a frame loop. False when the time passed first.
    bool wait(std::uint64_t timeout_us);

    [[nodiscard]] PlayerState state() const;
    // Everything that happened since the last call, oldest first. When nobody drains the queue,
    // old kProgress, kImage, kCells and kFeatures events are dropped, never the others.
    [[nodiscard]] std::vector<PlayerEvent> take_events();

  private:
    Player(std::unique_ptr<Session> session, const PlayerConfig &config)
        : session_(std::move(session)), frames_(config.frames), store_(config.store),
          restart_on_change_(config.restart_on_change), share_(config.share) {}
    Result<void> start();
    void stop();
    void values_changed();

    // On the player's thread.
    void work(const ParamSnapshot &values);
    [[nodiscard]] SessionCallbacks callbacks();
    void begin_loading();
    void begin_running();
    void note(PlayerEvent event);
    void run(const SessionJob &job);
    void finish(const SessionJob &job, const Error *error);
    // With the mutex held.
    void drop_pending();
    void push(PlayerEvent event);
    void note_progress(const PlayerEvent &event, std::uint64_t now);

    std::unique_ptr<Session> session_; // values and descriptions: control thread; the rest: its own
    FrameTarget *frames_;              // may be nullptr
    DeviceStore *store_;               // likewise
    bool restart_on_change_;
    double share_;
    std::optional<PlayRequest> last_request_;

    std::atomic<bool> stop_job_{false}; // the running job is to end
    std::atomic<bool> quit_{false};
    bool loading_ = false; // the player's thread's

    mutable std::mutex mutex_; // never held while the generator runs; guards what follows
    std::condition_variable wake_;
    std::condition_variable idle_;
    std::optional<SessionJob> pending_;
    bool reads_ = false; // something of the store is wanted
    bool running_ = false;
    PlayerState state_;
    std::deque<PlayerEvent> events_;
    std::uint64_t job_started_us_ = 0;
    std::uint64_t step_started_us_ = 0;

    std::thread thread_;
};

} // namespace tessera
