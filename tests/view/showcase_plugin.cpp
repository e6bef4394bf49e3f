// A generator for tests of the window: every kind of parameter, as many steps as one likes, failure
// on demand. Pictures are one colour in stripes, so that tests can tell what they see. Its tokens
// are squares whose latents are their colours; masked ones are painted again, the others kept.
#include <tessera/ext/features.h>
#include <tessera/sdk/generator.hpp>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

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

constexpr IntParam kWatch{.id = 9,
                          .key = TESSERA_KEY_WATCH_TOKEN,
                          .name = "Watched",
                          .min = -1,
                          .max = 63,
                          .initial = -1,
                          .flags = TESSERA_PARAM_ADVANCED,
                          .help = "The cell whose chain is sent."};

constexpr std::int64_t kSide = 64;
constexpr std::int64_t kCells = 8; // along a side
constexpr std::int64_t kCellSide = kSide / kCells;
constexpr std::uint8_t kColours[][3] = {{200, 40, 30}, {40, 160, 60}, {40, 70, 190}};

struct ShowcaseJob {
    Sink sink;
    int steps = 0;
    int fail_at = 0;
    int watched = -1;
    std::uint8_t colour[3] = {};
    std::uint32_t preview_every = 0;
    int done = 0;
    int painted_before = 0; // rows of pixels
    std::vector<std::uint8_t> cells = std::vector<std::uint8_t>(kCells * kCells);
    std::vector<float> latents = std::vector<float>(kCells * kCells * 3); // (8, 8, 3) colours

    [[nodiscard]] int painted_rows() const {
        return static_cast<int>(kSide * std::int64_t{done} / steps);
    }

    void paint_cells() {
        for (std::int64_t i = 0; i < kCells * kCells; ++i) {
            if (cells[i] == TESSERA_CELL_CHANGED) cells[i] = TESSERA_CELL_KNOWN;
            const bool whole = (i / kCells + 1) * kCellSide <= painted_rows();
            if (cells[i] != TESSERA_CELL_UNKNOWN || !whole) continue;
            cells[i] = TESSERA_CELL_CHANGED;
            for (int c = 0; c < 3; ++c) latents[3 * i + c] = colour[c];
        }
    }

    // From 1, 2, 3 in a straight line to the cell's colour, all within -3 to 3.
    void emit_chain() const {
        constexpr int kReverseSteps = 4;
        float chain[kReverseSteps + 1][3];
        for (int row = 0; row <= kReverseSteps; ++row) {
            const float share = static_cast<float>(row) / kReverseSteps;
            for (int c = 0; c < 3; ++c) {
                const float end = latents[3 * watched + c] / 64 - 2;
                chain[row][c] = static_cast<float>(c + 1) * (1 - share) + end * share;
            }
        }
        sink.features(TESSERA_FEATURE_CHAIN, host_view(&chain[0][0], {kReverseSteps + 1, 3}),
                      {done, steps});
    }

    void emit_picture() const {
        const Frame frame = sink.acquire_frame(kSide, kSide); // (64, 64, 4) u8
        for (std::int64_t y = 0; y < kSide; ++y) {
            const bool painted = y < painted_rows();
            std::uint8_t *pixel = frame.pixels() + y * frame.row_bytes();
            for (std::int64_t x = 0; x < kSide; ++x, pixel += 4) {
                for (int c = 0; c < 3; ++c) pixel[c] = painted ? colour[c] : 90;
                pixel[3] = 255;
                const std::int64_t cell = y / kCellSide * kCells + x / kCellSide;
                if (cells[cell] != TESSERA_CELL_GIVEN) continue;
                for (int c = 0; c < 3; ++c) {
                    pixel[c] = static_cast<std::uint8_t>(latents[3 * cell + c]);
                }
            }
        }
        sink.emit(frame, {done, steps});
    }

