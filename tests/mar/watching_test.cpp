// Watching a run on a device: what is only shown stays there. On the execution double of CUDA.
#include "test_model.hpp"

#include "core/trace.hpp"
#include "host/edit/play_control.hpp"
#include "host/run/memory_frames.hpp"
#include "host/run/session.hpp"

#include <tessera/values/clock.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>

#include <nlohmann/json.hpp>

namespace tessera {
namespace {

using blocks::mar_file;
using blocks::TemporaryDirectory;

constexpr std::uint64_t kSeed = 5;

// A view that takes its frames from the memory of the device, as the ring shared with Vulkan does.
class DeviceFrames : public FrameTarget {
  public:
    void use_device(const tessera_compute *compute) override {
        if (compute_ != nullptr) compute_->release(compute_, &frame_);
        compute_ = compute;
        frame_ = {};
    }
    Result<tessera_tensor> acquire(std::uint32_t width, std::uint32_t height) override {
        if (frame_.data == nullptr) {
            frame_.dtype = TESSERA_DTYPE_U8;
            frame_.rank = 3;
            frame_.shape[0] = height;
            frame_.shape[1] = width;
            frame_.shape[2] = 4;
            if (compute_->allocate(compute_, &frame_) != TESSERA_OK) {
                return make_error(Status::kOutOfMemory, "no frame");
            }
        }
        return frame_;
    }
    Result<void> publish(const tessera_tensor &, const FrameInfo &) override {
        ++shown;
        return {};
    }
    void abandon(const tessera_tensor &) override {}

    std::atomic<int> shown{0};

