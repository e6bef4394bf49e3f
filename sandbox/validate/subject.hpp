// A plugin under test, called by hand: its library, an instance, an activation, a job. Nothing here
// repairs what a plugin does wrong; what is looked for decides the check. All of it on one thread,
// which counts as [main] and as [worker].
#pragma once

#include "core/thread_pool.hpp"
#include "host/generator/params.hpp"
#include "host/plugin/services.hpp"
#include "host/run/device.hpp"
#include "sandbox/validate/check.hpp"
#include "sandbox/validate/trap_memory.hpp"

#include <tessera/entry.h>
#include <tessera/ext/batch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::validate {

// The library, opened and initialised; closed by the destructor.
class Plugin {
  public:
    // With the services of a whole host, or with `table` instead.
    explicit Plugin(const Options &options, const tessera_host *table = nullptr);
    ~Plugin();
    Plugin(const Plugin &) = delete;
    Plugin &operator=(const Plugin &) = delete;

    [[nodiscard]] const tessera_entry &entry() const { return *entry_; }
    [[nodiscard]] const tessera_generator_factory &factory() const;
    [[nodiscard]] const tessera_host *host() const { return table_; }
    [[nodiscard]] Host &services() const { return *services_; }
    // Of the first generator in it.
    [[nodiscard]] std::string first_id() const;

  private:
    std::shared_ptr<Host> services_;
    const tessera_host *table_;
    void *handle_ = nullptr;
    const tessera_entry *entry_ = nullptr;
};

// An instance, made and initialised; destroyed by the destructor.
class Instance {
  public:
    explicit Instance(const Plugin &plugin, const Options &options);
    ~Instance();
    Instance(const Instance &) = delete;
    Instance &operator=(const Instance &) = delete;

    [[nodiscard]] const tessera_generator *table() const { return table_; }
    // As described, at what the options set.
    [[nodiscard]] Params &params() { return params_; }
    // Of its input slots.
    [[nodiscard]] std::vector<std::string> input_keys() const;

  private:
    const tessera_generator *table_;
    Params params_;
};

// An active instance, with the device it is active on; deactivated by the destructor.
class Active {
  public:
    explicit Active(const Options &options, const tessera_host *table = nullptr);
    ~Active();
    Active(const Active &) = delete;
    Active &operator=(const Active &) = delete;

    [[nodiscard]] const tessera_generator *table() const { return instance_.table(); }
    [[nodiscard]] Params &params() { return instance_.params(); }
    [[nodiscard]] std::vector<std::string> input_keys() const { return instance_.input_keys(); }
    [[nodiscard]] const tessera_compute &compute() const { return device_->compute(); }

  private:
    std::unique_ptr<Device> device_;
    Plugin plugin_;
    Instance instance_;
    std::optional<WorkerScope> scope_;
};

// How frames are laid in memory: with room to spare; against a page that nobody may touch; or gone
// once they are emitted.
enum class Frames { kRoomy, kGuarded, kGone };

struct RunSettings {
    std::uint64_t seed = 7;
    std::uint32_t budget_us = 0;
    std::uint32_t first_image = 0;
    std::uint32_t images = 1;
    std::uint32_t preview_every = 0;
    std::int64_t steps = -1; // then `end`; -1: until it is done
    Frames frames = Frames::kRoomy;
    bool stop = false;                                  // what should_stop answers
    const std::vector<tessera_value> *values = nullptr; // nullptr: as described
    std::vector<tessera_input> inputs;
    const std::vector<tessera_image_request> *own = nullptr; // of each image
    std::uint32_t request_size = sizeof(tessera_request); // 0: the request lies before a guard page
};

struct Picture {
    std::int64_t width = 0, height = 0;
    std::vector<std::uint8_t> bytes;
    bool is_final = false;

    bool operator==(const Picture &) const = default;
};

// What a run did. Texts about mistakes are the first of their kind; empty: none.
struct RunResult {
    tessera_status begun = TESSERA_OK;
    tessera_status ended = TESSERA_MORE; // MORE: it was cut off
    std::string error;                   // what the plugin logged with the status
    std::uint64_t steps = 0;
    std::uint64_t allocations = 0; // in `step`, without what the sink needs
    double longest_step_ms = 0;
    std::vector<Picture> pictures; // the last of each image
    std::uint64_t previews = 0;    // IMAGE events of image 0 that are not final
    std::size_t most_frames = 0;   // held at once
    std::string foreign_frame, bad_progress, bad_image, bad_cells, bad_features, bad_type;

    [[nodiscard]] bool done() const { return begun == TESSERA_OK && ended == TESSERA_OK; }
};

[[nodiscard]] RunResult run(Active &active, const RunSettings &settings = {});
// As `run`, and a Finding when it does not end well.
[[nodiscard]] RunResult whole_run(Active &active, const RunSettings &settings = {});

// The call, with its exceptions as a Finding and the error it logged in `error`.
tessera_status guarded_call(std::string_view what, std::string &error,
                            const std::function<tessera_status()> &call);
// A Finding if it is an error without a reason, or no status at all.
void check_status(std::string_view what, tessera_status status, const std::string &error);

} // namespace tessera::validate
