// A generator on the view's own Vulkan device, from the request to the slot that the view reads:
// what comes to the host, and how often the compute submits.
#include "core/trace.hpp"
#include "host/edit/play_control.hpp"
#include "host/run/memory_frames.hpp"
#include "interop/ring/live_ring.hpp"
#include "tests/golden/synthetic.hpp"
#include "tests/unit/temporary_folder.hpp"
#include "tests/view/ring/frame_reader.hpp"
#include "tests/view/vulkan/vulkan_fixture.hpp"

#include <tessera/ext/vulkan.h>
#include <tessera/values/clock.hpp>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace tessera {
namespace {

constexpr std::uint32_t kLong = 1'000'000; // ms: a step of the budget is one of the generator

// Passes frames on, and counts what the compute that makes them submits.
class CountingTarget final : public FrameTarget {
  public:
    explicit CountingTarget(FrameTarget &next) : next_(next) {}

    [[nodiscard]] std::shared_ptr<const tessera_vulkan_device> vulkan_device() override {
        return next_.vulkan_device();
    }
    void use_device(const tessera_compute *compute) override {
        next_.use_device(compute);
        if (compute == nullptr) return;
        vulkan_ = static_cast<const tessera_ext_vulkan *>(
            compute->get_extension(compute, TESSERA_EXT_VULKAN));
    }
    Result<tessera_tensor> acquire(std::uint32_t width, std::uint32_t height) override {
        return next_.acquire(width, height);
    }
    Result<void> publish(const tessera_tensor &frame, const FrameInfo &info) override {
        auto published = next_.publish(frame, info);
        at_pictures_.push_back(submissions());
        return published;
    }
    void abandon(const tessera_tensor &frame) override { next_.abandon(frame); }

    [[nodiscard]] std::uint64_t submissions() const { return *vulkan_->submission_count; }
    // From each picture to the next one, and from the last one until now.
    [[nodiscard]] std::vector<std::uint64_t> of_steps() const {
        std::vector<std::uint64_t> counts = at_pictures_;
        counts.push_back(submissions());
        std::adjacent_difference(counts.begin(), counts.end(), counts.begin());
        counts.erase(counts.begin());
        return counts;
    }

  private:
    FrameTarget &next_;
    const tessera_ext_vulkan *vulkan_ = nullptr;
    std::vector<std::uint64_t> at_pictures_; // submissions when each was published
};

class VulkanLive : public VulkanTest {
  protected:
    void SetUp() override {
        setenv("TESSERA_VULKAN_MODULE", TESSERA_VULKAN, 1);
        VulkanTest::SetUp();
        if (!device_) return;
        if (device_->for_compute() == nullptr) GTEST_SKIP() << "the device does not compute";
        golden::SyntheticMar shape;
        shape.img_size = 32;
        shape.vae_stride = 8;
        golden::SyntheticFile file;
        file.tensors = shape.tensors();
        file.metadata["config"] = shape.config_json();
        file.metadata["kind"] = "mar_weights";
        file.metadata["tokenizer"] = "codec.safetensors";
        file.metadata["defaults"] = R"({"steps": 3, "denoise_steps": 2})";
        ASSERT_TRUE(golden::write_synthetic(model_, file));
        ASSERT_TRUE(golden::write_synthetic(folder_.path() / "codec.safetensors",
                                            golden::synthetic_texture_codec(4, 8)));
    }
    PlayerConfig config(FrameTarget &frames) const {
        PlayerConfig config;
        config.plugin = TESSERA_MAR_PLUGIN;
        config.model = model_;
        config.backend = "vulkan";
        config.threads = 1;
        config.frames = &frames;
        config.restart_on_change = false;
        return config;
    }

