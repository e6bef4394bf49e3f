// What is behind the handles: one runtime, its models and textures, and the two threads that work
// for them.
//
//   control    [main] of the host: opens and closes generators, loads and lets go of weights, and
//              looks whether a step hangs
//   generate   [worker] while a model is ready: gives turns to textures, see runtime_generate.cpp;
//              no thread, but jobs of one turn each, where the program has a job system
//
// One mutex guards all state; it is never held while a plugin runs. Steps compute on the pool that
// all models share. A generate thread that hangs in a plugin is left behind and replaced.
#pragma once

#include "api/listing.hpp"
#include "api/model_facts.hpp"
#include "api/picture.hpp"
#include "api/texture_run.hpp"
#include "core/result.hpp"
#include "core/thread_pool.hpp"
#include "host/plugin/services.hpp"
#include "host/run/session.hpp"
#include "host/run/thread_cores.hpp"

#include <tessera/runtime.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tessera::api {

class Runtime;
inline constexpr const char *kNoMemory = "out of memory"; // short enough to need none
using Clock = std::chrono::steady_clock;

struct RuntimeConfig {
    std::string program;
    PathList plugin_dirs;
    PathList model_dirs;
    std::uint32_t threads = 1;
    int nice = 10; // 0: as the program's; kOnlyIdle
    std::uint64_t cpu_bytes = UINT64_MAX;
    std::uint64_t gpu_bytes = UINT64_MAX;
    std::chrono::milliseconds step_timeout{10'000};
    std::chrono::milliseconds reload_every{0}; // 0: never
    tessera_callbacks callbacks{};
};

struct ModelConfig {
    std::string plugin;
    std::string model;
    std::string backend;
    bool exact = false;
    bool lazy = false;
    std::uint32_t batch = 0; // most textures in one job; 0: by the device
    std::shared_ptr<const std::vector<std::byte>> weights; // nullptr: what `model` names
};

enum class ModelState {
    kLoading = TESSERA_MODEL_LOADING,
    kReady = TESSERA_MODEL_READY,
    kEvicted = TESSERA_MODEL_EVICTED,
    kFailed = TESSERA_MODEL_FAILED,
    kHung = TESSERA_MODEL_HUNG,
};

inline constexpr std::uint32_t kBatchOnGpu = 16;

struct Model {
    Model(std::uint64_t number, std::shared_ptr<Runtime> owner, ModelConfig given)
        : id(number), runtime(std::move(owner)), config(std::move(given)) {}

    const std::uint64_t id;
    const std::shared_ptr<Runtime> runtime;
    const ModelConfig config;

    // Guarded by the runtime's mutex.
    ModelState state = ModelState::kLoading;
    Error error{Status::kOk, {}};
    float loaded = 0;
    bool closed = false;
    bool loads = false;   // the control thread is at it
    bool in_turn = false; // the generate thread is in its generator
    bool evict = false;
    std::uint64_t changes = 0; // of the runs under way; what was BUSY may be tried again
    std::uint64_t last_turn = 0;
    std::unique_ptr<const ModelFacts> facts;
    std::vector<std::unique_ptr<const ModelFacts>> past_facts; // a program may still read them
    std::string device;                                        // set once, when first loaded
    bool on_gpu = false;
    std::uint32_t batch = 1; // most textures in one job; less once the device had no memory for it
    const PictureMemory *memory = nullptr;                     // of the device that it may be on
    std::map<std::uint64_t, std::unique_ptr<TextureRun>> runs; // by texture

    // The control thread's, and the generate thread's during turns.
    struct Working {
        std::unique_ptr<PictureFrames> frames;
        std::unique_ptr<Session> session;
    };
    Working working;
    // The control thread's, and set with the mutex: of a new build, which waits for turns to end.
    Working renewed;

    std::atomic<bool> stop_loading{false};
};

// What textures in one job have in common; see company_of.
struct Company {
    const ModelFacts *facts = nullptr; // by which; nullptr: nobody asked yet
    std::string values;                // empty: it is made alone
    std::uint64_t pixels = 0;          // of each
};

// What a texture is to show.
struct Order {
    std::uint64_t seed = 0;
    std::uint32_t preview_every = 0;
    std::uint32_t width = 0, height = 0;
    bool maps = false;
    std::string values;                                        // JSON; empty: none
    std::vector<std::pair<std::string, std::string>> settings; // over them
    std::vector<RequestInput> inputs;
};

enum class TextureState {
    kWaiting = TESSERA_TEXTURE_WAITING,
    kRunning = TESSERA_TEXTURE_RUNNING,
    kPaused = TESSERA_TEXTURE_PAUSED,
    kDone = TESSERA_TEXTURE_DONE,
    kCancelled = TESSERA_TEXTURE_CANCELLED,
    kFailed = TESSERA_TEXTURE_FAILED,
};

struct Texture {
    Texture(std::uint64_t number, std::shared_ptr<Model> owner)
        : id(number), model(std::move(owner)) {}

