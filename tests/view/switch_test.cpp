// Another generator while the program runs: values that both know, what is forgotten, and what a
// generator sees in its picture.
#include "tests/view/app_fixture.hpp"

namespace tessera {
namespace {

class SwitchTest : public AppFixture {
  protected:
    void SetUp() override {
        AppOptions options = showcase_options();
        options.plugin_dirs = {TESSERA_PLUGIN_FOLDER};
        options.offscreen = true;
        options.width = 1000;
        options.height = 600;
        options.fps = 0;
        options.values = {{"steps", "5"}};
        open(options);
    }
    [[nodiscard]] PlayControl &control() { return app_->control(); }
    [[nodiscard]] double value(const char *key) {
        return control().player().params().value_of(key, -1);
    }
    Result<void> choose_gradient() { return app_->change_model("org.tessera.gradient", ""); }
    Result<void> choose_umd() { return app_->change_model("", kUmd); }
    bool until_settled() {
        return frames_until([&] {
            const auto &shown = app_->view().info();
            return control().job() != 0 && control().settled() && shown && shown->final &&
                   shown->job == control().job();
        });
    }

    static constexpr const char *kUmd = TESSERA_FIXTURES_DIR "/umd_tiny/weights_cls.safetensors";
};

TEST_F(SwitchTest, AnotherGeneratorPlaysOnWithTheValuesThatBothKnow) {
    if (!app_) return;
    control().options.seed = 7;
    ASSERT_TRUE(play_to_end());
    app_->editor().begin_stroke({0, 0}, Mark::kRegenerate);
    app_->editor().end_stroke();
    const std::uint64_t last = control().job();
    ASSERT_TRUE(choose_gradient().ok());
    EXPECT_EQ(control().player().info().id, "org.tessera.gradient");
    EXPECT_EQ(control().history().find(last), nullptr);
    ASSERT_TRUE(until_settled()) << control().problem(); // live: it plays by itself
    EXPECT_GT(control().job(), last);
    EXPECT_EQ(value("steps"), 5);
    EXPECT_EQ(value("size"), 256) << "its own, which nobody changed";
    EXPECT_EQ(control().options.seed, 7U);
    EXPECT_TRUE(app_->editor().marks().empty());
    EXPECT_EQ(control().problem(), "");
}

TEST_F(SwitchTest, ARunUnderWayEnds) {
    if (!app_) return;
    control().set_value(control().player().params().find("steps")->id, 64);
    control().play();
    ASSERT_TRUE(frames_until([&] { return control().state().step > 1; }));
    ASSERT_TRUE(choose_gradient().ok());
    ASSERT_TRUE(until_settled()) << control().problem();
    EXPECT_EQ(value("steps"), 64);
}

TEST_F(SwitchTest, WhatCannotBeFoundChangesNothing) {
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    const std::uint64_t last = control().job();
    const auto missing = app_->change_model("", "no_such_model");
    ASSERT_FALSE(missing.ok());
    EXPECT_NE(missing.error().message.find("no_such_model"), std::string::npos);
    EXPECT_FALSE(app_->change_model("org.example.nobody", "").ok());
    EXPECT_FALSE(app_->change_model("", "").ok());
    EXPECT_NE(control().history().find(last), nullptr);
    EXPECT_TRUE(play_to_end());
}

TEST_F(SwitchTest, ThereAndBackAgainAndAgain) {
    if (!app_) return;
    for (int i = 0; i < 4; ++i) {
        ASSERT_TRUE(choose_gradient().ok());
        ASSERT_TRUE(choose_umd().ok());
        control().play();
        show_frames(i % 3);
        ASSERT_TRUE(app_->change_model(TESSERA_SHOWCASE_PLUGIN, "").ok());
        show_frames(i % 2);
    }
    EXPECT_TRUE(play_to_end());
}

TEST_F(SwitchTest, WhatTheGeneratorSeesLiesOverItsPicture) {
    if (!app_) return;
    EXPECT_FALSE(control().can_encode());
    ASSERT_TRUE(choose_umd().ok());
    ASSERT_TRUE(control().can_encode());
    ASSERT_TRUE(play_to_end());
    show_frames(1);
    const Image plain = capture();
    app_->panel().show_features = true;
    ASSERT_TRUE(frames_until([&] { return control().encoded().dense != nullptr; }))
        << control().problem();
    EXPECT_EQ(control().encoded().dense->height, 4U);
    EXPECT_EQ(control().encoded().dense->width, 4U);
    EXPECT_EQ(control().encoded().dense->channels, 48U);
    EXPECT_EQ(control().history().runs().size(), 1U) << "no run that is shown";
    show_frames(2);
    EXPECT_NE(capture().pixels, plain.pixels);
    app_->panel().show_features = false;
    show_frames(2);
    ASSERT_TRUE(play_to_end()) << "runs go on as before";
}

// The first three directions of the features colour the places: a share of them, and the picture.
TEST_F(SwitchTest, ColoursAreMixedWithThePicture) {
    Image picture, colours;
    picture.width = colours.width = 2;
    picture.height = colours.height = 1;
    picture.channels = colours.channels = 4;
    picture.pixels = {0, 100, 200, 255, 10, 20, 30, 255};
    colours.pixels = {100, 100, 100, 255, 0, 0, 0, 0};
    const Image mixed = laid_over(picture, colours, 0.5F);
    EXPECT_EQ(mixed.pixels, (std::vector<std::uint8_t>{50, 100, 150, 255, 10, 20, 30, 255}));
}

} // namespace
} // namespace tessera
