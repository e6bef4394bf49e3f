// Looking inside: latents in the picture's place, the chain of a probed token, a pinned run next to
// the shown one.
#include "tests/view/app_fixture.hpp"

namespace tessera {
namespace {

class InspectTest : public AppFixture {
  protected:
    void SetUp() override {
        AppOptions options = showcase_options();
        options.offscreen = true;
        options.width = 1000;
        options.height = 600;
        options.fps = 0;
        options.values = {{"steps", "8"}};
        open(options);
        if (!app_) return;
        app_->look().smooth = false;
        app_->look().shadow_radius = 0;
    }
    Editor &editor() { return app_->editor(); }
    // A changed value plays by itself; until the view shows the end of that run.
    bool set_and_finish(const char *key, double value) {
        app_->control().set_value(app_->control().player().params().find(key)->id, value);
        return frames_until([&] {
            const auto &shown = app_->view().info();
            return app_->control().settled() && shown && shown->final &&
                   shown->job == app_->control().job();
        });
    }
    static const std::uint8_t *pixel(const Image &image, float x, float y) {
        const auto column = static_cast<std::size_t>(x);
        const auto row = static_cast<std::size_t>(y);
        return image.pixels.data() + (row * image.width + column) * 4;
    }
    // In the middle of what `region` shows.
    static bool is_like(const std::uint8_t *pixel, int red, int green, int blue) {
        return std::abs(pixel[0] - red) <= 2 && std::abs(pixel[1] - green) <= 2 &&
               std::abs(pixel[2] - blue) <= 2;
    }
    // Where the pictures of a pinned and a shown run are: centres of the two halves.
    struct Halves {
        Point shown;
        Point pinned;
    };
    static Halves centres() {
        const float left = panel_width(1);
        const float y = 0.5F * (600 - timeline_height(1, 600));
        return {{left + (1000 - left) / 4, y}, {left + 3 * (1000 - left) / 4, y}};
    }
};

TEST_F(InspectTest, LatentsTakeThePicturesPlaceAndGiveItBack) {
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    show_frames(2);
    const Image picture = capture();
    app_->panel().show_latents = true;
    app_->panel().latents.principal = false;
    show_frames(2);
    const Image latents = capture();
    const Point at = app_->transform().to_screen({32, 32});
    EXPECT_TRUE(is_like(pixel(picture, at.x, at.y), 200, 40, 30));
    // All cells are equal: the middle of every range.
    EXPECT_TRUE(is_like(pixel(latents, at.x, at.y), 128, 128, 128));
    app_->panel().show_latents = false;
    show_frames(2);
    const Image again = capture();
    EXPECT_TRUE(is_like(pixel(again, at.x, at.y), 200, 40, 30));
}

TEST_F(InspectTest, LatentsOfAnEarlierStepLeaveUnknownTokensOut) {
    if (!app_) return;
    ASSERT_TRUE(play_to_end());
    editor().show(app_->control().job(), 4);
    app_->panel().show_latents = true;
    show_frames(2);
    const Image image = capture();
    const Point known = app_->transform().to_screen({32, 12});
    const Point unknown = app_->transform().to_screen({32, 52});
    EXPECT_TRUE(is_like(pixel(image, known.x, known.y), 128, 128, 128));
    const Colour ground = app_->look().background;
    const auto level = [](float share) { return static_cast<int>(std::lround(255 * share)); };
    EXPECT_TRUE(is_like(pixel(image, unknown.x, unknown.y), level(ground.red), level(ground.green),
                        level(ground.blue)));
}

TEST_F(InspectTest, AProbedTokenShowsItsChain) {
    if (!app_) return;
    ASSERT_TRUE(editor().can_watch());
    ASSERT_TRUE(play_to_end());
    EXPECT_EQ(editor().run()->chain, nullptr);
    const std::uint64_t before = app_->control().job();
    editor().watch(19);
    ASSERT_TRUE(frames_until([&] { return app_->control().settled(); }));
    EXPECT_GT(app_->control().job(), before); // made again
    const auto chain = editor().run()->chain;
    ASSERT_NE(chain, nullptr);
    EXPECT_EQ(chain->step, 3U); // row 2 of 8, in 8 steps
    EXPECT_EQ(chain->denoise, 4U);
    ASSERT_EQ(chain->width, 3U);
    EXPECT_EQ(chain->values[1], 2.0F);
    EXPECT_EQ(chain->values[4 * 3], 200.0F / 64 - 2);
    const std::uint64_t probed = app_->control().job();
    editor().watch(19); // already
    show_frames(2);
    EXPECT_EQ(app_->control().job(), probed);
    show_frames(2); // draws the lines
    editor().watch(-1);
    ASSERT_TRUE(frames_until([&] { return app_->control().settled(); }));
    EXPECT_EQ(editor().run()->chain, nullptr);
}

TEST_F(InspectTest, APinnedRunStaysBesideTheNextOneInStep) {
    if (!app_) return;
    EXPECT_FALSE(editor().can_pin());
    ASSERT_TRUE(play_to_end());
    ASSERT_TRUE(editor().can_pin());
    editor().pin();
    ASSERT_TRUE(set_and_finish("colour", 2));
    show_frames(2);
    Image both = capture();
    const Halves at = centres();
    EXPECT_TRUE(is_like(pixel(both, at.shown.x, at.shown.y), 40, 70, 190));
    EXPECT_TRUE(is_like(pixel(both, at.pinned.x, at.pinned.y), 200, 40, 30));

    // Both at the first quarter: their middles are not painted yet.
    editor().show(app_->control().job(), 2);
    show_frames(2);
    ASSERT_NE(editor().pinned_step(), nullptr);
    EXPECT_EQ(editor().pinned_step()->step, 2U);
    both = capture();
    EXPECT_TRUE(is_like(pixel(both, at.shown.x, at.shown.y), 90, 90, 90));
    EXPECT_TRUE(is_like(pixel(both, at.pinned.x, at.pinned.y), 90, 90, 90));

    // Half as many steps: the same share of the run.
    ASSERT_TRUE(set_and_finish("steps", 4));
    editor().show(app_->control().job(), 1);
    show_frames(2);
    EXPECT_EQ(editor().pinned_step()->step, 2U);

    editor().unpin();
    editor().show_live();
    show_frames(2);
    const Point middle = app_->transform().to_screen({32, 32});
    const Image alone = capture();
    EXPECT_TRUE(is_like(pixel(alone, middle.x, middle.y), 40, 70, 190));
    EXPECT_NEAR(middle.x, panel_width(1) + (1000 - panel_width(1)) / 2, 2);
}

} // namespace
} // namespace tessera
