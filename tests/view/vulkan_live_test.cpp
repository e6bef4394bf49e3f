// A generator on the view's own Vulkan device, from the request to the slot that the view reads.
#include "core/trace.hpp"
#include "host/edit/play_control.hpp"
#include "interop/ring/live_ring.hpp"
#include "tests/golden/synthetic.hpp"
#include "tests/unit/temporary_folder.hpp"
#include "tests/view/ring/frame_reader.hpp"
#include "tests/view/vulkan/vulkan_fixture.hpp"

#include <tessera/values/clock.hpp>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

namespace tessera {
namespace {

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
    PlayerConfig config(RecordingTarget &recorded) const {
        PlayerConfig config;
        config.plugin = TESSERA_MAR_PLUGIN;
        config.model = model_;
        config.backend = "vulkan";
        config.threads = 1;
        config.frames = &recorded;
        config.store = &recorded.store();
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
        auto player = Player::create(config(recorded));
        ASSERT_TRUE(player.ok()) << player.error().message;
        trace::start(1 << 14);
        PlayControl control(std::move(*player), recorded, values::monotonic_us, {.seed = 5});
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

} // namespace
} // namespace tessera
