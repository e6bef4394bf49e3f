// A generator instance as a C++ object: its states, the threads its calls belong to, and what it
// describes (parameters, inputs, taps), copied and checked. It runs no loop: see job.hpp.
#pragma once

#include "core/result.hpp"
#include "host/generator/batch.hpp"
#include "host/generator/params.hpp"
#include "host/generator/slots.hpp"
#include "host/plugin/scan.hpp"
#include "host/plugin/services.hpp"

#include <tessera/generator.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

class Generator {
  public:
    enum class State { kMade, kReady, kActive };

    // [main] Creates and initialises. `model` is an absolute path or empty.
    [[nodiscard]] static Result<std::unique_ptr<Generator>>
    create(std::shared_ptr<Host> host, const FoundGenerator &found, const std::string &model);
    // [main & !active]
    ~Generator();
    Generator(const Generator &) = delete;
    Generator &operator=(const Generator &) = delete;

    [[nodiscard]] const Descriptor &descriptor() const { return descriptor_; }
    [[nodiscard]] const Library &library() const { return *library_; }
    [[nodiscard]] const std::filesystem::path &library_path() const { return library_->path(); }
    [[nodiscard]] const Params &params() const { return params_; } // with initial values
    [[nodiscard]] const std::vector<InputSlot> &inputs() const { return inputs_; }
    [[nodiscard]] const std::vector<FeatureTap> &features() const { return features_; }
    // Which images may be in one job.
    [[nodiscard]] const Batch &batch() const { return batch_; }

    // ---- [worker] ------------------------------------------------------------------------------
    [[nodiscard]] Result<void> activate(const tessera_activation &activation,
                                        const tessera_sink &sink);
    void deactivate();
    // Several jobs may be under way, stepped in turn; a generator that runs one at a time answers
    // BUSY.
    [[nodiscard]] Result<tessera_job *> begin(const tessera_request &request,
                                              const tessera_sink &sink);
    // Of one of the jobs under way. True: there is more to do.
    [[nodiscard]] Result<bool> step(tessera_job *job, std::uint32_t budget_us);
    void end(tessera_job *job);

    [[nodiscard]] bool is_active() const { return state_ >= State::kActive; }
    [[nodiscard]] int job_count() const { return jobs_; } // begun and not ended

  private:
    Generator(std::shared_ptr<Host> host, const FoundGenerator &found,
              const tessera_generator *table);
    Result<void> check_table() const;
    Result<void> init();
    Result<void> read_inputs();
    Result<void> read_features();
    Result<void> read_batch();
    // The call may be made now, from this thread.
    Result<void> check_call(std::string_view call, State expected) const;

    std::shared_ptr<Host> host_;
    std::shared_ptr<Library> library_;
    Descriptor descriptor_;
    const tessera_generator *table_;
    State state_ = State::kMade;
    int jobs_ = 0;
    Params params_;
    std::vector<InputSlot> inputs_;
    std::vector<FeatureTap> features_;
    Batch batch_;
};

} // namespace tessera
