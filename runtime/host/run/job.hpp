// One run of a generator: begin, step until it is done, end. Ends itself when destroyed.
#pragma once

#include "core/result.hpp"
#include "host/generator/generator.hpp"
#include "host/run/job_sink.hpp"

#include <tessera/generator.h>

#include <cstdint>
#include <memory>

namespace tessera {

// Steps that a job may take without moving on before it counts as stuck; generous, because a step
// may be one of a thousand denoise steps between two that count.
inline constexpr std::uint32_t kMaxIdleSteps = 100'000;

struct JobLimits {
    std::uint32_t budget_us = 0; // of one step; 0: one natural unit
    std::uint32_t max_idle_steps = kMaxIdleSteps;
};

// [worker] for everything.
class Job {
  public:
    // `request` is read during the call only.
    [[nodiscard]] static Result<std::unique_ptr<Job>> begin(Generator &generator,
                                                            const tessera_request &request,
                                                            JobSinkConfig sink,
                                                            const JobLimits &limits);
    // Cancels what is left.
    ~Job();
    Job(const Job &) = delete;
    Job &operator=(const Job &) = delete;

    // True: there is more to do. After false or an error the job is only to be destroyed.
    [[nodiscard]] Result<bool> step() { return step(limits_.budget_us); }
    [[nodiscard]] Result<bool> step(std::uint32_t budget_us);

  private:
    Job(Generator &generator, JobSinkConfig sink, const JobLimits &limits);

    Generator &generator_;
    JobLimits limits_;
    JobSink sink_;
    tessera_job *job_ = nullptr;
    std::uint64_t last_progress_ = 0;
    std::uint32_t idle_steps_ = 0;
};

} // namespace tessera
