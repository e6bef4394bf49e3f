// A whole generator on the C++ SDK: a colour gradient that appears step by step.
#include <tessera/sdk/generator.hpp>

using namespace tessera::sdk;

namespace {

constexpr IntParam kSteps{.id = 1,
                          .key = "steps",
                          .name = "Steps",
                          .min = 1,
                          .max = 64,
                          .initial = 4,
                          .help = "How many previews to emit before the final image."};
constexpr IntParam kSize{.id = 2,
                         .key = "size",
                         .name = "Size",
                         .unit = "px",
                         .min = 16,
                         .max = 4096,
                         .initial = 256,
                         .step = 16,
                         .help = "Width and height of the image."};

// Rows up to done/total of the height are painted, the rest stays dark. The seed picks the hue.
void paint(const Frame &frame, int done, int total, std::uint64_t seed) {
    const std::int64_t painted = frame.height() * done / total;
    for (std::int64_t y = 0; y < frame.height(); ++y) {
        std::uint8_t *pixel = frame.pixels() + y * frame.row_bytes();
        for (std::int64_t x = 0; x < frame.width(); ++x, pixel += 4) {
            const bool lit = y < painted;
            pixel[0] = lit ? static_cast<std::uint8_t>(255 * x / frame.width()) : 16;
            pixel[1] = lit ? static_cast<std::uint8_t>(255 * y / frame.height()) : 16;
            pixel[2] = lit ? static_cast<std::uint8_t>(seed * 37 % 256) : 16;
            pixel[3] = 255;
        }
    }
}

struct GradientJob {
    Sink sink;
    int steps;
    std::uint32_t size;
    std::uint64_t seed;
    std::uint32_t preview_every;
    int images;
    int done = 0;

    Status step() {
        ++done;
        const bool previews = preview_every > 0 && done % static_cast<int>(preview_every) == 0;
        for (int image = 0; (previews || done == steps) && image < images; ++image) {
            const Frame frame = sink.acquire_frame(size, size); // (size, size, 4) u8
            paint(frame, done, steps, seed);
            sink.emit(frame, {done, steps, image});
        }
        sink.progress({done, steps});
        return done < steps ? Status::kMore : Status::kDone;
    }
};

struct Gradient {
    using Job = GradientJob;
    static constexpr Info kInfo{.id = "org.tessera.gradient",
                                .name = "Gradient",
                                .vendor = "Tessera",
                                .version = "1.0.0",
                                .description = "A colour gradient, row by row."};
    static constexpr IntParam kParams[] = {kSteps, kSize};

    static std::unique_ptr<Job> begin(const Request &request, Sink sink) {
        return std::make_unique<Job>(
            Job{sink, request[kSteps], static_cast<std::uint32_t>(request[kSize]), request.seed(),
                request.preview_every(), static_cast<int>(request.image_count())});
    }
};

} // namespace

TESSERA_PLUGIN(Gradient)
