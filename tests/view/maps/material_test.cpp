// Material maps in the window: shown in the picture's place while generation goes on, changed by
// script and keyboard, exported.
#include "tests/view/script_fixture.hpp"

#include <gmock/gmock.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>

namespace tessera {
namespace {

using testing::HasSubstr;
using Pixel = std::array<int, 3>;

class MaterialInWindow : public ScriptFixture {
  protected:
    MaterialInWindow() { fps_ = 60; } // an uncapped loop leaves a thread of low priority little

    // Of the window's picture, where this pixel of the texture is.
    Pixel shown_at(const Image &window, float x, float y) {
        const Point screen = app_->transform().to_screen({x, y});
        const auto column = static_cast<std::size_t>(std::lround(screen.x));
        const auto row = static_cast<std::size_t>(std::lround(screen.y));
        const std::uint8_t *pixel = window.pixels.data() + (row * window.width + column) * 4;
        return {pixel[0], pixel[1], pixel[2]};
    }
};

// After 2 of 4 steps the upper half is painted: a step down or up in the middle.
constexpr const char *kHalf = R"([{"set": {"colour": "moss", "steps": 4}}, "play", "wait_done",
    {"show_step": 2}, {"key": "s"}, )";

TEST_F(MaterialInWindow, MapsAreShownInThePicturesPlace) {
    const auto ran =
        run(std::string(kHalf) + R"({"material": {"map": "normal"}}, {"save_view": "@n.png"}])");
    if (!app_) return;
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    const auto window = read_image(folder_.path() / "n.png", 4);
    ASSERT_TRUE(window.ok()) << window.error().message;
    const Pixel flat = shown_at(*window, 32.5F, 16.5F);
    EXPECT_NEAR(flat[0], 128, 2);
    EXPECT_GT(flat[2], 240);
    const Pixel edge = shown_at(*window, 32.5F, 31.5F);
    EXPECT_GT(std::abs(edge[1] - 128), 25) << "the step leans up or down";
    EXPECT_NEAR(edge[0], 128, 2);
    EXPECT_EQ(app_->view().info()->step, 2U);
}

TEST_F(MaterialInWindow, KeysGoThroughTheMapsAndBackToThePicture) {
    const auto ran = run(std::string(kHalf) + R"({"key": "d"}, {"save_view": "@h.png"},
        {"key": "d"}, {"key": "d"}, {"key": "d"}, {"key": "d"}, {"key": "d"},
        {"save_view": "@l.png"}, {"key": "d"}, {"wait_frames": 2}, {"save_view": "@c.png"}])");
    if (!app_) return;
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    EXPECT_EQ(app_->panel().material.map, MaterialMap::kColour);
    const auto height = read_image(folder_.path() / "h.png", 4);
    const auto latents = read_image(folder_.path() / "l.png", 4);
    const auto colour = read_image(folder_.path() / "c.png", 4);
    ASSERT_TRUE(height.ok() && latents.ok() && colour.ok());
    EXPECT_EQ(shown_at(*colour, 32.5F, 16.5F), (Pixel{40, 160, 60}));
    const Pixel grey = shown_at(*height, 32.5F, 16.5F);
    EXPECT_EQ(grey[0], grey[1]);
    EXPECT_NE(grey[0], shown_at(*height, 32.5F, 48.5F)[0]) << "one half is higher";
    // Latents that differ from row to row only: all of the spectrum is in the middle column.
    const Pixel outside = shown_at(*latents, 12.5F, 28.5F);
    const Pixel within = shown_at(*latents, 36.5F, 28.5F);
    EXPECT_LT(outside[0], within[0]);
}

TEST_F(MaterialInWindow, FollowsARunToItsEnd) {
    const auto ran = run(R"([{"set": {"steps": 40}}, {"material": {"map": "spectrum"}}, "play",
        {"wait_steps": 10}, {"wait_frames": 5}, "wait_done", {"save_view": "@end.png"}])");
    if (!app_) return;
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    EXPECT_EQ(app_->view().info()->step, 40U);
    EXPECT_TRUE(app_->has_wanted_map());
    app_->panel().material.map = MaterialMap::kColour;
    show_frames(2);
    const Image window = capture();
    EXPECT_EQ(shown_at(window, 32.5F, 16.5F), (Pixel{200, 40, 30})) << "live again";
}

