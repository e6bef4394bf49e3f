// A player: one generator, its parameter values and a worker thread. This is what programs use.
// It knows nothing of windows: pictures go to a FrameTarget, news to a queue that the control
// thread drains. All functions belong to the control thread (the one that called create), and none
// of them waits for the generator, except `run`, `wait` and the destructor.
//
//   PlayerConfig config;
//   config.model = "materials";
//   config.frames = &ring;
//   auto player = Player::create(config);            // cheap; weights load on the worker
//   (*player)->set_text("class", "bark");
//   (*player)->submit({.seed = 7, .preview_every = 1});
//   every frame: for (PlayerEvent &event : (*player)->take_events()) ...; draw (*player)->state();
#pragma once

#include "assets/image_file.hpp"
#include "core/frame_target.hpp"
#include "core/result.hpp"
#include "host/generator/params.hpp"
#include "host/generator/slots.hpp"

#include <tessera/generator.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

class Host; // host/services.hpp: libraries, weights and threads that players of one program share

inline constexpr std::string_view kDefaultPlugin = "org.tessera.mar";

struct PlayerConfig {
    // Id of a generator, or path of a plugin library (contains '/'). Empty: what the model's
    // metadata names under "generator", else kDefaultPlugin.
    std::string plugin;
    std::string model;   // path or bundled name ("materials"); empty: none
    std::string backend; // name in the compute registry; empty: the best there is
    tessera_precision precision = TESSERA_PRECISION_DEFAULT;
    std::uint32_t threads = 0; // for computing; 0: one per core
    // Of a GPU, left to what draws: see ComputeOptions (compute/registry.hpp).
    std::uint32_t free_multiprocessors = 0;
    FrameTarget *frames = nullptr; // where pictures go; outlives the player; nullptr: dropped
    // How long a step may take before it looks for news; 0: one unit.
    std::uint32_t step_budget_us = 4000;
    bool restart_on_change = true; // a value changed while a job runs starts that job anew
    bool worker_thread = true;     // false: no thread; `run` does everything on the caller's

    // The device to use instead of opening `backend`; only this player's, until it is destroyed.
    std::shared_ptr<const tessera_compute> compute;

    std::shared_ptr<Host> host; // nullptr: one of its own
};

// Who is playing; copied from the plugin.
struct PlayerInfo {
    std::string id;
    std::string name;
    std::string vendor;
    std::string version;
    std::string description;
    std::filesystem::path library; // of the plugin
    std::string model;             // absolute path; empty: none
};

// A picture for a slot: 4 channels for RGBA8, 1 for MASK8. For F32 the values are in `numbers` and
// the image has their sizes but no pixels.
struct RequestInput {
    std::string key;
    Image image;
    std::vector<float> numbers = {}; // (height, width, channels)
};

// One thing to generate, apart from the parameter values.
struct PlayRequest {
    std::uint64_t seed = 0;
    std::uint32_t first_image = 0; // image i has the random stream first_image + i
    std::uint32_t image_count = 1;
    std::uint32_t preview_every = 0;  // steps between pictures; 0: the final one only
    std::uint32_t step_budget_us = 0; // in the config's place; 0: as it says
    std::vector<RequestInput> inputs;
};

struct PlayerEvent {
    enum class Type {
        kActivated, // the generator is ready on its device
        kProgress,  // step of total_steps is done
        kImage,     // the frame target has a new picture (of `image`)
        kCells,     // bytes: (rows, columns) U8, TESSERA_CELL_*
        kFeatures,  // bytes: the tap called `name`, contiguous
        kFinished,  // the job is complete
        kCancelled, // the job ended early: cancel, restart or a new submit
        kFailed,    // see `error`; the player lives on
    };
    Type type = Type::kProgress;
    bool final = false;    // kImage: will not be replaced
    std::uint64_t job = 0; // number that submit returned
    std::uint32_t image = 0;
    std::uint32_t step = 0;
    std::uint32_t total_steps = 0;
    std::string name; // kProgress: the phase that follows; kFeatures: the tap
    tessera_dtype dtype = TESSERA_DTYPE_NONE;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> bytes;
    Error error;
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

class Player {
  public:
    // Finds the plugin, makes the generator and reads its descriptions. With a worker thread,
    // activation starts there at once.
    [[nodiscard]] static Result<std::unique_ptr<Player>> create(PlayerConfig config);
    // Cancels, waits for the step under way, and takes everything down.
    ~Player();
    Player(const Player &) = delete;
    Player &operator=(const Player &) = delete;

    [[nodiscard]] const PlayerInfo &info() const;
    [[nodiscard]] const Params &params() const; // descriptions and values
    [[nodiscard]] const std::vector<InputSlot> &inputs() const;
    [[nodiscard]] const std::vector<FeatureTap> &features() const;

    // ---- values; a change restarts a running job when the config says so ----

    Result<bool> set_value(std::uint32_t id, double value); // conformed; true when it changed
    Result<bool> set_text(std::string_view key, std::string_view text);
    void reset_values();
    Result<std::vector<std::string>> load_values(std::string_view json); // as Params::load_json

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

    // ---- without a thread, when config.worker_thread is false ----

    // Activates if need be.
    Result<void> activate();
    // Runs one job to its end here. `on_event` gets kProgress, kImage, kCells and kFeatures as they
    // happen; `should_stop` is polled between steps and by the generator; either may be empty.
    // Stopped: status kCancelled.
    Result<RunReport> run(const PlayRequest &request,
                          const std::function<void(const PlayerEvent &)> &on_event,
                          const std::function<bool()> &should_stop);

  private:
    struct State;
    explicit Player(std::unique_ptr<State> state);
    void values_changed();
    std::unique_ptr<State> state_;
};

} // namespace tessera