    const std::uint64_t id;
    const std::shared_ptr<Model> model;
    std::atomic<bool> stop{false}; // the run under way is to end

    // Guarded by the runtime's mutex.
    Order order;
    std::int32_t priority = 0;
    float weight = 0;
    bool closed = false;
    bool paused = false;
    bool waits = false; // a run is to begin
    TextureState state = TextureState::kWaiting;
    Error error{Status::kOk, {}};
    std::uint64_t job = 0;     // newest
    std::uint64_t run_job = 0; // under way, while the model has a run of this texture
    std::uint32_t step = 0, total_steps = 0;
    std::uint64_t last_turn = 0;
    std::uint64_t busy_at = UINT64_MAX; // changes of the model when it was BUSY
    bool apart = false;                 // it failed in a job with others, and is begun without
    Company company;                    // of the order
    bool has_picture_event = false;
    std::string made_values; // what the generator says it used
    std::shared_ptr<const Picture> picture;
    std::shared_ptr<const Maps> maps; // of the newest final picture that has some
};

struct Event {
    std::uint32_t type = 0;
    std::uint64_t model = 0, texture = 0, job = 0;
    std::uint32_t step = 0, total_steps = 0;
    Status status = Status::kOk;
    std::string plugin, text;
};

// Time that generating may take; see tessera_frame_info.
struct Allowance {
    bool limited = false;
    std::int64_t left_us = 0;

    void give(std::uint32_t share_us);
    [[nodiscard]] bool has_any() const { return !limited || left_us > 0; }
    void take(std::int64_t used_us) {
        if (limited) left_us -= used_us;
    }
};

class Runtime : public std::enable_shared_from_this<Runtime> {
  public:
    [[nodiscard]] static Result<std::shared_ptr<Runtime>> open(std::uint64_t id,
                                                               RuntimeConfig config);
    explicit Runtime(std::uint64_t id, RuntimeConfig config);

    // Everything [any].
    [[nodiscard]] std::uint64_t id() const { return id_; }
    [[nodiscard]] Result<void> close(std::chrono::milliseconds timeout);
    void frame(const tessera_frame_info &info);
    [[nodiscard]] std::size_t event_count();
    [[nodiscard]] std::optional<Event> next_event(std::chrono::milliseconds timeout);
    // Kept until the next call: what a delivered event points to.
    const Event &deliver(Event event);
    [[nodiscard]] tessera_stats stats();
    void trim(std::uint64_t cpu_bytes, std::uint64_t gpu_bytes);

    // Looks what there is; then `listing` has it.
    [[nodiscard]] Result<void> scan(std::chrono::milliseconds timeout);
    // Valid until the next scan; nullptr: none yet. With the lock.
    [[nodiscard]] const Listing *listing() const { return listing_.get(); }

    [[nodiscard]] Result<std::uint64_t> estimate(const ModelConfig &config);
    [[nodiscard]] Result<std::shared_ptr<Model>> open_model(std::uint64_t id, ModelConfig config);
    void close_model(Model &model);
    [[nodiscard]] Result<void> wait_model(const Model &model, std::chrono::milliseconds timeout);

    [[nodiscard]] Result<std::shared_ptr<Texture>> open_texture(std::uint64_t id,
                                                                const std::shared_ptr<Model> &model,
                                                                Order order, std::int32_t priority,
                                                                float weight, bool paused);
    void close_texture(Texture &texture);
    // Without an order: the one it has.
    [[nodiscard]] Result<void> restart(Texture &texture, std::optional<Order> order,
                                       std::optional<bool> paused);
    [[nodiscard]] Result<void> set_value(Texture &texture, const std::string &key,
                                         const std::string &value);
    void pause(Texture &texture, bool paused);
    void cancel(Texture &texture);
    [[nodiscard]] Result<void> wait_texture(const Texture &texture,
                                            std::chrono::milliseconds timeout);
    [[nodiscard]] Result<std::string> preset(const Texture &texture);
    [[nodiscard]] std::shared_ptr<const Picture> picture(const Texture &texture);
    // The newest one, of the colours or a map; TESSERA_MAP_*.
    [[nodiscard]] Pixels pixels(const Texture &texture, std::uint32_t map);
    // Models that are loaded from now on may compute on that device, and pictures made there, or by
    // CUDA, lie there.
    void use_picture_memory(std::shared_ptr<PictureMemory> memory);
    // Nothing is on it any more when this returns: models that compute there are loaded again when
    // they are wanted, what they were about begins again, and pictures are on the host. `lost`:
    // they are made again.
    [[nodiscard]] Result<void> leave_picture_memory(std::shared_ptr<PictureMemory> memory,
                                                    bool lost);