    Status step() {
        ++done;
        if (done == fail_at)
            throw Failure(tessera::sdk::Status::kFailed, "showcase: this step was told to fail");
        // Of a million steps only few change a token.
        const bool changed = done == 1 || done == steps || painted_rows() != painted_before;
        painted_before = painted_rows();
        if (changed) {
            paint_cells();
            sink.cells(host_view(cells.data(), {kCells, kCells}), {done, steps});
            if (watched >= 0 && cells[watched] == TESSERA_CELL_CHANGED) emit_chain();
        }
        const bool previews = preview_every > 0 && done % static_cast<int>(preview_every) == 0;
        if (previews || done == steps) emit_picture();
        if (changed) {
            sink.features(TESSERA_FEATURE_LATENTS, host_view(latents.data(), {kCells, kCells, 3}),
                          {done, steps});
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
    InputList slots;
    FeatureList taps;

    Showcase() {
        constexpr std::uint32_t kSize = sizeof(tessera_input_slot);
        slots.push_back({kSize, TESSERA_INPUT_TYPE_RGBA8, TESSERA_INPUT_IMAGE, "Image", "Kept.",
                         kSide, kSide, kCells, kCells, 0, 0});
        slots.push_back({kSize, TESSERA_INPUT_TYPE_MASK8, TESSERA_INPUT_MASK, "Mask", "Painted.",
                         kSide, kSide, kCells, kCells, 0, 0});
        slots.push_back({kSize, TESSERA_INPUT_TYPE_F32, TESSERA_INPUT_LATENTS, "Latents", "Kept.",
                         kCells, kCells, kCells, kCells, 0, 0});
        taps.push_back(
            {sizeof(tessera_feature), 3, TESSERA_FEATURE_LATENTS, "", {kCells, kCells, 3, 0}});
        taps.push_back({sizeof(tessera_feature), 2, TESSERA_FEATURE_CHAIN, "", {0, 3, 0, 0}});
        list.add(kSteps);
        list.add(kColour, {"ember", "moss", "slate"});
        list.add(kWarmth);
        list.add(kRatio);
        list.add(kInverse);
        list.add(kFailAt);
        list.add(kSecret);
        list.add(kWatch);
    }
    [[nodiscard]] const ParamList &params() const { return list; }
    [[nodiscard]] const InputList &inputs() const { return slots; }
    [[nodiscard]] const FeatureList &features() const { return taps; }

    static std::unique_ptr<Job> begin(const Request &request, Sink sink) {
        auto job = std::make_unique<Job>(Job{.sink = sink});
        job->steps = request[kSteps];
        job->fail_at = request[kFailAt];
        job->watched = request[kWatch];
        job->preview_every = request.preview_every();
        const bool inverse = request[kInverse];
        for (int c = 0; c < 3; ++c) {
            const std::uint8_t level = kColours[request[kColour]][c];
            job->colour[c] = inverse ? static_cast<std::uint8_t>(255 - level) : level;
        }
        keep(*job, request.input(TESSERA_INPUT_MASK), request.input(TESSERA_INPUT_IMAGE),
             request.input(TESSERA_INPUT_LATENTS));
        return job;
    }

    // What the mask (in cells) does not name is taken from the latents, else from the image.
    static void keep(Job &job, const View *mask, const View *image, const View *latents) {
        if (mask == nullptr || mask->shape[0] != kCells) return;
        const auto *masked = static_cast<const std::uint8_t *>(mask->data);
        for (std::int64_t i = 0; i < kCells * kCells; ++i) {
            if (masked[i] != 0) continue;
            job.cells[i] = TESSERA_CELL_GIVEN;
            if (latents != nullptr) {
                std::memcpy(&job.latents[3 * i], static_cast<float *>(latents->data) + 3 * i,
                            3 * sizeof(float));
            } else if (image != nullptr) {
                const std::int64_t y = i / kCells * kCellSide + kCellSide / 2;
                const std::int64_t x = i % kCells * kCellSide + kCellSide / 2;
                for (int c = 0; c < 3; ++c) {
                    job.latents[3 * i + c] =
                        static_cast<std::uint8_t *>(image->data)[(y * kSide + x) * 4 + c];
                }
            }
        }
    }
};

} // namespace

TESSERA_PLUGIN(Showcase)
