// A generator that takes a picture and no mask: makes its negative, or black from nothing.
#include <tessera/sdk/generator.hpp>

#include <cstdint>
#include <memory>
#include <vector>

using namespace tessera::sdk;

struct Starter {
    static constexpr int kSide = 8;
    struct Job {
        Sink sink;
        std::vector<std::uint8_t> from;

        Status step() {
            Frame frame = sink.acquire_frame(kSide, kSide);
            for (std::size_t i = 0; i < from.size(); ++i) {
                frame.pixels()[i] = i % 4 == 3 ? 255 : static_cast<std::uint8_t>(255 - from[i]);
            }
            sink.emit(frame, {1, 1});
            return Status::kDone;
        }
    };
    static constexpr Info kInfo{
        .id = "test.starter", .name = "Starter", .vendor = "Tests", .version = "1.0.0"};

    Starter() {
        tessera_input_slot slot{};
        slot.struct_size = sizeof slot;
        slot.type = TESSERA_INPUT_TYPE_RGBA8;
        slot.key = TESSERA_INPUT_IMAGE;
        slot.name = "Image";
        slot.help = "What it makes the negative of.";
        slot.width = slot.height = kSide;
        inputs_.push_back(slot);
    }
    [[nodiscard]] const InputList &inputs() const { return inputs_; }

    std::unique_ptr<Job> begin(const Request &request, Sink sink) {
        auto job =
            std::make_unique<Job>(Job{sink, std::vector<std::uint8_t>(kSide * kSide * 4, 255)});
        const View *const image = request.input(TESSERA_INPUT_IMAGE);
        if (image == nullptr) return job;
        const auto *const data = static_cast<const std::uint8_t *>(image->data);
        for (std::int64_t y = 0; y < kSide; ++y) {
            for (std::int64_t x = 0; x < kSide; ++x) {
                for (std::int64_t c = 0; c < 4; ++c) {
                    job->from[static_cast<std::size_t>((y * kSide + x) * 4 + c)] =
                        data[y * image->stride[0] + x * image->stride[1] + c * image->stride[2]];
                }
            }
        }
        return job;
    }

  private:
    InputList inputs_;
};

TESSERA_PLUGIN(Starter)
