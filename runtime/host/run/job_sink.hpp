// The sink a job reports to: gives frames out, checks everything that comes back, passes it on.
// A generator's mistake is kept as a fault that fails the job, whatever the generator answers.
#pragma once

#include "core/frame_target.hpp"
#include "core/result.hpp"
#include "host/run/frame_guard.hpp"

#include <tessera/generator.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

struct JobSinkConfig {
    std::string generator;         // id, for messages
    FrameTarget *frames = nullptr; // not nullptr
    std::uint32_t image_count = 1;
    std::uint64_t job = 0; // number, for FrameInfo
    std::uint64_t tag = 0; // of the request, likewise
    struct Address {
        std::uint64_t job = 0, tag = 0;
    };
    std::vector<Address> addresses;              // of each image; empty: those above
    tessera_memory memory = TESSERA_MEMORY_HOST; // of the compute: features may lie there
    bool guards_frames = kGuardsFrames;          // of the host
    // Sees every event that passed the checks, after a frame was published. Tensors are strided and
    // valid during the call. An error fails the job. May be empty.
    std::function<Result<void>(const tessera_event &)> on_event;
    std::function<bool()> should_stop; // may be empty
};

// [worker] for everything.
class JobSink {
  public:
    explicit JobSink(JobSinkConfig config);
    // Abandons the frames that were not emitted.
    ~JobSink();
    JobSink(const JobSink &) = delete;
    JobSink &operator=(const JobSink &) = delete;

    [[nodiscard]] const tessera_sink &table() const { return table_; }

    // The first mistake so far.
    [[nodiscard]] const std::optional<Error> &fault() const { return fault_; }
    // How often the job moved on: a step count rose. For telling a job that stands still.
    [[nodiscard]] std::uint64_t progress_count() const { return progress_count_; }
    // The first image without any picture; nullopt: all have one.
    [[nodiscard]] std::optional<std::uint32_t> missing_image() const;
    void abandon_frames();

  private:
    struct Acquired {
        tessera_tensor given;              // to the plugin
        std::unique_ptr<FrameGuard> guard; // nullptr: it is the target's frame
        [[nodiscard]] const tessera_tensor &frame() const {
            return guard != nullptr ? guard->frame() : given;
        }
    };
    tessera_status acquire_frame(std::uint32_t width, std::uint32_t height,
                                 tessera_tensor *out_frame);
    tessera_status emit(const tessera_event *event);
    Result<void> check_event(const tessera_event &event) const;
    Result<void> publish(const tessera_event &event);
    tessera_status keep_fault(const Error &error);

    JobSinkConfig config_;
    tessera_sink table_{};
    std::vector<Acquired> acquired_;
    std::vector<bool> has_picture_; // per image
    std::optional<Error> fault_;
    std::uint32_t last_step_ = 0;
    std::uint64_t progress_count_ = 0;
};

} // namespace tessera
