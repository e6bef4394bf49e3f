// The real window on whatever display there is: under_xvfb.sh starts this under Xvfb.
// Exit code 77 when there is no display or no Vulkan device.
#include "tests/view/app_fixture.hpp"
#include "tests/view/vulkan/losing_devices.hpp"

#include <cstdio>
#include <cstring>
#include <string>

namespace tessera {
namespace {

class WindowTest : public AppFixture {
  public:
    static AppOptions options() {
        AppOptions options = showcase_options();
        options.values = {{"steps", "1000000"}};
        return options;
    }

  protected:
    void SetUp() override { open(options()); }
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
        close();
        open(options());
        ASSERT_TRUE(app_);
    }
}

class LostWindow : public WindowTest, public testing::WithParamInterface<const char *> {};

TEST_P(LostWindow, StaysAndShowsTheRunOnANewDevice) {
    app_->control().play();
    ASSERT_TRUE(frames_until([&] { return app_->view().has_picture(); }));
    const std::uint64_t job = app_->control().job();
    ASSERT_TRUE(test::lose_devices(GetParam()));
    ASSERT_TRUE(frames_until([&] { return app_->losses() > 0; }));
    const std::uint32_t made = app_->control().state().step;
    ASSERT_TRUE(frames_until([&] {
        const auto &info = app_->view().info();
        return info && info->job == job && info->step > made;
    }));
    EXPECT_EQ(app_->losses(), 1);
    app_->window()->resize(700, 500);
    ASSERT_TRUE(frames_until([&] { return app_->window()->pixels().width == 700; }));
    show_frames(3);
    EXPECT_EQ(capture().width, 700U);
}
INSTANTIATE_TEST_SUITE_P(Kind, LostWindow, testing::Values("submit:2", "acquire:2", "present:2"),
                         [](const auto &kind) {
                             return std::string(kind.param, std::strcspn(kind.param, ":"));
                         });

// Neither a display nor Vulkan is a fault of ours: such a machine skips.
bool machine_can_show_windows() {
    auto app = App::create(WindowTest::options());
    if (app) return true;
    std::fprintf(stderr, "skipped: %s\n", app.error().message.c_str());
    return app.error().status != Status::kUnsupported && app.error().status != Status::kNotFound;
}

} // namespace
} // namespace tessera

int main(int argc, char **argv) {
    testing::InitGoogleTest(&argc, argv);
    constexpr int kSkipped = 77;
    tessera::test::load_losing_layer();
    if (!tessera::machine_can_show_windows()) return kSkipped;
    return RUN_ALL_TESTS();
}
