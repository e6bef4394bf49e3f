// The whole sandbox without a window: what the buttons and sliders do, seen in the picture.
// Validation and synchronization validation are on; any message fails.
#include "tests/unit/temporary_folder.hpp"
#include "tests/view/app_fixture.hpp"

#include <gmock/gmock.h>

#include <array>
#include <filesystem>
#include <functional>

#include <imgui.h>

namespace tessera {
namespace {

using Pixel = std::array<int, 3>;
constexpr Pixel kEmber{200, 40, 30};
constexpr Pixel kMoss{40, 160, 60};
constexpr Pixel kUnpainted{90, 90, 90};

Pixel at(const Image &image, std::uint32_t x, std::uint32_t y) {
    const std::uint8_t *p = image.pixels.data() + (std::size_t{y} * image.width + x) * 4;
    return {p[0], p[1], p[2]};
}

class AppTest : public AppFixture {
  protected:
    static AppOptions options() {
        AppOptions options = showcase_options();
        options.offscreen = true;
        options.fps = 0;
        return options;
    }
    void open(const AppOptions &with) {
        AppFixture::open(with);
        if (!app_) return;
        app_->look().smooth = false;
        app_->look().shadow_radius = 0;
    }
    // Of the middle of the picture's upper and lower half.
    std::pair<Pixel, Pixel> halves() {
        const Image image = capture();
        if (image.pixels.empty()) return {};
        const Point corner = app_->transform().origin();
        const float side = 64 * app_->transform().scale();
        const auto x = static_cast<std::uint32_t>(corner.x + side / 2);
        return {at(image, x, static_cast<std::uint32_t>(corner.y + side * 0.02F)),
                at(image, x, static_cast<std::uint32_t>(corner.y + side * 0.98F))};
    }
    std::uint32_t id(const char *key) { return app_->control().player().params().find(key)->id; }
};

TEST_F(AppTest, ShowsTheFinishedPicture) {
    open(options());
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    EXPECT_EQ(halves().first, kEmber);
    EXPECT_EQ(halves().second, kEmber);
    EXPECT_EQ(app_->control().problem(), "");
    EXPECT_TRUE(app_->control().stats().first_picture_us.has_value());
}

TEST_F(AppTest, DrawsOnlyWhatIsNotOnTheScreenYet) {
    AppOptions paced = options();
    paced.fps = 1000;
    open(paced);
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    show_frames(20);
    const auto drawn_by = [this](const std::function<void()> &action) {
        const std::uint64_t before = app_->drawn_frames();
        action();
        show_frames(20);
        return app_->drawn_frames() - before;
    };
    EXPECT_EQ(drawn_by([] {}), 0U) << "nothing changes";
    EXPECT_EQ(drawn_by([this] { app_->look().checker = true; }), 1U);
    EXPECT_EQ(drawn_by([this] { app_->look().background.red = 0.5F; }), 1U);
    EXPECT_EQ(drawn_by([this] { app_->look().tiles = 3; }), 1U);
    EXPECT_GE(drawn_by([this] { app_->pan_by(5, 0); }), 1U);
    EXPECT_GE(drawn_by([] { ImGui::GetIO().MousePos = {180, 64}; }), 1U) << "a button lights up";
    EXPECT_EQ(drawn_by([] {}), 0U);
    app_->control().set_value(id("colour"), 1);
    ASSERT_TRUE(play_to_end());
    EXPECT_EQ(halves().first, kMoss) << "and new pictures are shown";
}

TEST_F(AppTest, ShowsThePictureWhileItGrows) {
    AppOptions slow = options();
    slow.values = {{"steps", "1000000"}};
    open(slow);
    if (!app_) return;
    app_->control().play();
    ASSERT_TRUE(
        frames_until([&] { return app_->view().info() && app_->view().info()->step > 50'000; }));
    EXPECT_TRUE(app_->control().busy());
    EXPECT_EQ(halves().first, kEmber);
    EXPECT_EQ(halves().second, kUnpainted);
}

TEST_F(AppTest, AChangedParameterRestartsTheRun) {
    AppOptions slow = options();
    slow.values = {{"steps", "1000000"}};
    open(slow);
    if (!app_) return;
    app_->control().play();
    ASSERT_TRUE(frames_until([&] { return app_->view().has_picture(); }));
    const std::uint64_t first_job = app_->control().state().job;
    app_->control().set_value(id("colour"), 1);
    ASSERT_TRUE(frames_until([&] {
        const auto &info = app_->view().info();
        return info && info->job > first_job && info->step > 50'000;
    }));
    EXPECT_EQ(halves().first, kMoss);
    EXPECT_GE(app_->control().stats().cancelled, 1U);
    EXPECT_EQ(app_->control().stats().failed, 0U);
}

TEST_F(AppTest, CancelEndsTheRunAtAStep) {
    AppOptions slow = options();
    slow.values = {{"steps", "1000000"}};
    open(slow);
    if (!app_) return;
    app_->control().play();
    ASSERT_TRUE(frames_until([&] { return app_->view().has_picture(); }));
    app_->control().cancel();
    ASSERT_TRUE(frames_until([&] { return !app_->control().busy(); }));
    ASSERT_TRUE(frames_until([&] { return app_->control().stats().cancelled == 1; }));
    EXPECT_LT(app_->control().state().step, 1'000'000U);
    EXPECT_EQ(app_->control().stats().finished, 0U);
    app_->control().set_value(id("steps"), 16);
    ASSERT_TRUE(play_to_end()) << "and can play again";
}

TEST_F(AppTest, ChangesPlayAgainOnlyWhenLive) {
    open(options());
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    app_->control().options.live = false;
    app_->control().set_value(id("colour"), 1);
    EXPECT_FALSE(app_->control().busy());
    app_->control().options.live = true;
    const std::uint64_t job = app_->control().job();
    app_->control().set_value(id("colour"), 2);
    EXPECT_GT(app_->control().job(), job); // such a short run may be over already
    app_->control().reset_value(id("colour"));
    EXPECT_EQ(app_->control().player().params().value_of("colour", -1), 0);
}

TEST_F(AppTest, SeedsRollInAFixedSequence) {
    AppOptions rolling = options();
    rolling.play.seed = 7;
    rolling.play.rolling = true;
    open(rolling);
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    EXPECT_EQ(app_->control().options.seed, 7U) << "the first play uses the seed that was given";
    ASSERT_TRUE(play_to_end());
    EXPECT_EQ(app_->control().options.seed, next_seed(7));
    app_->control().options.rolling = false;
    ASSERT_TRUE(play_to_end());
    EXPECT_EQ(app_->control().options.seed, next_seed(7));
    EXPECT_LT(next_seed(next_seed(7)), 1'000'000U);
}

TEST_F(AppTest, LoopPlaysOn) {
    AppOptions looping = options();
    looping.play.loop = true;
    open(looping);
    if (!app_) return;
    app_->control().play();
    ASSERT_TRUE(frames_until([&] { return app_->control().stats().finished >= 5; }));
    app_->control().cancel();
    EXPECT_FALSE(app_->control().options.loop) << "cancel ends the loop";
}

TEST_F(AppTest, AFailingGeneratorIsReportedAndMayTryAgain) {
    AppOptions failing = options();
    failing.values = {{"fail_at", "3"}};
    open(failing);
    if (!app_) return;
    app_->control().play();
    ASSERT_TRUE(frames_until([&] { return app_->control().stats().failed == 1; }));
    EXPECT_NE(app_->control().problem().find("told to fail"), std::string::npos)
        << app_->control().problem();
    ASSERT_TRUE(frames_until([&] { return app_->frames() > 10; })) << "the window lives on";
    app_->control().options.live = false;
    app_->control().set_value(id("fail_at"), 0);
    ASSERT_TRUE(play_to_end());
    EXPECT_EQ(app_->control().problem(), "");
}

class DroppedPreset : public AppTest {
  protected:
    void SetUp() override {
        AppOptions with = options();
        with.plugin_dirs = {TESSERA_BINARY_DIR "/lib/tessera/plugins"};
        open(with);
    }
    [[nodiscard]] Result<void> drop(const char *plugin, const char *model, const char *values) {
        return app_->open_file(folder_.write(
            "dropped.json", fmt::format(R"({{"format": "tessera-preset/1", "plugin": "{}", )"
                                        R"("model": "{}", "seed": 5, "values": {}}})",
                                        plugin, model, values)));
    }
    const test::TemporaryFolder folder_;
};

TEST_F(DroppedPreset, ChoosesItsGenerator) {
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    const std::uint64_t job = app_->control().job();
    const auto opened = drop("org.tessera.gradient", "", R"({"size": 64})");
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    EXPECT_EQ(app_->control().player().info().id, "org.tessera.gradient");
    EXPECT_EQ(app_->control().options.seed, 5U);
    EXPECT_EQ(app_->control().player().params().value_of("size", 0), 64);
    ASSERT_TRUE(frames_until([&] {
        const auto &info = app_->view().info();
        return info && info->job > job && info->final;
    })) << "and it plays, as after every change";
    EXPECT_EQ(app_->view().width(), 64U);
    ASSERT_TRUE(play_to_end());
    ASSERT_TRUE(drop("org.tessera.gradient", "", R"({"size": 128})").ok());
    ASSERT_TRUE(frames_until([&] { return app_->view().width() == 128; }));
    EXPECT_EQ(app_->control().history().runs().size(), 3U) << "the same one keeps its runs";
}

TEST_F(DroppedPreset, ThatCannotBeUsedChangesNothing) {
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    const auto message = [&](const char *plugin, const char *model, const char *values) {
        const auto opened = drop(plugin, model, values);
        return opened ? std::string() : opened.error().message;
    };
    using testing::HasSubstr;
    EXPECT_THAT(message("org.tessera.nobody", "", "{}"), HasSubstr("org.tessera.nobody"));
    EXPECT_THAT(message("org.tessera.mar", "no_such_model", "{}"), HasSubstr("no_such_model"));
    EXPECT_THAT(message("org.tessera.gradient", "", R"({"size": "wide"})"), HasSubstr("wide"));
    EXPECT_THAT(message("org.tessera.gradient", "", R"({"size": "wide"})"),
                HasSubstr("dropped.json"));
    EXPECT_EQ(app_->control().player().info().id, "org.tessera.test.showcase");
    EXPECT_EQ(app_->control().history().runs().size(), 1U);
    ASSERT_TRUE(play_to_end());
}

// As when the window is dragged to a monitor of another scale while a picture is made.
TEST_F(AppTest, ThePanelGrowsWithTheScaleAndTheRunGoesOn) {
    open(options());
    if (!app_) return;
    const auto font_pixels = [] { return ImGui::GetIO().Fonts->Fonts[0]->FontSize; };
    const float before = font_pixels();
    app_->control().play();
    for (const float scale : {2.0F, 1.5F, 1.0F}) {
        show_frames(2);
        ASSERT_TRUE(app_->rescale(scale).ok());
        show_frames(2);
        EXPECT_FLOAT_EQ(font_pixels(), before * scale);
    }
    ASSERT_TRUE(play_to_end());
    EXPECT_EQ(halves(), std::pair(kEmber, kEmber));
}

TEST_F(AppTest, WritesAScreenshotOfTheWholeWindow) {
    const auto path = std::filesystem::path(testing::TempDir()) / "tessera_app_test.png";
    AppOptions shooting = options();
    shooting.play_at_start = true;
    shooting.screenshot = path;
    shooting.exit_after_screenshot = true;
    open(shooting);
    if (!app_) return;
    const auto ran = app_->run();
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    const auto image = read_image(path, 3);
    std::filesystem::remove(path);
    ASSERT_TRUE(image.ok()) << image.error().message;
    EXPECT_EQ(image->width, 1280U);
    EXPECT_EQ(image->height, 720U);
}

TEST_F(AppTest, AScreenshotThatCannotBeWrittenIsAnError) {
    AppOptions shooting = options();
    shooting.play_at_start = true;
    shooting.screenshot = "/nonexistent/folder/picture.png";
    open(shooting);
    if (!app_) return;
    const auto ran = app_->run();
    ASSERT_FALSE(ran.ok());
    EXPECT_NE(ran.error().message.find("/nonexistent/folder"), std::string::npos);
}

TEST(AppOptionsTest, UnknownParametersAndPluginsAreNamed) {
    AppOptions options;
    options.offscreen = true;
    options.plugin = "org.tessera.nobody";
    const auto nobody = App::create(options);
    ASSERT_FALSE(nobody.ok());
    options.plugin = TESSERA_SHOWCASE_PLUGIN;
    options.values = {{"colour", "mauve"}};
    const auto mauve = App::create(options);
    ASSERT_FALSE(mauve.ok());
    if (mauve.error().status == Status::kNotFound) GTEST_SKIP() << mauve.error().message;
    EXPECT_NE(mauve.error().message.find("mauve"), std::string::npos) << mauve.error().message;
}

} // namespace
} // namespace tessera