TEST_F(MaterialInWindow, SeamlessAndSettingsChangeWhatIsShownAndExported) {
    const auto ran = run(std::string(kHalf) + R"({"export": "@plain"},
        {"material": {"seamless": true, "height_strength": -1.5, "metallic": 1}},
        {"export": "@seamless"}, {"save_view": "@s.png"}])");
    if (!app_) return;
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    EXPECT_THAT(app_->material().export_report(), HasSubstr("8 files in "));
    const auto pixels = [&](const char *folder, std::string_view map) {
        std::filesystem::path file; // named by generator and seed
        for (const auto &entry : std::filesystem::directory_iterator(folder_.path() / folder)) {
            if (entry.path().string().ends_with(map)) file = entry.path();
        }
        const auto image = read_image(file, 3);
        EXPECT_TRUE(image.ok()) << image.error().message;
        return image.ok() ? image->pixels : std::vector<std::uint8_t>(64 * 64 * 3);
    };
    const auto plain = pixels("plain", "_albedo.png");
    const auto seamless = pixels("seamless", "_albedo.png");
    const auto green = [](const std::vector<std::uint8_t> &rgb, std::size_t row) {
        return static_cast<int>(rgb[row * 64 * 3 + 1]);
    };
    EXPECT_EQ(green(plain, 0), 160);
    EXPECT_GT(std::abs(green(plain, 0) - green(plain, 63)), 60);
    EXPECT_LT(std::abs(green(seamless, 0) - green(seamless, 63)), 10) << "the edges meet";
    EXPECT_EQ(pixels("seamless", "_orm.png")[2], 255);
    const auto window = read_image(folder_.path() / "s.png", 4);
    ASSERT_TRUE(window.ok());
    EXPECT_NEAR(shown_at(*window, 32.5F, 0.5F)[1], green(seamless, 0), 1);
}

TEST_F(MaterialInWindow, MistakesAreNamedWithTheirLine) {
    const auto unknown = run(R"([{"material": {"map": "gloss"}}])");
    if (!app_) return;
    ASSERT_FALSE(unknown.ok());
    EXPECT_THAT(unknown.error().message,
                HasSubstr("line 1: action 1 (material): material: map = 'gloss'; expected one of "
                          "colour, height"));
    close();
    const auto early = run(R"([{"export": "@m"}])");
    ASSERT_FALSE(early.ok());
    EXPECT_THAT(early.error().message, HasSubstr("(export): there is no picture yet"));
    close();
    std::ofstream(folder_.path() / "taken") << "a file";
    const auto blocked = run(R"(["play", "wait_done", {"export": "@taken"}])");
    ASSERT_FALSE(blocked.ok());
    EXPECT_THAT(blocked.error().message, HasSubstr("taken: cannot make this folder"));
}

TEST(MaterialPictures, ShowWhatTheMapsHold) {
    MaterialMaps maps{2, 1, {10, 20, 30, 255, 40, 50, 60, 128}, {0.25F, 1}, {}, {}, {}, {}};
    maps.normals = {128, 200, 255, 255, 100, 128, 240, 255};
    using Bytes = std::vector<std::uint8_t>;
    EXPECT_EQ(picture_of(maps, MaterialMap::kHeight).pixels,
              (Bytes{64, 64, 64, 255, 255, 255, 255, 255}));
    EXPECT_EQ(picture_of(maps, MaterialMap::kNormal).pixels, maps.normals);
    EXPECT_EQ(picture_of(maps, MaterialMap::kColour).pixels, maps.colour);
    const std::vector<float> decibels{-90, -80, -60, -40, -5, -60, -60, -60, -60, -60, -60, -60};
    const Image spectrum = picture_of_spectrum(decibels, 4, 3);
    EXPECT_EQ(spectrum.pixels[3 * 4], 255) << "the loudest but the mean";
    EXPECT_EQ(spectrum.pixels[4 * 4], 255);
    EXPECT_EQ(spectrum.pixels[0], 0);
}

} // namespace
} // namespace tessera
