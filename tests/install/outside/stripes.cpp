// A generator as somebody else would write it: stripes that appear one by one.
#include <tessera/sdk/generator.hpp>

using namespace tessera::sdk;

namespace {

constexpr IntParam kStripes{.id = 1,
                            .key = "stripes",
                            .name = "Stripes",
                            .min = 1,
                            .max = 32,
                            .initial = 8,
                            .help = "How many stripes to draw."};

struct Stripes {
    struct Job {
        Sink sink;
        int stripes;
        int done = 0;

        Status step() {
            if (++done < stripes) return Status::kMore;
            const Frame frame = sink.acquire_frame(64, 64); // (64, 64, 4) u8
            for (std::int64_t i = 0; i < 64 * 64; ++i) {
                const bool light = (i % 64) * stripes / 64 % 2 == 0;
                for (int c = 0; c < 3; ++c) frame.pixels()[i * 4 + c] = light ? 240 : 20;
                frame.pixels()[i * 4 + 3] = 255;
            }
            sink.emit(frame, {done, stripes});
            return Status::kDone;
        }
    };
    static constexpr Info kInfo{
        .id = "com.example.stripes", .name = "Stripes", .vendor = "Example", .version = "1.0.0"};
    static constexpr IntParam kParams[] = {kStripes};
    static std::unique_ptr<Job> begin(const Request &request, Sink sink) {
        return std::make_unique<Job>(Job{sink, request[kStripes]});
    }
};

} // namespace

TESSERA_PLUGIN(Stripes)
