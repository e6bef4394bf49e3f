// The real window on whatever display there is: window_test.sh starts this under Xvfb.
// Exit code 77 when there is no display or no Vulkan device.
#include "sandbox/app.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <functional>

namespace tessera {
namespace {

AppOptions options() {
    AppOptions options;
    options.plugin = TESSERA_SHOWCASE_PLUGIN;
    options.values = {{"steps", "1000000"}};
    options.validation = true;
    options.play_at_start = false;
    return options;
}

class WindowTest : public testing::Test {
  protected:
    void SetUp() override {
        auto app = App::create(options());
        ASSERT_TRUE(app.ok()) << app.error().message;
        app_ = std::move(*app);
    }
    void TearDown() override {
        if (!app_) return;
        for (const std::string &message : app_->validation_messages()) ADD_FAILURE() << message;
        app_.reset();
    }
    bool frames_until(const std::function<bool()> &done) {
        for (int i = 0; i < 5'000; ++i) {
            if (done()) return true;
            const auto drawn = app_->frame();
            if (!drawn) {
                ADD_FAILURE() << drawn.error().message;
                return false;
            }
        }
        return false;
    }
    void show_frames(int count) {
        const std::uint64_t last = app_->frames() + static_cast<std::uint64_t>(count);
        EXPECT_TRUE(frames_until([&] { return app_->frames() >= last; }));
    }
    Image capture() {
        auto image = app_->capture();
        EXPECT_TRUE(image.ok()) << image.error().message;
        return image.ok() ? std::move(*image) : Image{};
    }

    std::unique_ptr<App> app_;
};

// How many pixels right of the panel differ.
std::size_t differing_pixels(const Image &a, const Image &b) {
    std::size_t count = 0;
    for (std::uint32_t y = 0; y < a.height; ++y) {
        for (std::uint32_t x = 360; x < a.width; ++x) {
            const std::size_t i = (std::size_t{y} * a.width + x) * 4;
            count += !std::equal(&a.pixels[i], &a.pixels[i] + 3, &b.pixels[i]);
        }
    }
    return count;
}

TEST_F(WindowTest, ShowsAPictureThatChangesWithTheSteps) {
    show_frames(3);
    const Image empty = capture();
    app_->control().play();
    ASSERT_TRUE(frames_until([&] { return app_->view().has_picture(); }));
    const Image early = capture();
    ASSERT_EQ(early.width, empty.width);
    EXPECT_GT(differing_pixels(empty, early), 100'000U) << "there is a picture now";
    const std::uint32_t step = app_->view().info()->step;
    ASSERT_TRUE(frames_until([&] { return app_->view().info()->step > step + 60'000; }));
    EXPECT_GT(differing_pixels(early, capture()), 1'000U) << "it refines";
    app_->control().cancel();
    ASSERT_TRUE(frames_until([&] { return !app_->control().busy(); }));
}

TEST_F(WindowTest, SurvivesBeingResizedWhileItGenerates) {
    app_->control().play();
    ASSERT_TRUE(frames_until([&] { return app_->view().has_picture(); }));
    for (const auto &[width, height] : {std::pair{800, 600}, {301, 203}, {1280, 720}, {64, 64}}) {
        app_->window()->resize(width, height);
        ASSERT_TRUE(frames_until([&, w = width, h = height] {
            const VkExtent2D pixels = app_->window()->pixels();
            return pixels.width == static_cast<std::uint32_t>(w) &&
                   pixels.height == static_cast<std::uint32_t>(h);
        }));
        show_frames(3);
        const Image image = capture();
        EXPECT_EQ(image.width, static_cast<std::uint32_t>(width));
        EXPECT_EQ(image.height, static_cast<std::uint32_t>(height));
    }
}

TEST_F(WindowTest, OpensAndClosesManyTimes) {
    for (int i = 0; i < 3; ++i) {
        show_frames(2);
        for (const std::string &message : app_->validation_messages()) ADD_FAILURE() << message;
        app_.reset();
        auto app = App::create(options());
        ASSERT_TRUE(app.ok()) << app.error().message;
        app_ = std::move(*app);
    }
}

// Neither a display nor Vulkan is a fault of ours: such a machine skips.
bool machine_can_show_windows() {
    auto app = App::create(options());
    if (app) return true;
    std::fprintf(stderr, "skipped: %s\n", app.error().message.c_str());
    return app.error().status != Status::kUnsupported && app.error().status != Status::kNotFound;
}

} // namespace
} // namespace tessera

int main(int argc, char **argv) {
    testing::InitGoogleTest(&argc, argv);
    constexpr int kSkipped = 77;
    if (!tessera::machine_can_show_windows()) return kSkipped;
    return RUN_ALL_TESTS();
}
