// The thread of a player: activates, runs the newest submitted job, keeps the state and the news.
// The control thread talks to it through a mutex that is never held while a generator runs.
#pragma once

#include "core/result.hpp"
#include "host/run/player.hpp"
#include "host/run/session.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace tessera {

class PlayerWorker {
  public:
    // `session` outlives the worker, which activates it at once with these values.
    [[nodiscard]] static Result<std::unique_ptr<PlayerWorker>> start(Session &session,
                                                                     ParamSnapshot values);
    // Stops at the next step boundary, deactivates the session, joins.
    ~PlayerWorker();
    PlayerWorker(const PlayerWorker &) = delete;
    PlayerWorker &operator=(const PlayerWorker &) = delete;

    void submit(SessionJob job);
    void cancel();
    [[nodiscard]] bool busy() const;
    bool wait(std::uint64_t timeout_us);
    [[nodiscard]] PlayerState state() const;
    [[nodiscard]] std::vector<PlayerEvent> take_events();

  private:
    explicit PlayerWorker(Session &session) : session_(session) {}

    void work(const ParamSnapshot &values);
    void activate(const ParamSnapshot &values);
    SessionCallbacks activation_callbacks();
    Result<void> prepare(const ParamSnapshot &values);
    void run(const SessionJob &job);
    void drop_pending();                                             // locked
    void push(PlayerEvent event);                                    // locked
    void note_progress(const PlayerEvent &event, std::uint64_t now); // locked
    void finish(std::uint64_t job, const Error *error, std::uint64_t now);

    Session &session_;
    std::atomic<bool> stop_job_{false}; // the running job is to end
    std::atomic<bool> quit_{false};

    mutable std::mutex mutex_; // guards what follows
    std::condition_variable wake_;
    std::condition_variable idle_;
    std::optional<SessionJob> pending_;
    bool running_ = false;
    PlayerState state_;
    std::deque<PlayerEvent> events_;
    std::uint64_t job_started_us_ = 0;
    std::uint64_t step_started_us_ = 0;

    std::thread thread_;
};

} // namespace tessera