  private:
    const tessera_compute *compute_ = nullptr;
    tessera_tensor frame_{};
};

class Watching : public testing::Test {
  protected:
    void SetUp() override {
        setenv("TESSERA_CUDA_MODULE", TESSERA_CUDA_DOUBLE, 1);
        golden::SyntheticMar shape;
        shape.img_size = 32;
        shape.vae_stride = 8;
        golden::SyntheticFile file = mar_file(shape);
        file.metadata["tokenizer"] = "codec.safetensors";
        file.metadata["defaults"] = R"({"steps": 3, "denoise_steps": 4})";
        ASSERT_TRUE(golden::write_synthetic(folder_ / "generator.safetensors", file));
        ASSERT_TRUE(golden::write_synthetic(folder_ / "codec.safetensors",
                                            golden::synthetic_texture_codec(4, 8)));
    }
    template <class Config>
    Config config() {
        Config config;
        config.plugin = TESSERA_MAR_PLUGIN;
        config.model = folder_ / "generator.safetensors";
        config.backend = "cuda";
        config.threads = 1;
        return config;
    }
    // The picture as it is when every byte of it is brought to the host at once.
    std::vector<std::uint8_t> expected_picture() {
        std::vector<std::uint8_t> pixels;
        MemoryFrames frames([&](const tessera_tensor &frame, const FrameInfo &) {
            const auto *const bytes = static_cast<const std::uint8_t *>(frame.data);
            pixels.assign(bytes, bytes + frame.shape[0] * frame.shape[1] * 4);
            return Result<void>();
        });
        auto own = config<SessionConfig>();
        own.frames = &frames;
        auto session = Session::create(std::move(own));
        if (!session) ADD_FAILURE() << session.error().message;
        if (!session) return {};
        const auto report = (*session)->run((*session)->job({.seed = kSeed}), {});
        EXPECT_TRUE(report) << report.error().message;
        return pixels;
    }
    static bool wait_for(PlayControl &control, const std::function<bool()> &condition) {
        for (int i = 0; i < 120'000; ++i) {
            control.update();
            if (condition()) return true;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        return false;
    }

    TemporaryDirectory folder_;
};

// Values of the counter, at every picture.
std::vector<std::uint64_t> counted(const std::string &trace) {
    std::vector<std::uint64_t> values;
    const nlohmann::json json = nlohmann::json::parse(trace);
    for (const auto &event : json["traceEvents"]) {
        if (event["ph"] == "C" && event["name"] == "bytes from device to host") {
            values.push_back(event["args"]["value"].get<std::uint64_t>());
        }
    }
    return values;
}

TEST_F(Watching, APictureThatIsOnlyShownNeverCrossesTheBus) {
    const std::vector<std::uint8_t> expected = expected_picture();
    DeviceFrames frames;
    RecordingTarget recorded(frames, std::size_t{8} << 20);
    auto own = config<PlayerConfig>();
    own.frames = &recorded;
    own.store = &recorded.store();
    own.restart_on_change = false;
    auto player = Player::create(std::move(own));
    ASSERT_TRUE(player) << player.error().message;
    trace::start(1 << 14);
    PlayControl control(std::move(*player), recorded, values::monotonic_us, {.seed = kSeed});
    control.play();
    ASSERT_TRUE(wait_for(control, [&] { return control.settled(); }));
    trace::stop();
    EXPECT_EQ(control.problem(), "");
    const RunRecord *const run = control.history().find(control.job());
    ASSERT_NE(run, nullptr);
    ASSERT_EQ(run->steps.size(), 3U);
    EXPECT_EQ(frames.shown, 3);
    for (const RunStep &step : run->steps) {
        EXPECT_TRUE(step.has_picture());
        EXPECT_TRUE(step.has_latents());
        EXPECT_EQ(step.picture, nullptr);
        EXPECT_EQ(step.latents, nullptr);
    }
    const std::vector<std::uint64_t> bytes = counted(trace::to_json());
    // Nothing but which row is no number, of the tokens and of the picture.
    EXPECT_EQ(bytes, (std::vector<std::uint64_t>{8, 16, 24}));

    // What somebody looks at is read then, and is what was shown.
    const RunStep *const last = run->last_picture();
    EXPECT_FALSE(control.fetch(run->job, last->step));
    ASSERT_TRUE(wait_for(control, [&] { return control.fetch(run->job, last->step); }));
    EXPECT_EQ(last->picture->pixels, expected);
    EXPECT_FALSE(last->latents->values.empty());
    EXPECT_EQ(run->steps.front().picture, nullptr); // and nothing else

    trace::start(1 << 14); // the counter is no constant: the next run begins with what was read
    control.restart();
    ASSERT_TRUE(wait_for(control, [&] { return control.settled(); }));
    trace::stop();
    const std::uint64_t read = 24 + expected.size() + last->latents->values.size() * sizeof(float);
    EXPECT_EQ(counted(trace::to_json()),
              (std::vector<std::uint64_t>{read + 8, read + 16, read + 24}));
}

TEST_F(Watching, WithoutRoomOnTheDevicePicturesAreReadAtOnce) {
    const std::vector<std::uint8_t> expected = expected_picture();
    DeviceFrames frames;
    RecordingTarget recorded(frames, 512); // not even one
    auto own = config<PlayerConfig>();
    own.frames = &recorded;
    own.store = &recorded.store();
    auto player = Player::create(std::move(own));
    ASSERT_TRUE(player) << player.error().message;
    PlayControl control(std::move(*player), recorded, values::monotonic_us, {.seed = kSeed});
    control.play();
    ASSERT_TRUE(wait_for(control, [&] { return control.settled(); }));
    const RunStep *const last = control.history().find(control.job())->last_picture();
    ASSERT_NE(last, nullptr);
    ASSERT_NE(last->picture, nullptr);
    EXPECT_EQ(last->picture->pixels, expected);
}

TEST_F(Watching, WhatIsHeldIsReadBeforeTheDeviceGoes) {
    const std::vector<std::uint8_t> expected = expected_picture();
    DeviceFrames frames;
    RecordingTarget recorded(frames, std::size_t{8} << 20);
    std::vector<RecordedPicture> pictures;
    {
        auto own = config<SessionConfig>();
        own.frames = &recorded;
        own.store = &recorded.store();
        auto session = Session::create(std::move(own));
        ASSERT_TRUE(session) << session.error().message;
        ASSERT_TRUE((*session)->run((*session)->job({.seed = kSeed}), {}));
        pictures = recorded.take();
        ASSERT_EQ(pictures.size(), 1U);
        ASSERT_NE(pictures[0].kept, nullptr);
        EXPECT_EQ(pictures[0].kept->bytes(), nullptr);
    }
    const KeptTensor::Bytes bytes = pictures[0].kept->bytes();
    ASSERT_NE(bytes, nullptr);
    ASSERT_EQ(bytes->size(), expected.size());
    EXPECT_EQ(std::memcmp(bytes->data(), expected.data(), expected.size()), 0);
}

} // namespace
} // namespace tessera
