// A device that is lost: the window goes on with a new one, and nothing that was made is gone.
#include "host/generator/preset.hpp"
#include "tests/view/script_fixture.hpp"
#include "tests/view/vulkan/losing_devices.hpp"

#include <gmock/gmock.h>

#include <filesystem>

namespace tessera {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class DeviceLost : public ScriptFixture {
  protected:
    static void SetUpTestSuite() { test::load_losing_layer(); }
    void SetUp() override {
        ASSERT_TRUE(test::lose_devices(""));
        setenv("XDG_DATA_HOME", folder_.path().c_str(), 1);
    }
    void open_with(const std::string &steps) {
        AppOptions options = showcase_options();
        options.offscreen = true;
        options.fps = 0; // every frame is drawn
        options.values = {{"steps", steps}};
        open(options);
    }
    bool lose_by(const char *wish) {
        const int before = app_->losses();
        return test::lose_devices(wish) && frames_until([&] { return app_->losses() > before; });
    }
    // The picture on the screen, without the panel and the timeline.
    Image shown() {
        const Image all = capture();
        constexpr std::uint32_t kLeft = 400;
        constexpr std::uint32_t kBelow = 150;
        if (all.width < kLeft || all.height < kBelow) return {};
        Image part{all.width - kLeft, all.height - kBelow, all.channels, {}};
        for (std::uint32_t y = 0; y < part.height; ++y) {
            const auto row = all.pixels.begin() + std::ptrdiff_t{4} * y * all.width;
            part.pixels.insert(part.pixels.end(), row + 4 * kLeft, row + 4 * all.width);
        }
        return part;
    }
};

class DeviceLostAt : public DeviceLost, public testing::WithParamInterface<const char *> {};

TEST_P(DeviceLostAt, TheRunGoesOnAndIsShown) {
    open_with("1000000");
    if (!app_) return;
    app_->control().play();
    const auto shows = [&](std::uint32_t step) {
        const auto &info = app_->view().info();
        return info && info->step > step;
    };
    ASSERT_TRUE(frames_until([&] { return shows(10'000); }));
    const std::uint64_t job = app_->control().job();
    ASSERT_TRUE(lose_by(GetParam()));
    EXPECT_TRUE(app_->control().busy());
    const std::uint32_t made = app_->control().state().step;
    ASSERT_TRUE(frames_until([&] { return shows(made + 10'000); }));
    EXPECT_EQ(app_->control().job(), job) << "the same run";
    EXPECT_EQ(app_->control().stats().cancelled + app_->control().stats().failed, 0U);
    EXPECT_THAT(app_->control().problem(), HasSubstr("was lost and opened again"));
    EXPECT_EQ(app_->losses(), 1);
}
INSTANTIATE_TEST_SUITE_P(Kind, DeviceLostAt, testing::Values("submit:3", "wait:5"),
                         [](const auto &kind) { return std::string(kind.param, 4); });

TEST_F(DeviceLost, WhatWasMadeIsShownAgain) {
    open_with("12");
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    app_->editor().pin();
    app_->control().set_value(app_->control().player().params().find("colour")->id, 1);
    ASSERT_TRUE(play_to_end());
    show_frames(3);
    const Image before = shown();
    const std::string values = preset_to_json(app_->control().preset());
    const std::size_t runs = app_->control().history().runs().size();
    ASSERT_TRUE(lose_by("submit:1"));
    show_frames(3);
    EXPECT_EQ(shown().pixels, before.pixels) << "both of them, the pinned one and the new one";
    EXPECT_EQ(preset_to_json(app_->control().preset()), values);
    EXPECT_EQ(app_->control().history().runs().size(), runs);
    EXPECT_EQ(app_->control().history().runs().back().steps.size(), 12U);

    ASSERT_TRUE(lose_by("submit:2")) << "and once more";
    show_frames(3);
    EXPECT_EQ(shown().pixels, before.pixels);
    ASSERT_TRUE(play_to_end()) << "the generator found the way to the new device";
    EXPECT_EQ(app_->control().stats().failed, 0U);
}

TEST_F(DeviceLost, TooOftenIsTheEndAndThePicturesAreInAFolder) {
    open_with("8");
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    const auto picture = app_->shown_picture();
    ASSERT_NE(picture, nullptr);
    ASSERT_TRUE(test::lose_devices("submit:1+"));
    Result<void> ended;
    for (int i = 0; i < 10 && ended; ++i) ended = app_->frame();
    ASSERT_FALSE(ended.ok());
    EXPECT_THAT(ended.error().message, HasSubstr("was lost 4 times in a row"));
    const fs::path rescued = folder_.path() / "tessera" / "rescued";
    ASSERT_TRUE(fs::exists(rescued)) << ended.error().message;
    const fs::path folder = *fs::directory_iterator(rescued);
    EXPECT_THAT(ended.error().message, HasSubstr("1 of 1 pictures are in " + folder.string()));
    fs::path png;
    fs::path json;
    for (const auto &entry : fs::directory_iterator(folder)) {
        (entry.path().extension() == ".png" ? png : json) = entry.path();
    }
    const auto saved = read_image(png, 4);
    ASSERT_TRUE(saved.ok()) << saved.error().message;
    EXPECT_EQ(saved->pixels, picture->pixels);
    const auto preset = load_preset(json);
    ASSERT_TRUE(preset.ok()) << preset.error().message;
    EXPECT_EQ(preset->plugin, "org.tessera.test.showcase");
    EXPECT_THAT(preset->values, HasSubstr("\"steps\":8"));
}

TEST_F(DeviceLost, AScriptWritesWhatItWouldHaveWritten) {
    const auto perform = [&](const std::string &folder, const char *wishes) {
        fs::create_directory(folder_.path() / folder);
        EXPECT_TRUE(test::lose_devices(wishes));
        const auto done = run(R"([{"set": {"steps": 30}}, {"seed": 7}, "play", {"wait_steps": 5},
            {"save_view": "@)" +
                              folder + R"(/half.png"}, "wait_done",
            {"save_image": "@)" +
                              folder + R"(/image.png"}, {"export": "@)" + folder + R"(/maps"},
            {"save_view": "@)" +
                              folder + R"(/end.png"}])");
        EXPECT_TRUE(done.ok()) << done.error().message;
        const int losses = app_ ? app_->losses() : 0;
        close();
        return losses;
    };
    EXPECT_EQ(perform("whole", ""), 0);
    // As many as may be in a row; whichever device submits.
    EXPECT_GE(perform("lost", "submit:4,submit:9,submit:14"), 1);
    EXPECT_EQ(read("lost/image.png").pixels, read("whole/image.png").pixels);
    int maps = 0;
    for (const auto &entry : fs::directory_iterator(folder_.path() / "whole" / "maps")) {
        const fs::path name = "maps" / entry.path().filename();
        EXPECT_EQ(test::read_text(folder_.path() / "lost" / name),
                  test::read_text(folder_.path() / "whole" / name))
            << name;
        ++maps;
    }
    EXPECT_GE(maps, 5);
    EXPECT_TRUE(fs::exists(folder_.path() / "lost" / "half.png"));
    EXPECT_TRUE(fs::exists(folder_.path() / "lost" / "end.png"));
}

} // namespace
} // namespace tessera