    const test::TemporaryFolder folder_;
    const std::string model_ = (folder_.path() / "generator.safetensors").string();
};

std::vector<std::uint64_t> brought_to_the_host() {
    std::vector<std::uint64_t> values;
    const nlohmann::json json = nlohmann::json::parse(trace::to_json());
    for (const auto &event : json["traceEvents"]) {
        if (event["ph"] == "C" && event["name"] == "bytes from device to host")
            values.push_back(event["args"]["value"].get<std::uint64_t>());
    }
    return values;
}

TEST_F(VulkanLive, NoPixelOfAShownPicturePassesThroughTheHost) {
    auto live = LiveRing::create(*device_);
    ASSERT_TRUE(live.ok()) << live.error().message;
    std::vector<std::uint8_t> shown; // by the view
    const auto on_frame = [&](const RingFrame &frame, std::span<const std::uint32_t> words) {
        EXPECT_TRUE(frame.is_shared());
        EXPECT_FALSE(frame.is_foreign);
        shown.resize(words.size_bytes());
        std::memcpy(shown.data(), words.data(), words.size_bytes());
    };
    {
        RecordingTarget recorded(**live, std::size_t{8} << 20);
        CountingTarget counting(recorded);
        PlayerConfig shown_here = config(counting);
        shown_here.store = &recorded.store();
        auto player = Player::create(std::move(shown_here));
        ASSERT_TRUE(player.ok()) << player.error().message;
        trace::start(1 << 14);
        PlayControl control(std::move(*player), recorded, values::monotonic_us,
                            {.seed = 5, .step_budget_ms = kLong});
        control.play();
        std::optional<FrameReader> view;
        const auto wait_for = [&](const std::function<bool()> &condition) {
            for (int i = 0; i < 60'000; ++i) {
                control.update();
                if (!view && (*live)->is_shared())
                    view.emplace(*device_, (*live)->current(), on_frame);
                if (view) (void)view->poll();
                if (condition()) return true;
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
            return false;
        };
        ASSERT_TRUE(wait_for([&] { return control.settled(); }));
        trace::stop();
        EXPECT_EQ(control.problem(), "");
        const RunRecord *const run = control.history().find(control.job());
        ASSERT_NE(run, nullptr);
        // At each picture 4 bytes tell whether its tokens are numbers and 4 whether its pixels are.
        EXPECT_EQ(brought_to_the_host(), (std::vector<std::uint64_t>{8, 16, 24}));
        // Transformer, denoise chain, decoder and what is kept of a step go to the queue with its
        // picture; that the run waits for its end submits nothing more.
        EXPECT_EQ(counting.of_steps(), (std::vector<std::uint64_t>{1, 1, 0}));

        // It is the picture, as whoever asks for it gets it.
        const RunStep *const last = run->last_picture();
        ASSERT_NE(last, nullptr);
        EXPECT_EQ(last->picture, nullptr) << "nobody has";
        (void)control.fetch(run->job, last->step);
        ASSERT_TRUE(wait_for([&] { return control.fetch(run->job, last->step); }));
        ASSERT_TRUE(wait_for([&] { return shown == last->picture->pixels; }));
        view.reset();
    }
}

// Pictures for the host are downloaded with the step that made them; steps without one wait for
// nothing.
TEST_F(VulkanLive, AStepIsOneSubmissionAtMostWithoutAView) {
    MemoryFrames pictures;
    CountingTarget counting(pictures);
    auto session = Session::create(config(counting));
    ASSERT_TRUE(session.ok()) << session.error().message;
    for (const std::uint32_t preview_every : {1U, 0U}) {
        std::vector<std::uint64_t> at_steps; // whose pictures follow
        SessionCallbacks callbacks;
        callbacks.device_features = false;
        callbacks.on_event = [&](const PlayerEvent &event) {
            if (event.type == PlayerEvent::Type::kProgress && event.job != 0)
                at_steps.push_back(counting.submissions());
        };
        const PlayRequest request{
            .seed = 5, .preview_every = preview_every, .step_budget_us = 1000 * kLong};
        const auto done = (*session)->run((*session)->job(request), callbacks);
        ASSERT_TRUE(done.ok()) << done.error().message;
        ASSERT_EQ(at_steps.size(), 3U);
        EXPECT_EQ(at_steps[1] - at_steps[0], preview_every);
        EXPECT_EQ(at_steps[2] - at_steps[1], preview_every);
        EXPECT_EQ(counting.submissions() - at_steps[2], 1U);
    }
    (*session)->deactivate();
}

} // namespace
} // namespace tessera
