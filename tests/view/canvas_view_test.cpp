// The endless canvas in the window: made, moved and left again by scripts, as a user would.
#include "tests/view/script_fixture.hpp"

#include <gmock/gmock.h>

#include <set>

namespace tessera {
namespace {

using testing::HasSubstr;

class CanvasViewTest : public ScriptFixture {
  protected:
    // The colours of a picture as 0xRRGGBB.
    [[nodiscard]] static std::set<std::uint32_t> colours(const Image &image) {
        std::set<std::uint32_t> found;
        for (std::size_t i = 0; i + 2 < image.pixels.size(); i += 3) {
            found.insert(image.pixels[i] << 16U | image.pixels[i + 1] << 8U | image.pixels[i + 2]);
        }
        return found;
    }
};

constexpr std::uint32_t kMoss = 0x28A03C, kSlate = 0x2846BE;

TEST_F(CanvasViewTest, FillsTheViewFollowsItAndLeavesNoTrace) {
    const auto ran = run(R"([
        {"set": {"colour": "moss", "steps": 2}}, "play", "wait_done", {"wait_frames": 2},
        {"save_view": "@before.png"},
        {"canvas": true}, {"wheel": [820, 300, 8]}, "wait_canvas", {"save_image": "@first.png"},
        {"pan": [-900, 300]}, "wait_canvas", {"save_image": "@second.png"},
        {"set": {"colour": "slate"}}, "wait_canvas", {"save_image": "@third.png"},
        {"set": {"colour": "moss"}},
        {"canvas": false}, {"wait_frames": 3}, {"save_view": "@after.png"},
        {"set": {"colour": "slate"}}, "wait_done", {"save_image": "@last.png"}])");
    if (!app_) return;
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    EXPECT_THAT(colours(read("first.png")), testing::ElementsAre(kMoss));
    EXPECT_THAT(colours(read("second.png")), testing::ElementsAre(kMoss));
    EXPECT_THAT(colours(read("third.png")), testing::ElementsAre(kSlate));
    EXPECT_NEAR(read("first.png").width, 920 / 8, 2);
    // Below the panel's numbers nothing tells that there was a canvas.
    const Image before = read("before.png"), after = read("after.png");
    ASSERT_EQ(before.pixels.size(), after.pixels.size());
    for (std::uint32_t y = 0; y < 600; ++y) {
        const auto row = static_cast<std::ptrdiff_t>((y * before.width + 400) * 3);
        ASSERT_TRUE(std::equal(before.pixels.begin() + row, before.pixels.begin() + row + 2400,
                               after.pixels.begin() + row))
            << "row " << y;
    }
    EXPECT_EQ(read("last.png").width, 64U);
    EXPECT_THAT(colours(read("last.png")), testing::ElementsAre(kSlate));
}

TEST_F(CanvasViewTest, KeysWheelAndDragMoveIt) {
    const auto ran = run(R"([
        {"set": {"steps": 1}}, {"key": "e"}, {"wait_frames": 2},
        {"wheel": [820, 300, 4]}, {"drag": [[820, 300], [700, 300], [620, 340]]},
        {"wait_frames": 2}])");
    if (!app_) return;
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    const CanvasView &canvas = app_->canvas();
    EXPECT_TRUE(canvas.is_on());
    EXPECT_FLOAT_EQ(canvas.transform().scale(), 4);
    // The picture is larger than the view, and the view lies in it.
    const Point low = canvas.transform().to_picture({360, 0});
    const Point high = canvas.transform().to_picture({1280, 600});
    EXPECT_TRUE(low.x >= 0 && low.y >= 0);
    EXPECT_LE(high.x, static_cast<float>(canvas.picture()->width));
    EXPECT_LE(high.y, static_cast<float>(canvas.picture()->height));
}

TEST_F(CanvasViewTest, CancelPausesAndPlayGoesOn) {
    const auto ran = run(R"([
        {"set": {"steps": 2}}, {"canvas": true}, {"wheel": [820, 300, 8]}, {"wait_frames": 20}, "cancel",
        {"wait_frames": 10}, "play", "wait_canvas"])");
    if (!app_) return;
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    EXPECT_TRUE(app_->canvas().is_complete());
    EXPECT_EQ(app_->control().job(), 0U) << "no ordinary run";
}

TEST_F(CanvasViewTest, FailuresStopItAndAreTold) {
    const auto ran = run(R"([{"set": {"fail_at": 1}}, {"canvas": true}, "wait_canvas"])");
    if (!app_) return;
    ASSERT_FALSE(ran.ok());
    EXPECT_THAT(ran.error().message, HasSubstr("the canvas stopped at 0 of"));
    EXPECT_THAT(ran.error().message, HasSubstr("told to fail"));
    close();
    EXPECT_THAT(run(R"(["wait_canvas"])").error().message, HasSubstr("canvas is off"));
    const auto script = parse_script(R"([{"canvas": 1}])", "test.json");
    EXPECT_THAT(script.error().message, HasSubstr("expected true or false"));
}

} // namespace
} // namespace tessera
