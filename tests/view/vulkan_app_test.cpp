// The window with a generator that computes on its own Vulkan device: pictures are born where they
// are drawn, and a device that is lost takes nothing with it but the run.
#include "tests/mar/test_model.hpp"
#include "tests/view/app_fixture.hpp"
#include "tests/view/vulkan/losing_devices.hpp"

#include "compute/registry.hpp"
#include "core/trace.hpp"

#include <cstdlib>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace tessera {
namespace {

constexpr std::int64_t kSide = 32;

class VulkanApp : public AppFixture {
  protected:
    static void SetUpTestSuite() {
        setenv("TESSERA_VULKAN_MODULE", TESSERA_VULKAN, 1);
        test::load_losing_layer();
    }
    void SetUp() override {
        if (const auto found = Compute::find("vulkan"); !found)
            GTEST_SKIP() << found.error().message;
        ASSERT_TRUE(test::lose_devices(""));
        golden::SyntheticMar shape;
        shape.img_size = kSide;
        shape.vae_stride = 8;
        golden::SyntheticFile file = blocks::mar_file(shape);
        file.metadata["tokenizer"] = "codec.safetensors";
        file.metadata["defaults"] = R"({"steps": 3, "denoise_steps": 2})";
        ASSERT_TRUE(golden::write_synthetic(folder_ / "generator.safetensors", file));
        ASSERT_TRUE(golden::write_synthetic(folder_ / "codec.safetensors",
                                            golden::synthetic_texture_codec(4, 8)));
    }
    void open_on(const std::string &backend) {
        AppOptions options;
        options.plugin = TESSERA_MAR_PLUGIN;
        options.model = folder_ / "generator.safetensors";
        options.backend = backend;
        options.precision = TESSERA_PRECISION_EXACT;
        options.validation = true;
        options.play_at_start = false;
        options.offscreen = true;
        options.width = 640;
        options.height = 360;
        options.fps = 0;
        open(options);
    }

    blocks::TemporaryDirectory folder_;
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

TEST_F(VulkanApp, NoPixelPassesThroughTheHost) {
    trace::start(1 << 16);
    open_on("vulkan");
    if (!app_) return;
    ASSERT_TRUE(play_to_end()) << app_->control().problem();
    trace::stop();
    // At each picture 4 bytes tell whether its tokens are numbers and 4 whether its pixels are.
    EXPECT_EQ(brought_to_the_host(), (std::vector<std::uint64_t>{8, 16, 24}));

    // It is the picture, as somebody who asks for it gets it.
    ASSERT_TRUE(frames_until([&] { return app_->has_wanted_map() && app_->shown_picture(); }));
    const auto picture = app_->shown_picture();
    EXPECT_EQ(picture->width, kSide);
    const std::vector<std::uint8_t> pixels = picture->pixels;
    const Image window = capture();
    close();
    open_on("vulkan:validation=1"); // a device of its own, and so by way of the host
    if (!app_) return;
    ASSERT_TRUE(play_to_end()) << app_->control().problem();
    ASSERT_TRUE(frames_until([&] { return app_->has_wanted_map() && app_->shown_picture(); }));
    EXPECT_EQ(app_->shown_picture()->pixels, pixels);
    const Image staged = capture();
    ASSERT_EQ(staged.pixels.size(), window.pixels.size());
    std::size_t different = 0;
    for (std::uint32_t y = 0; y < 200; ++y) { // the view's part: the panel tells times
        for (std::uint32_t x = 400; x < 600; ++x) {
            const std::size_t at = (std::size_t{y} * staged.width + x) * 4;
            for (std::size_t c = 0; c < 4; ++c)
                different += staged.pixels[at + c] != window.pixels[at + c];
        }
    }
    EXPECT_EQ(different, 0U);
}

// The compute is lost with the window's device: that run fails, the next one is made on the new
// one.
TEST_F(VulkanApp, AfterALossTheNextRunComputesOnTheNewDevice) {
    open_on("vulkan");
    if (!app_) return;
    ASSERT_TRUE(play_to_end()) << app_->control().problem();
    const int before = app_->losses();
    ASSERT_TRUE(test::lose_devices("submit:1"));
    ASSERT_TRUE(frames_until([&] { return app_->losses() > before; }));
    trace::start(1 << 16);
    ASSERT_TRUE(play_to_end()) << app_->control().problem();
    trace::stop();
    EXPECT_EQ(brought_to_the_host(), (std::vector<std::uint64_t>{8, 16, 24})) << "a new device's";
}

} // namespace
} // namespace tessera
