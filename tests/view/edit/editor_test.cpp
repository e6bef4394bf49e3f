// The timeline, the overlay, marks and undo, seen in the offscreen view.
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

class MarkTest : public EditorTest {
  protected:
    static constexpr Pixel kEmber{200, 40, 30};
    static constexpr Pixel kMoss{40, 160, 60};
    static constexpr Pixel kSlate{40, 70, 190};

    void mark(Point from, Point to, Mark mark = Mark::kRegenerate) {
        editor().tool = Tool::kRectangle;
        editor().begin_stroke(from, mark);
        editor().stroke_to(to);
        editor().end_stroke();
    }
    bool settle() {
        return frames_until([&] { return app_->control().settled(); });
    }
    // Of the shown picture itself, without what is drawn over it.
    Pixel token(std::uint32_t row, std::uint32_t column) {
        show_frames(2);
        const auto image = app_->shown_picture();
        if (image == nullptr) return {};
        const std::uint8_t *p =
            image->pixels.data() + ((std::size_t{row} * 8 + 4) * 64 + column * 8 + 4) * 4;
        return {p[0], p[1], p[2]};
    }
};

TEST_F(MarkTest, OnlyMarkedTokensAreMadeAnew) {
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    const auto before = app_->shown_picture();
    const auto latents = editor().step()->latents;
    mark({2.5F, 2.5F}, {4.5F, 3.5F});
    EXPECT_EQ(editor().wanted_count(), 6U);
    set("colour", 1); // live: plays at once
    ASSERT_TRUE(settle());
    EXPECT_EQ(token(2, 2), kMoss);
    EXPECT_EQ(token(3, 4), kMoss);
    const auto after = app_->shown_picture();
    const auto kept = editor().step()->latents;
    for (std::uint32_t i = 0; i < 64; ++i) {
        const bool marked = i / 8 >= 2 && i / 8 <= 3 && i % 8 >= 2 && i % 8 <= 4;
        EXPECT_EQ(token(i / 8, i % 8), marked ? kMoss : kEmber);
        EXPECT_EQ(
            std::equal(&latents->values[3 * i], &latents->values[3 * i + 3], &kept->values[3 * i]),
            !marked);
    }
    EXPECT_EQ(editor().run()->made_at[0], RunRecord::kGiven);
    // And once more, from the new picture, elsewhere.
    editor().clear_marks();
    mark({0, 0}, {0, 0});
    set("colour", 2);
    ASSERT_TRUE(settle());
    EXPECT_EQ(token(0, 0), kSlate);
    EXPECT_EQ(token(2, 2), kMoss);
    EXPECT_EQ(token(7, 7), kEmber);
    // Without marks everything is new.
    editor().clear_marks();
    ASSERT_TRUE(play_to_end());
    EXPECT_EQ(token(7, 7), kSlate);
}

TEST_F(MarkTest, LockedTokensStayWhileTheRestIsMade) {
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    mark({0, 0}, {7, 0}, Mark::kLocked);
    set("colour", 1);
    ASSERT_TRUE(settle());
    EXPECT_EQ(token(0, 3), kEmber);
    EXPECT_EQ(token(1, 3), kMoss);
}

TEST_F(MarkTest, AnUnfinishedPictureIsFinishedToo) {
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    editor().show(app_->control().job(), 4); // the lower half is unknown
    mark({0, 0}, {0, 0});
    app_->control().options.live = false;
    set("colour", 1);
    app_->control().play();
    ASSERT_TRUE(settle());
    EXPECT_EQ(token(0, 0), kMoss);
    EXPECT_EQ(token(0, 1), kEmber);
    EXPECT_EQ(token(7, 1), kMoss);
}

TEST_F(MarkTest, ARestartedRunKeepsWhatItWasGiven) {
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    mark({0, 0}, {0, 0});
    app_->control().options.live = false;
    set("steps", 1'000'000);
    app_->control().play();
    ASSERT_TRUE(frames_until([&] { return editor().step() != nullptr; }));
    set("steps", 8); // starts the running job again
    set("colour", 1);
    ASSERT_TRUE(settle());
    EXPECT_EQ(token(0, 0), kMoss);
    for (std::uint32_t i = 1; i < 64; ++i) EXPECT_EQ(token(i / 8, i % 8), kEmber) << i;
}

TEST_F(MarkTest, UndoAndRedoGoOverMarksPicturesAndSettings) {
    if (!app_) return;
    EXPECT_FALSE(editor().can_undo());
    ASSERT_TRUE(play_to_end()); // 1: ember
    show_frames(1);
    EXPECT_FALSE(editor().can_undo());
    mark({0, 0}, {3, 7}); // 2: half marked
    set("colour", 1);
    app_->control().options.live = false; // from here on nothing plays by itself
    ASSERT_TRUE(settle());                // 3: half moss
    show_frames(1);
    EXPECT_EQ(token(0, 0), kMoss);
    const std::uint64_t jobs = app_->control().job();

    editor().undo();
    EXPECT_EQ(token(0, 0), kEmber);
    EXPECT_EQ(editor().wanted_count(), 32U);
    EXPECT_EQ(app_->control().player().params().value_of("colour", -1), 0);
    editor().undo();
    EXPECT_TRUE(editor().marks().empty());
    EXPECT_FALSE(editor().can_undo());
    editor().undo(); // nothing
    editor().redo();
    editor().redo();
    EXPECT_FALSE(editor().can_redo());
    EXPECT_EQ(token(0, 0), kMoss);
    EXPECT_EQ(token(0, 7), kEmber);
    EXPECT_EQ(app_->control().player().params().value_of("colour", -1), 1);
    EXPECT_EQ(app_->control().job(), jobs) << "nothing was played";

    editor().undo();
    mark({7, 7}, {7, 7}); // another way from here
    EXPECT_FALSE(editor().can_redo());
}

