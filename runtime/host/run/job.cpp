#include "host/run/job.hpp"

#include "core/trace.hpp"

#include <utility>

namespace tessera {

Job::Job(Generator &generator, JobSinkConfig sink, const JobLimits &limits)
    : generator_(generator), limits_(limits), sink_(std::move(sink)) {}

Result<std::unique_ptr<Job>> Job::begin(Generator &generator, const tessera_request &request,
                                        JobSinkConfig sink, const JobLimits &limits) {
    const trace::Span span("job: begin");
    std::unique_ptr<Job> job(new Job(generator, std::move(sink), limits));
    auto begun = generator.begin(request, job->sink_.table());
    if (begun) job->job_ = *begun;
    if (job->sink_.fault()) return *job->sink_.fault();
    if (!begun) return begun.error();
    return job;
}

Result<bool> Job::step(std::uint32_t budget_us) {
    const trace::Span span("job: step");
    auto more = generator_.step(job_, budget_us);
    // What it did wrong tells more than what it answered.
    if (sink_.fault()) return *sink_.fault();
    if (!more) return more;
    if (!*more) {
        if (const auto image = sink_.missing_image()) {
            return make_error(Status::kFailed, "{}: step: done, but image {} has no picture",
                              generator_.descriptor().id, *image);
        }
        return false;
    }
    if (sink_.progress_count() != last_progress_) {
        last_progress_ = sink_.progress_count();
        idle_steps_ = 0;
    } else if (++idle_steps_ >= limits_.max_idle_steps) {
        return make_error(Status::kFailed, "{}: step: stuck: {} steps without any progress",
                          generator_.descriptor().id, idle_steps_);
    }
    return true;
}

Job::~Job() {
    // The sink outlives `end`; frames that were not emitted go back after it.
    if (job_ != nullptr) generator_.end(job_);
}

} // namespace tessera
