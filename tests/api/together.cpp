// A generator whose jobs take images of several requests: "shade" may differ from image to image. A
// picture tells how many there were in its job. One shade it refuses, with another a step fails.
#include <tessera/sdk/generator.hpp>

#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

using namespace tessera::sdk;

struct Together {
    static constexpr std::uint32_t kSide = 8;
    static constexpr int kRefused = 13, kFails = 66;
    static constexpr Info kInfo{
        .id = "test.together", .name = "Together", .vendor = "Tests", .version = "1.0.0"};
    static constexpr IntParam kParams[] = {
        {.id = 1, .key = "sleep", .name = "Milliseconds", .max = 1000},
        {.id = 2, .key = "steps", .name = "Steps", .min = 1, .max = 100'000, .initial = 2},
        {.id = 3, .key = "shade", .name = "Shade", .max = 255},
        {.id = 4, .key = "most", .name = "Images there is memory for", .max = 99, .initial = 99}};

    struct Job {
        Sink sink;
        int sleep_ms, steps;
        std::uint32_t preview_every;
        std::vector<int> values; // seed and shade of each image
        bool fails = false;
        int done = 0;

        Status step() {
            std::this_thread::sleep_for(std::chrono::milliseconds(sleep_ms));
            if (++done == 2 && fails) throw Failure(Status::kFailed, "a shade of 66 fails");
            sink.progress({done, steps});
            const bool previews =
                preview_every != 0 && static_cast<std::uint32_t>(done) % preview_every == 0;
            for (std::size_t i = 0; i < values.size() && (previews || done == steps); ++i) {
                const Frame frame = sink.acquire_frame(kSide, kSide);
                std::memset(frame.pixels(), values[i], kSide * kSide * 4);
                frame.pixels()[0] = static_cast<std::uint8_t>(values.size());
                sink.emit(frame, {done, steps, static_cast<int>(i)});
            }
            return done == steps ? Status::kDone : Status::kMore;
        }
    };

    [[nodiscard]] const ParamIds *batch_params() const { return &ids_; }

    std::unique_ptr<Job> begin(const Request &request, Sink sink) {
        if (static_cast<int>(request.image_count()) > request[kParams[3]]) {
            throw Failure(Status::kOutOfMemory, "no memory for so many images");
        }
        auto job = std::make_unique<Job>(
            Job{sink, request[kParams[0]], request[kParams[1]], request.preview_every(), {}});
        for (std::uint32_t i = 0; i < request.image_count(); ++i) {
            const Request one = request.has_images() ? request.image(i) : request;
            const int shade = one[kParams[2]];
            if (shade == kRefused) {
                throw Failure(Status::kInvalidArgument, "a shade of 13 is refused");
            }
            job->fails |= shade == kFails;
            job->values.push_back(static_cast<int>(one.seed()) + shade);
        }
        return job;
    }

  private:
    ParamIds ids_{3};
};

TESSERA_PLUGIN(Together)
