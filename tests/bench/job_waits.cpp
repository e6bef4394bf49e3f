#include "bench/job_waits.hpp"

#include "blocks/pictures/codec_pictures.hpp"
#include "blocks/shell/job.hpp"
#include "blocks/shell/token_run.hpp"

#include <dlfcn.h>

#include <chrono>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace tessera::bench {
namespace {

// Frames on the host, which nobody looks at.
class HostFrames {
  public:
    HostFrames() {
        table_.sink_data = this;
        table_.acquire_frame = [](const tessera_sink *sink, std::uint32_t width,
                                  std::uint32_t height, tessera_tensor *out) -> tessera_status {
            auto &pixels = static_cast<HostFrames *>(sink->sink_data)->pixels_;
            pixels.resize(static_cast<std::size_t>(width) * height * 4);
            *out = sdk::host_view(pixels.data(), {height, width, 4});
            return TESSERA_OK;
        };
        table_.emit = [](const tessera_sink *, const tessera_event *) -> tessera_status {
            return TESSERA_OK;
        };
        table_.should_stop = [](const tessera_sink *) -> std::int32_t { return 0; };
    }
    [[nodiscard]] const tessera_sink *table() const { return &table_; }

  private:
    tessera_sink table_{};
    std::vector<std::uint8_t> pixels_;
};

blocks::ModelJob make_job(const sdk::Compute &compute, const mar::MarModel &model,
                          const blocks::LatentCodec &codec, const blocks::RunSpec &run,
                          std::uint32_t preview_every, const tessera_sink *sink) {
    blocks::ModelJob::Spec spec;
    spec.grid = model.grid();
    spec.preview_every = preview_every;
    spec.clock = [] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
            .count();
    };
    return {
        compute, std::move(spec), std::make_unique<blocks::TokenRun>(compute, model, run),
        std::make_unique<blocks::CodecPictures>(compute, codec, model.grid(), std::nullopt, false),
        sdk::Sink(sink)};
}

using Count = long();

Count *count_of_double() {
    const char *name = std::getenv("TESSERA_CUDA_MODULE");
    void *const module = name != nullptr ? dlopen(name, RTLD_NOW | RTLD_NOLOAD) : nullptr;
    return module != nullptr ? reinterpret_cast<Count *>(dlsym(module, "tessera_cuda_double_waits"))
                             : nullptr;
}

} // namespace

std::optional<JobWaits> job_waits(const sdk::Compute &compute, const mar::MarModel &model,
                                  const blocks::LatentCodec &codec, int steps, int denoise_steps,
                                  double guidance) {
    Count *const count = count_of_double();
    if (count == nullptr) return std::nullopt;
    blocks::RunSpec run;
    run.labels = {1};
    run.steps = steps;
    run.diffusion.guidance = guidance;
    run.diffusion.denoise_steps = std::to_string(denoise_steps);
    const HostFrames frames;
    long calls = 0;
    // The job's memory is given back in here as well, which waits too.
    const auto waits = [&](std::uint32_t budget_us, std::uint32_t preview_every) {
        const long before = count();
        blocks::ModelJob job = make_job(compute, model, codec, run, preview_every, frames.table());
        for (calls = 1; job.step(budget_us) == sdk::Status::kMore;) ++calls;
        return count() - before;
    };
    JobWaits result;
    result.whole = waits(std::numeric_limits<std::uint32_t>::max(), 0);
    result.watched = waits(0, 1);
    result.in_units = waits(0, 0);
    result.calls = calls;
    return result;
}

} // namespace tessera::bench
