// A generator for tests of the window: every kind of parameter, as many steps as one likes, failure
// on demand. Pictures are one colour in stripes, so that tests can tell what they see.
#include <tessera/sdk/generator.hpp>

#include <algorithm>

using namespace tessera::sdk;

namespace {

constexpr IntParam kSteps{.id = 1,
                          .key = "steps",
                          .name = "Steps",
                          .group = "Sampling",
                          .min = 1,
                          .max = 1'000'000,
                          .initial = 16,
                          .flags = TESSERA_PARAM_LOG_SCALE,
                          .help = "Stripes are added one a step."};
constexpr ChoiceParam kColour{.id = 2,
                              .key = "colour",
                              .name = "Colour",
                              .initial = 0,
                              .help = "What the stripes are made of."};
constexpr FloatParam kWarmth{.id = 3,
                             .key = "warmth",
                             .name = "Warmth",
                             .group = "Sampling",
                             .unit = "%",
                             .min = 0,
                             .max = 100,
                             .initial = 50,
                             .step = 0.5,
                             .help = "Changes nothing but its own slider."};
constexpr FloatParam kRatio{.id = 4,
                            .key = "ratio",
                            .name = "Ratio",
                            .group = "Sampling",
                            .min = 0.01,
                            .max = 100,
                            .initial = 1,
                            .flags = TESSERA_PARAM_LOG_SCALE,
                            .help = "Moves in ratios."};
constexpr BoolParam kInverse{.id = 5,
                             .key = "inverse",
                             .name = "Inverse",
                             .group = "Look",
                             .help = "Stripes in the negative colour."};
constexpr IntParam kFixed{.id = 6,
                          .key = "side",
                          .name = "Side",
                          .group = "Look",
                          .unit = "px",
                          .min = 64,
                          .max = 64,
                          .initial = 64,
                          .flags = TESSERA_PARAM_READ_ONLY,
                          .help = "Cannot be changed."};
constexpr IntParam kFailAt{.id = 7,
                           .key = "fail_at",
                           .name = "Fail at",
                           .min = 0,
                           .max = 1000,
                           .initial = 0,
                           .flags = TESSERA_PARAM_ADVANCED,
                           .help = "The step that fails; 0: none."};
constexpr IntParam kSecret{.id = 8,
                           .key = "secret",
                           .name = "Secret",
                           .initial = 3,
                           .flags = TESSERA_PARAM_HIDDEN,
                           .help = "Never shown."};

constexpr std::int64_t kSide = 64;
constexpr std::uint8_t kColours[][3] = {{200, 40, 30}, {40, 160, 60}, {40, 70, 190}};

struct ShowcaseJob {
    Sink sink;
    int steps;
    int fail_at;
    std::uint8_t colour[3];
    std::uint32_t preview_every;
    int done = 0;

    Status step() {
        ++done;
        if (done == fail_at)
            throw Failure(tessera::sdk::Status::kFailed, "showcase: this step was told to fail");
        const bool previews = preview_every > 0 && done % static_cast<int>(preview_every) == 0;
        if (previews || done == steps) {
            const Frame frame = sink.acquire_frame(kSide, kSide); // (64, 64, 4) u8
            for (std::int64_t y = 0; y < kSide; ++y) {
                const bool painted = y < kSide * done / steps;
                std::uint8_t *pixel = frame.pixels() + y * frame.row_bytes();
                for (std::int64_t x = 0; x < kSide; ++x, pixel += 4) {
                    for (int c = 0; c < 3; ++c) pixel[c] = painted ? colour[c] : 90;
                    pixel[3] = 255;
                }
            }
            sink.emit(frame, {done, steps});
        }
        sink.progress({done, steps}, done < steps ? "painting" : nullptr);
        return done < steps ? Status::kMore : Status::kDone;
    }
};

struct Showcase {
    using Job = ShowcaseJob;
    static constexpr Info kInfo{.id = "org.tessera.test.showcase",
                                .name = "Showcase",
                                .vendor = "Tessera tests",
                                .version = "1.0.0",
                                .description = "Stripes of one colour."};
    ParamList list;

    Showcase() {
        list.add(kSteps);
        list.add(kColour, {"ember", "moss", "slate"});
        list.add(kWarmth);
        list.add(kRatio);
        list.add(kInverse);
        list.add(kFixed);
        list.add(kFailAt);
        list.add(kSecret);
    }
    [[nodiscard]] const ParamList &params() const { return list; }

    static std::unique_ptr<Job> begin(const Request &request, Sink sink) {
        auto job = std::make_unique<Job>(
            Job{sink, request[kSteps], request[kFailAt], {}, request.preview_every()});
        const bool inverse = request[kInverse];
        for (int c = 0; c < 3; ++c) {
            const std::uint8_t level = kColours[request[kColour]][c];
            job->colour[c] = inverse ? static_cast<std::uint8_t>(255 - level) : level;
        }
        return job;
    }
};

} // namespace

TESSERA_PLUGIN(Showcase)
