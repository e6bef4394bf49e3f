// A session: one generator, its parameter values and the device it runs on, without a thread. What
// programs use that do nothing else meanwhile; a Player is a session with a thread round it.
//
//   SessionConfig config;
//   config.model = "materials";
//   config.frames = &frames;
//   auto session = Session::create(std::move(config)); // cheap; weights load with the first job
//   (*session)->params().set_text("class", "bark");
//   auto report = (*session)->run((*session)->job({.seed = 7}), {});
//
// [main] is the thread that calls create; [worker] is any one, and may be the same.
#pragma once

#include "core/frame_target.hpp"
#include "core/result.hpp"
#include "host/generator/generator.hpp"
#include "host/generator/params.hpp"
#include "host/generator/slots.hpp"
#include "host/plugin/build_watch.hpp"
#include "host/run/device.hpp"
#include "host/run/device_store.hpp"
#include "host/run/event.hpp"
#include "host/run/memory_frames.hpp"
#include "host/run/request.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

class Job;
class Host; // host/plugin/services.hpp: libraries and weights that the sessions of a program share

struct SessionConfig {
    // Id of a generator, or path of a plugin library (contains '/'). Empty: the one that the model
    // is for, see generator_of.
    std::string plugin;
    std::string model;   // path or bundled name ("materials"); empty: none
    std::string backend; // as in compute/registry.hpp; empty: the best there is
    tessera_precision precision = TESSERA_PRECISION_DEFAULT;
    std::uint32_t threads = 0;     // for computing; 0: one per core
    ThreadPool *pool = nullptr;    // threads to share with other sessions instead; outlives this
    FrameTarget *frames = nullptr; // where pictures go; outlives the session; nullptr: dropped
    // Where tensors stay that lie on a device; outlives the session. nullptr: features are read as
    // they come.
    DeviceStore *store = nullptr;
    // How long a step may take before `should_stop` is asked; 0: one unit.
    std::uint32_t step_budget_us = 4000;

    // The device to use instead of opening `backend`; only this session's, until it is destroyed.
    std::shared_ptr<const tessera_compute> compute;

    std::shared_ptr<Host> host; // nullptr: one of its own
};

// Who generates; copied from the plugin.
struct PlayerInfo {
    std::string id;
    std::string name;
    std::string vendor;
    std::string version;
    std::string description;
    std::filesystem::path library; // of the plugin
    std::string model;             // absolute path; empty: none
};

// What an image has of its own in a job for several requests (ext/batch.h).
struct SessionImage {
    std::uint64_t seed = 0;
    ParamSnapshot values;
    std::uint64_t number = 0; // these come back in its frames and events, in place of the job's
    std::uint64_t tag = 0;
    std::vector<RequestInput> inputs = {}; // next to the request's
};

// A request with everything that was snapshot for it.
struct SessionJob {
    std::uint64_t number = 0; // increasing
    PlayRequest request;
    ParamSnapshot values;
    // Of each image; empty: all are as the request and the values say. Else those say what all
    // have, and the number of images is theirs.
    std::vector<SessionImage> images = {};
};

// Called on the worker; each may be empty. Of a job: as long as its run lives.
struct SessionCallbacks {
    std::function<void()> on_loading;           // activation begins, which may take seconds
    std::function<void()> on_running;           // the job begins
    std::function<void(PlayerEvent)> on_event;  // kActivated, kProgress, kImage, kCells, kFeatures
    std::function<void(std::uint64_t)> on_call; // a `step` returned after so many microseconds
    std::function<bool()> should_stop;          // asked while loading as well
    bool device_features = true; // features that lie on a device are told too, which reads them
};

// Where the time of a `run` went.
struct RunReport {
    std::uint64_t activation_us = 0; // 0 when it was active already
    std::uint64_t begin_us = 0;
    std::vector<std::uint64_t> step_us; // per progress step
    std::uint64_t end_us = 0;
    std::uint64_t total_us = 0;
    std::uint32_t call_count = 0; // of `step`
    std::uint32_t total_steps = 0;
};

class Session;

// A job between its begin and its end. Several of one session may be under way, stepped in turn on
// one thread. [worker] for everything.
class SessionRun {
  public:
    // Cancels what is left.
    ~SessionRun();
    SessionRun(const SessionRun &) = delete;
    SessionRun &operator=(const SessionRun &) = delete;

    // One `step` of the generator of `budget_us` (0: one unit). True: there is more to do. After
    // false or an error only finish. Stopped: status kCancelled.
    [[nodiscard]] Result<bool> step(std::uint32_t budget_us);
    // Between steps: other ones from now on.
    void set_callbacks(SessionCallbacks callbacks) { callbacks_ = std::move(callbacks); }
    // Ends the job; an error is the device's.
    [[nodiscard]] Result<RunReport> finish();