    // For reading and writing what it guards.
    [[nodiscard]] std::unique_lock<std::mutex> lock() { return std::unique_lock(mutex_); }

  private:
    // One generate thread, or chain of jobs; there are several only while one of them hangs.
    struct Worker {
        std::thread thread;
        bool submitted = false;           // a job of it is on its way, or runs
        std::shared_ptr<Texture> texture; // of the turn under way
        Clock::time_point started;
        int thread_number = 0;              // that the turn is on
        Clock::time_point looked_at;        // first; before `started`: not in this turn
        std::chrono::nanoseconds starved{}; // without a core, when it was first looked at
        bool watched = false;               // a step, not an activation
        bool abandoned = false;             // it hung: what it comes back with is thrown away
        bool ended = false;
        int kept_off = -1; // a core; only its thread's
    };
    // kApart: what was begun together is begun again one by one.
    enum class Ending { kMore, kBusy, kDone, kCancelled, kFailed, kApart };
    // A texture that begins in the same job.
    struct Mate {
        std::shared_ptr<Texture> texture;
        Order order;
        std::uint64_t job = 0;
    };
    struct Turn {
        std::shared_ptr<Texture> texture;
        std::shared_ptr<Model> model;
        TextureRun *run = nullptr; // nullptr: to begin
        bool stop = false;
        Order order; // of a run to begin
        std::uint64_t job = 0;
        std::vector<Mate> mates;
        std::uint64_t number = 0;
        std::uint32_t budget_us = 0;
        int frame_core = -1; // to keep off
        bool freed = false;  // it holds its model no longer
    };
    struct Outcome {
        Ending ending = Ending::kMore;
        Error error{Status::kOk, {}};
        std::unique_ptr<TextureRun> begun;
        std::vector<std::unique_ptr<TextureRun>> mates; // begun, in the order of the turn's
    };