TEST_F(MarkTest, UndoGivesARunUp) {
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    show_frames(1);
    app_->control().options.live = false;
    set("colour", 1);
    set("steps", 1'000'000);
    app_->control().play();
    ASSERT_TRUE(frames_until([&] { return editor().step() != nullptr; }));
    EXPECT_TRUE(editor().can_undo());
    editor().undo();
    ASSERT_TRUE(settle());
    EXPECT_EQ(token(7, 7), kEmber);
    EXPECT_EQ(app_->control().player().params().value_of("steps", 0), 8);
    EXPECT_FALSE(editor().can_undo());
    EXPECT_FALSE(editor().can_redo()) << "a run that was given up is no result";
}

TEST_F(MarkTest, StrokesOfTheMouseMark) {
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    editor().tool = Tool::kBrush;
    show_frames(1);
    ImGuiIO &io = ImGui::GetIO();
    const auto move = [&](float column, float row) {
        const Point at = app_->transform().to_screen({column * 8, row * 8});
        io.MousePos = {at.x, at.y};
        show_frames(1);
    };
    const auto drag = [&](int button) {
        move(1.5F, 1.5F);
        io.MouseDown[button] = true;
        show_frames(1);
        move(5.5F, 1.5F);
        move(50, 1.5F); // far outside
        io.MouseDown[button] = false;
        show_frames(2);
    };
    drag(ImGuiMouseButton_Left);
    EXPECT_EQ(editor().wanted_count(), 7U);
    const Pixel tint = cell(1, 3);
    EXPECT_NE(tint, kEmber) << "marks are seen";
    io.KeyShift = true;
    drag(ImGuiMouseButton_Left);
    io.KeyShift = false;
    EXPECT_EQ(editor().marks().at(3, 1), Mark::kLocked);
    drag(ImGuiMouseButton_Right);
    EXPECT_TRUE(editor().marks().empty());
    EXPECT_TRUE(app_->transform().fitting()) << "the picture was not moved";
}

TEST_F(MarkTest, APictureFromOutsideIsKeptWhereNothingIsMarked) {
    if (!app_) return;
    Image photo{128, 128, 4, std::vector<std::uint8_t>(128 * 128 * 4, 255)};
    for (std::size_t i = 0; i < photo.pixels.size(); ++i) {
        if (i % 4 < 3) photo.pixels[i] = static_cast<std::uint8_t>(10 * (i % 4 + 1));
    }
    const auto started = editor().start_from(photo);
    ASSERT_TRUE(started.ok()) << started.error().message;
    ASSERT_TRUE(settle());
    EXPECT_EQ(token(3, 3), (Pixel{10, 20, 30}));
    EXPECT_TRUE(editor().run()->keeps_pixels);
    mark({0, 0}, {0, 0});
    app_->control().play();
    ASSERT_TRUE(settle());
    EXPECT_EQ(token(0, 0), kEmber);
    EXPECT_EQ(token(3, 3), (Pixel{10, 20, 30}));
    EXPECT_TRUE(editor().run()->keeps_pixels) << "also of the pictures after it";
    editor().clear_marks();
    ASSERT_TRUE(play_to_end());
    EXPECT_EQ(token(3, 3), kEmber);
    EXPECT_FALSE(editor().run()->keeps_pixels);
}

TEST_F(MarkTest, PresetsAreTakenOverAndForeignOnesRefused) {
    if (!app_) return;
    app_->control().options.live = false;
    set("colour", 2);
    app_->control().options.seed = 77;
    const Preset preset = app_->control().preset();
    set("colour", 0);
    app_->control().options.seed = 1;
    EXPECT_TRUE(app_->control().apply(preset));
    EXPECT_EQ(app_->control().problem(), "");
    EXPECT_EQ(app_->control().options.seed, 77U);
    EXPECT_EQ(app_->control().player().params().value_of("colour", -1), 2);
    Preset foreign = preset;
    foreign.plugin = "org.example.other";
    foreign.seed = 5;
    EXPECT_FALSE(app_->control().apply(foreign));
    EXPECT_NE(app_->control().problem().find("org.example.other"), std::string::npos);
    EXPECT_EQ(app_->control().options.seed, 77U);
    Preset more = preset;
    more.values = R"({"colour": "moss", "flavour": 3})";
    EXPECT_TRUE(app_->control().apply(more));
    EXPECT_NE(app_->control().problem().find("flavour"), std::string::npos);
    EXPECT_EQ(app_->control().player().params().value_of("colour", -1), 1);
    more.seed = 6;
    more.values = R"({"colour": "gravel"})";
    EXPECT_FALSE(app_->control().apply(more));
    EXPECT_NE(app_->control().problem().find("colour is 'gravel'; expected one of"),
              std::string::npos);
    EXPECT_EQ(app_->control().options.seed, 77U) << "nothing is taken";
}

} // namespace
} // namespace tessera
