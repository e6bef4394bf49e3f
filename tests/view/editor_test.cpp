// The timeline and the overlay, seen in the offscreen view.
#include "tests/view/app_fixture.hpp"

#include <array>

#include <imgui.h>

namespace tessera {
namespace {

using Pixel = std::array<int, 3>;

class EditorTest : public AppFixture {
  protected:
    // Eight steps: one row of tokens each.
    void SetUp() override {
        AppOptions options = showcase_options();
        options.offscreen = true;
        options.fps = 0;
        options.values = {{"steps", "8"}};
        open(options);
        if (!app_) return;
        app_->look().smooth = false;
        app_->look().shadow_radius = 0;
    }
    Editor &editor() { return app_->editor(); }
    std::uint32_t shown_step() {
        show_frames(2);
        return app_->view().info()->step;
    }
    void set(const char *key, double value) {
        app_->control().set_value(app_->control().player().params().find(key)->id, value);
    }
    // Somewhere in a token of the picture on the screen; the middle by default.
    Pixel cell(std::uint32_t row, std::uint32_t column, float down = 0.5F, float right = 0.5F) {
        show_frames(2);
        const auto image = app_->capture_window();
        EXPECT_TRUE(image.ok()) << image.error().message;
        if (!image) return {};
        const Point corner = app_->transform().origin();
        const float side = 8 * app_->transform().scale();
        const auto x =
            static_cast<std::uint32_t>(corner.x + (static_cast<float>(column) + right) * side);
        const auto y =
            static_cast<std::uint32_t>(corner.y + (static_cast<float>(row) + down) * side);
        const std::uint8_t *p = image->pixels.data() + (std::size_t{y} * image->width + x) * 4;
        return {p[0], p[1], p[2]};
    }
};

TEST_F(EditorTest, StepsBackAndForthThroughTheRun) {
    if (!app_) return;
    EXPECT_EQ(editor().step(), nullptr);
    editor().move(-1); // nothing to move through yet
    editor().replay();
    ASSERT_TRUE(play_to_end());
    EXPECT_TRUE(editor().is_live());
    editor().move(-1);
    EXPECT_EQ(shown_step(), 7U);
    editor().move(-3);
    EXPECT_EQ(shown_step(), 4U);
    editor().move(-100);
    EXPECT_EQ(shown_step(), 1U);
    editor().move(2);
    EXPECT_EQ(shown_step(), 3U);
    EXPECT_FALSE(editor().is_live());
    editor().move(100);
    EXPECT_TRUE(editor().is_live());
    EXPECT_EQ(shown_step(), 8U);
    EXPECT_EQ(app_->shown_picture(), editor().step()->picture);
}

TEST_F(EditorTest, ReplayEndsBeingLive) {
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    editor().replay();
    EXPECT_EQ(editor().step()->step, 1U);
    EXPECT_TRUE(editor().replaying());
    std::uint32_t last = 1;
    ASSERT_TRUE(frames_until([&] {
        const std::uint32_t now = editor().step()->step;
        EXPECT_LE(now, last + 1) << "no step is skipped";
        last = now;
        return editor().is_live() && !editor().replaying();
    }));
    EXPECT_EQ(shown_step(), 8U);
}

TEST_F(EditorTest, LooksBackWhileTheRunGoesOn) {
    if (!app_) return;
    set("steps", 1'000'000);
    app_->control().play();
    ASSERT_TRUE(frames_until([&] { return editor().step() != nullptr; }));
    const std::uint32_t early = editor().step()->step;
    editor().show(app_->control().job(), early);
    ASSERT_TRUE(frames_until([&] { return app_->control().state().step > early + 10'000; }));
    EXPECT_EQ(app_->view().info()->step, early);
    editor().show_live();
    EXPECT_GT(shown_step(), early);
    app_->control().cancel();
    ASSERT_TRUE(frames_until([&] { return app_->control().settled(); }));
}

TEST_F(EditorTest, ANewRunIsFollowedAndOldOnesCanBeShown) {
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    const std::uint64_t first = app_->control().job();
    app_->control().options.live = false;
    set("colour", 1);
    editor().move(-2);
    ASSERT_TRUE(play_to_end());
    EXPECT_TRUE(editor().is_live());
    EXPECT_EQ(cell(0, 0), (Pixel{40, 160, 60}));
    editor().show(first, 8);
    EXPECT_EQ(cell(0, 0), (Pixel{200, 40, 30}));
    EXPECT_EQ(editor().run()->job, first);
    editor().show(12345, 1); // never was
    EXPECT_EQ(editor().run()->job, first);
}

TEST_F(EditorTest, TheOverlayTellsKnownUnknownAndNew) {
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    editor().show(app_->control().job(), 4);
    EXPECT_EQ(cell(6, 3), (Pixel{90, 90, 90}));
    app_->panel().overlay = Overlay::kTokens;
    EXPECT_LT(cell(6, 3)[0], 60) << "unknown is darker";
    EXPECT_EQ(cell(1, 3), (Pixel{200, 40, 30})) << "known is as it is";
    EXPECT_EQ(cell(3, 3), (Pixel{200, 40, 30}));
    const float edge = 1.5F / (8 * app_->transform().scale());
    EXPECT_EQ(cell(3, 3, edge), (Pixel{122, 220, 236})) << "new is outlined";
    EXPECT_NE(cell(1, 3, edge), (Pixel{122, 220, 236}));
}

TEST_F(EditorTest, TheOrderIsAColour) {
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    app_->panel().overlay = Overlay::kOrder;
    const Pixel first = cell(0, 3, 0.2F);
    const Pixel last = cell(7, 3, 0.2F);
    EXPECT_EQ(cell(0, 5, 0.2F), first) << "made by the same step";
    const auto light = [](const Pixel &p) { return p[0] + 2 * p[1] + p[2]; };
    int before = light(first);
    for (std::uint32_t row = 1; row < 8; ++row) {
        const int now = light(cell(row, 3, 0.2F));
        EXPECT_GT(now, before) << row;
        before = now;
    }
    EXPECT_GT(last[0], first[0]);
    editor().show(app_->control().job(), 4);
    EXPECT_EQ(cell(7, 3, 0.2F), (Pixel{90, 90, 90})) << "not made yet";
}

TEST_F(EditorTest, TheTimelineIsDraggedWithTheMouse) {
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    show_frames(2);
    ImGuiIO &io = ImGui::GetIO();
    const auto press_at = [&](float x) {
        io.MousePos = {x, 700};
        show_frames(1);
        io.MouseDown[0] = true;
        show_frames(2);
        io.MouseDown[0] = false;
        show_frames(2);
    };
    press_at(376 + (1280 - 166 - 376) * 2.5F / 8); // in the third of eight bars
    EXPECT_EQ(app_->view().info()->step, 3U);
    press_at(376 + (1280 - 166 - 376) * 7.5F / 8);
    EXPECT_TRUE(editor().is_live());
    EXPECT_EQ(app_->view().info()->step, 8U);
}

} // namespace
} // namespace tessera