    // ---- runtime.cpp, with the mutex held
    void push(Event event) noexcept;
    void push(std::uint32_t type, const Model &model, const Texture *texture,
              const Error &error) noexcept;
    [[nodiscard]] static Event event_of(std::uint32_t type, const Model &model,
                                        const Texture *texture, const Error &error);
    void give_up();
    [[nodiscard]] Error leave_behind(std::unique_lock<std::mutex> &lock,
                                     std::chrono::milliseconds timeout);
    void count_idle_and_evict(std::uint64_t cpu_bytes, std::uint64_t gpu_bytes);
    [[nodiscard]] bool is_wanted(const Model &model) const;
    [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> used_bytes() const; // CPU, GPU
    void start_worker();
    void wake_turns(); // somebody may have a turn now

    // ---- runtime_textures.cpp, with the mutex held
    void start_run(Texture &texture);
    void end_waiting(Texture &texture, TextureState state, const Error &error);
    void stop_textures(const Model &model, TextureState state, const Error &error);
    [[nodiscard]] bool is_on(const PictureMemory &memory) const;
    void send_away_from(const PictureMemory &memory);
    [[nodiscard]] Result<void> take_pictures_from(const PictureMemory &memory, bool lost);

    // ---- runtime_control.cpp, on the control thread
    void control();
    [[nodiscard]] bool control_safely(std::unique_lock<std::mutex> &lock);
    [[nodiscard]] bool turns_ended() const;
    void scan_folders(std::unique_lock<std::mutex> &lock);
    void wait_for_work(std::unique_lock<std::mutex> &lock);
    [[nodiscard]] bool control_once(std::unique_lock<std::mutex> &lock);
    void load(const std::shared_ptr<Model> &model, std::unique_lock<std::mutex> &lock);
    void note_device(Model &model) const;
    Result<void> load_session(Model &model);
    Result<void> activate(Model &model, Session &session);
    [[nodiscard]] std::unique_ptr<PictureFrames> make_frames();
    [[nodiscard]] std::unique_ptr<const ModelFacts> read_facts(const Session &session);
    void find_new_builds(std::unique_lock<std::mutex> &lock);
    Result<Model::Working> renew(Model &model, bool active);
    void go_on_with_new_build(Model &model, std::unique_lock<std::mutex> &lock);
    [[nodiscard]] static Clock::duration time_of_step(Worker &worker);
    void find_hanging();
    void start_pool();
    [[nodiscard]] Result<std::shared_ptr<const WeightSet>> given_weights(const std::string &name);
    [[nodiscard]] Result<std::shared_ptr<const WeightSet>> read_weights(const std::string &name);

    // ---- runtime_batch.cpp, with the mutex held
    static void claim(Texture &texture);
    [[nodiscard]] std::vector<std::shared_ptr<Texture>> mates_of(Texture &texture) const;
    void claim_mates(Turn &turn) const;
    void note_turn(const Turn &turn);

    // ---- runtime_generate.cpp, on a generate thread
    void generate(const std::shared_ptr<Worker> &worker);
    void submit_turn(std::unique_lock<std::mutex> &lock);
    void run_job(const std::shared_ptr<Worker> &worker);
    bool give_turn(Turn &turn, Worker &worker, std::unique_lock<std::mutex> &lock);
    void end_worker(Worker &worker, std::unique_lock<std::mutex> &lock);
    [[nodiscard]] std::optional<Turn> next_turn();
    [[nodiscard]] std::shared_ptr<Texture> next_texture() const;
    [[nodiscard]] bool may_have_turn(const Texture &texture) const;
    [[nodiscard]] Outcome take_turn(Turn &turn, Worker &worker);
    void keep_off(int core, Worker &worker) const;
    [[nodiscard]] Outcome try_turn(Turn &turn, Worker &worker, Outcome &outcome);
    [[nodiscard]] Result<TextureTask> task_of(const Turn &turn, const Texture &texture,
                                              const Order &order, std::uint64_t job) const;
    [[nodiscard]] TextureHooks hooks_of(const std::shared_ptr<Texture> &texture, std::uint64_t job,
                                        Worker &worker);
    [[nodiscard]] Result<void> begin_runs(Turn &turn, Worker &worker, Outcome &outcome);
    void apply(Turn &turn, Outcome outcome);
    [[nodiscard]] bool apply_to(Texture &texture, std::uint64_t job, const Turn &turn,
                                Outcome outcome);
    [[nodiscard]] bool waits_again(Texture &texture, Outcome &outcome);
    void tell_end(Texture &texture, std::uint64_t job, Outcome &outcome);
    void end_all_runs(std::unique_lock<std::mutex> &lock, const Model *model);
    void take_event(Texture &texture, std::uint64_t job, PlayerEvent &event);
    void take_picture(std::unique_ptr<Picture> picture, const FrameInfo &info);
    [[nodiscard]] std::shared_ptr<const Picture> final_picture(const Texture &texture,
                                                               std::uint64_t job);
    void take_maps(Texture &texture, std::uint64_t job, std::shared_ptr<Maps> maps);

    const std::uint64_t id_;
    const RuntimeConfig config_;
    const ThreadCores cores_;
    std::shared_ptr<Memory> memory_;
    std::unique_ptr<ThreadPool> pool_;
    std::atomic<bool> quit_{false};

    std::mutex mutex_;                // guards everything below, and what models and textures say
    std::condition_variable changed_; // somebody outside may go on
    std::condition_variable control_wake_;
    std::condition_variable turn_wake_;
    bool control_sleeps_ = false; // and watches no step
    Clock::time_point looked_for_builds_;
    bool scan_wanted_ = false;
    std::uint64_t scans_ = 0; // done
    std::unique_ptr<const Listing> listing_;
    std::thread control_;
    std::vector<std::shared_ptr<Worker>> workers_; // the last one works
    std::shared_ptr<Host> host_;                   // set by the control thread before open returns
    bool closed_ = false;
    std::map<std::uint64_t, std::shared_ptr<Model>> models_;
    std::map<std::uint64_t, std::shared_ptr<Texture>> textures_;
    std::map<std::string, std::weak_ptr<const WeightSet>> given_;
    std::deque<Event> events_;
    Event delivered_;
    std::shared_ptr<PictureMemory> picture_memory_; // on the device that a program has open
    bool trim_pictures_ = false;
    Allowance cpu_, gpu_;
    std::uint32_t hidden_ = 0;
    int frame_core_ = -1; // that the program's frame was last on; -1: it has none
    std::uint64_t turns_ = 0;
    std::uint64_t pictures_ = 0;
    tessera_stats counts_{};
};

// What an order comes to: what is wrong with it is said.
struct OrderPlan {
    Params values;                       // as the generator gets them
    std::uint32_t width = 0, height = 0; // of a picture that is put together from windows; else 0
};
[[nodiscard]] Result<OrderPlan> plan_of(const ModelFacts &facts, const Order &order);
// Textures with equal values may be made in one job.
[[nodiscard]] Company company_of(const ModelFacts &facts, const Order &order);

} // namespace tessera::api
