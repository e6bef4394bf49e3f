// A generator on its device: what both ways of playing, with and without a thread, share.
// [worker] for everything but create and the destructor, which are [main].
#pragma once

#include "host/generator/generator.hpp"
#include "host/run/device.hpp"
#include "host/run/memory_frames.hpp"
#include "host/run/player.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tessera {

// A request with everything that was snapshot for it.
struct SessionJob {
    std::uint64_t number = 0;
    PlayRequest request;
    ParamSnapshot values;
};

// Called on the worker; each may be empty.
struct SessionCallbacks {
    std::function<void(PlayerEvent)> on_event;  // kProgress, kImage, kCells, kFeatures
    std::function<void(std::uint64_t)> on_call; // a `step` returned after so many microseconds
    std::function<bool()> should_stop;
};

class Session {
  public:
    [[nodiscard]] static Result<std::unique_ptr<Session>> create(const PlayerConfig &config);
    ~Session();
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;

    [[nodiscard]] const PlayerInfo &info() const { return info_; }
    [[nodiscard]] const Generator &generator() const { return *generator_; }
    [[nodiscard]] Host &host() { return *config_.host; }
    [[nodiscard]] std::uint64_t now_us() const { return config_.host->now_us(); }

    void deactivate();
    [[nodiscard]] bool is_active() const { return generator_->is_active(); }
    [[nodiscard]] std::string device() const;
    [[nodiscard]] std::uint64_t activation_us() const { return activation_us_; }
    // Opens the device and activates the generator if need be, again when values changed that take
    // effect only then. Progress comes as kProgress events of job 0.
    [[nodiscard]] Result<void> prepare(const ParamSnapshot &values,
                                       const SessionCallbacks &callbacks);
    // False: the next `prepare` takes time.
    [[nodiscard]] bool is_prepared(const ParamSnapshot &values) const;

    // Prepares, then runs a job to its end. Stopped: status kCancelled.
    [[nodiscard]] Result<RunReport> run(const SessionJob &job, const SessionCallbacks &callbacks);

  private:
    explicit Session(PlayerConfig config);
    void close_device();
    Result<RunReport> run_steps(const SessionJob &job, const SessionCallbacks &callbacks,
                                std::uint64_t started_us);
    Result<void> open_device();
    Result<void> activate(const ParamSnapshot &values, const SessionCallbacks &callbacks);

    PlayerConfig config_;
    PlayerInfo info_;
    MemoryFrames dropped_; // when the config names no target
    std::unique_ptr<Generator> generator_;
    std::unique_ptr<Device> device_;
    std::uint64_t activation_us_ = 0;
    ParamSnapshot active_values_; // those it was activated with
};

} // namespace tessera
