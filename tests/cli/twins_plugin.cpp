// A generator whose classes share names: each picture of 8 x 8 is as grey as the class has number.
#include <tessera/sdk/generator.hpp>

#include <memory>
#include <string>
#include <vector>

using namespace tessera::sdk;

constexpr ChoiceParam kClass{.id = 1, .key = "class", .name = "Class"};

struct Twins {
    struct Job {
        Sink sink;
        std::uint8_t level;

        Status step() {
            Frame frame = sink.acquire_frame(8, 8);
            for (int i = 0; i < 8 * 8 * 4; ++i) frame.pixels()[i] = i % 4 == 3 ? 255 : level;
            sink.emit(frame, {1, 1});
            return Status::kDone;
        }
    };
    static constexpr Info kInfo{
        .id = "test.twins", .name = "Twins", .vendor = "Tests", .version = "1.0.0"};
    Twins() {
        list_.add(kClass, {"crane", "owl", "crane", "Owl", "a/b", "a:b", "été", "ÉTÉ", "砖",
                           std::string(300, 'x')});
    }
    [[nodiscard]] const ParamList &params() const { return list_; }
    std::unique_ptr<Job> begin(const Request &request, Sink sink) {
        return std::make_unique<Job>(Job{sink, static_cast<std::uint8_t>(request[kClass])});
    }

  private:
    ParamList list_;
};

TESSERA_PLUGIN(Twins)