  private:
    friend class Session;
    SessionRun(Session &session, SessionJob job, SessionCallbacks callbacks);
    Result<void> begin();

    Session &session_;
    SessionJob job_;
    SessionCallbacks callbacks_;
    RunReport report_;
    std::uint64_t step_started_us_ = 0;
    std::uint32_t last_step_ = 0;
    std::unique_ptr<Job> run_;
};

class Session {
  public:
    // ---- [main]

    // Finds the plugin, makes the generator and reads its descriptions.
    [[nodiscard]] static Result<std::unique_ptr<Session>> create(SessionConfig config);
    // Deactivates first, if the worker did not.
    ~Session();
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;

    [[nodiscard]] const PlayerInfo &info() const { return info_; }
    [[nodiscard]] const std::vector<InputSlot> &inputs() const { return generator_->inputs(); }
    [[nodiscard]] const std::vector<FeatureTap> &features() const { return generator_->features(); }
    [[nodiscard]] const Batch &batch() const { return generator_->batch(); }
    [[nodiscard]] Params &params() { return params_; }
    [[nodiscard]] const Params &params() const { return params_; }
    // The plugin was built again; as BuildWatch::take_change.
    [[nodiscard]] bool take_new_build() { return watch_.take_change(generator_->library()); }
    // The same generator and model from the library that lies there now, not active, with the
    // values of this one where it still takes them, and numbering on. This one stays as it is.
    // `frames` as in the config.
    [[nodiscard]] Result<std::unique_ptr<Session>> renewed(FrameTarget *frames) const;
    // Jobs are numbered on from here: a session in the place of another one. Else from 1.
    void go_on_after(std::uint64_t number) { last_number_ = number; }
    // The request with the values as they are now, but for the size that it asks for.
    [[nodiscard]] SessionJob job(PlayRequest request);

    [[nodiscard]] std::uint64_t now_us() const; // [any] of the host's clock

    // ---- [worker], one thread at a time

    // Opens the device and activates the generator, if need be: again when values changed that take
    // effect only then. Progress comes as kProgress events of job 0.
    [[nodiscard]] Result<void> activate(const ParamSnapshot &values,
                                        const SessionCallbacks &callbacks);
    // Activates if need be, and begins a job. kBusy: the generator has one already and runs one at
    // a time, or is to be activated with other values first.
    [[nodiscard]] Result<std::unique_ptr<SessionRun>> begin(SessionJob job,
                                                            SessionCallbacks callbacks);
    // The same, and all steps to the end. Stopped: status kCancelled.
    [[nodiscard]] Result<RunReport> run(const SessionJob &job, const SessionCallbacks &callbacks);
    void deactivate();
    // Reads what is wanted of the store; `run` does so between steps.
    [[nodiscard]] Result<void> serve();
    [[nodiscard]] bool is_active() const { return generator_->is_active(); }
    [[nodiscard]] std::string device() const; // for people; empty until it is open
    // Where tensors of the open device lie: HOST, or its own, as a GPU has.
    [[nodiscard]] tessera_memory memory() const;
    [[nodiscard]] std::uint64_t activation_us() const { return activation_us_; } // of the last one

  private:
    friend class SessionRun;
    explicit Session(SessionConfig config);
    Result<void> use(const FoundGenerator &found, const std::string &model);
    Result<void> open_device();
    void close_device();
    void leave_lost_device();
    void settle_frames();
    [[nodiscard]] bool is_active_with(const ParamSnapshot &values) const;
    Result<void> check_images(const SessionJob &job) const;
    Result<void> check_own_inputs(const SessionImage &image, const SessionJob &job) const;
    Result<void> activate_generator(const ParamSnapshot &values, const SessionCallbacks &callbacks);
    Result<void> take_event(const tessera_event &event, const SessionJob &job,
                            const SessionCallbacks &callbacks);

    SessionConfig config_;
    PlayerInfo info_;
    MemoryFrames dropped_; // when the config names no target
    std::unique_ptr<Generator> generator_;
    BuildWatch watch_;
    Params params_;
    std::uint64_t last_number_ = 0;
    std::unique_ptr<Device> device_;
    std::uint64_t own_allocations_ = 0; // on the device, before the generator had it
    bool frames_know_device_ = false;
    std::uint64_t activation_us_ = 0;
    ParamSnapshot active_values_; // those it was activated with
};

} // namespace tessera
