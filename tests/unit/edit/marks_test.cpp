// Marks on tokens, pictures fitted to a slot, and the folder of presets.
#include "assets/image_resize.hpp"
#include "host/edit/preset_shelf.hpp"
#include "host/edit/token_marks.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>

namespace tessera {
namespace {

std::string text_of(const TokenMarks &marks) {
    std::string text;
    for (std::uint32_t row = 0; row < marks.rows(); ++row) {
        for (std::uint32_t column = 0; column < marks.columns(); ++column) {
            const Mark mark = marks.at(column, row);
            text += mark == Mark::kNone ? '.' : mark == Mark::kLocked ? 'L' : 'r';
        }
        text += ' ';
    }
    return text;
}

TEST(TokenMarks, ABrushLeavesNoGaps) {
    TokenMarks marks(5, 4);
    marks.paint({0.5F, 0.5F}, {4.5F, 3.5F}, 1, Mark::kRegenerate);
    for (std::uint32_t column = 0; column < 5; ++column) {
        bool any = false;
        for (std::uint32_t row = 0; row < 4; ++row) {
            any = any || marks.at(column, row) == Mark::kRegenerate;
        }
        EXPECT_TRUE(any) << column;
    }
    EXPECT_EQ(marks.at(4, 0), Mark::kNone);
    EXPECT_EQ(marks.at(-1, 0), Mark::kNone);
}

TEST(TokenMarks, TheBrushHasASize) {
    TokenMarks marks(5, 4);
    marks.paint({2.5F, 1.5F}, {2.5F, 1.5F}, 3, Mark::kRegenerate);
    EXPECT_EQ(text_of(marks), ".rrr. .rrr. .rrr. ..... ");
    marks = TokenMarks(5, 4);
    marks.paint({0.1F, 0.1F}, {0.1F, 0.1F}, 3, Mark::kRegenerate);
    EXPECT_EQ(text_of(marks), "rr... rr... ..... ..... ") << "cut at the edge";
    marks.paint({-50, -50}, {-40, 1e9F}, 3, Mark::kRegenerate);
    EXPECT_EQ(text_of(marks), "rr... rr... ..... ..... ");
}

TEST(TokenMarks, RectanglesTakeEveryTokenTheyTouch) {
    TokenMarks marks(5, 4);
    marks.paint_rectangle({3.2F, 2.9F}, {1.9F, 1.0F}, Mark::kRegenerate);
    EXPECT_EQ(text_of(marks), "..... .rrr. .rrr. ..... ");
}

TEST(TokenMarks, LockedTokensAreOnlyErased) {
    TokenMarks marks(5, 4);
    marks.paint_rectangle({0, 0}, {1.5F, 0.5F}, Mark::kLocked);
    marks.paint_rectangle({0, 0}, {4.5F, 0.5F}, Mark::kRegenerate);
    EXPECT_EQ(text_of(marks), "LLrrr ..... ..... ..... ");
    marks.paint_rectangle({2.5F, 0}, {2.5F, 0}, Mark::kLocked);
    marks.paint_rectangle({0, 0}, {0, 0}, Mark::kNone);
    EXPECT_EQ(text_of(marks), ".LLrr ..... ..... ..... ");
}

TEST(TokenMarks, WantedAreTheMarkedOrAllThatAreNotLocked) {
    TokenMarks marks(2, 2);
    EXPECT_TRUE(marks.empty());
    EXPECT_THAT(marks.wanted(), testing::ElementsAre(1, 1, 1, 1));
    marks.paint({0, 0}, {0, 0}, 1, Mark::kLocked);
    EXPECT_THAT(marks.wanted(), testing::ElementsAre(0, 1, 1, 1));
    marks.paint({1, 1}, {1, 1}, 1, Mark::kRegenerate);
    EXPECT_THAT(marks.wanted(), testing::ElementsAre(0, 0, 0, 1));
}

Image grey(std::uint32_t width, std::uint32_t height, auto level) {
    Image image{width, height, 4, std::vector<std::uint8_t>(std::size_t{width} * height * 4, 255)};
    std::uint8_t *pixel = image.pixels.data();
    for (std::uint32_t y = 0; y < height; ++y) {
        for (std::uint32_t x = 0; x < width; ++x) {
            std::fill(pixel, pixel + 3, static_cast<std::uint8_t>(level(x, y)));
            pixel += 4;
        }
    }
    return image;
}

TEST(FitImage, TheSameSizeIsTheSamePicture) {
    const Image image = grey(16, 16, [](auto x, auto y) { return x + 16 * y; });
    const auto fitted = fit_image(image, 16, 16);
    ASSERT_TRUE(fitted.ok());
    EXPECT_EQ(fitted->pixels, image.pixels);
}

TEST(FitImage, AveragesLight) {
    // Black and white in turn: half the light, encoded 188.
    const auto fitted = fit_image(grey(64, 64, [](auto x, auto) { return x % 2 * 255; }), 32, 32);
    ASSERT_TRUE(fitted.ok());
    for (std::size_t i = 0; i < fitted->pixels.size(); ++i) {
        ASSERT_EQ(fitted->pixels[i], i % 4 == 3 ? 255 : 188);
    }
    // Sizes that divide nothing: the light stays what it was.
    const auto odd = fit_image(grey(100, 100, [](auto, auto) { return 90; }), 37, 37);
    ASSERT_TRUE(odd.ok());
    EXPECT_EQ(odd->pixels[0], 90);
    EXPECT_EQ(odd->pixels[odd->pixels.size() - 2], 90);
}

TEST(FitImage, CutsTheMiddleOut) {
    const Image wide = grey(30, 10, [](auto x, auto) { return x < 10 ? 0 : x < 20 ? 100 : 200; });
    const auto fitted = fit_image(wide, 5, 5);
    ASSERT_TRUE(fitted.ok());
    for (std::size_t i = 0; i < fitted->pixels.size(); i += 4) EXPECT_EQ(fitted->pixels[i], 100);
    const Image tall = grey(10, 30, [](auto, auto y) { return y < 10 ? 0 : y < 20 ? 100 : 200; });
    EXPECT_EQ(fit_image(tall, 5, 5)->pixels[0], 100);
}

TEST(FitImage, EnlargesSmoothly) {
    const auto fitted = fit_image(grey(2, 2, [](auto x, auto) { return x * 200; }), 16, 16);
    ASSERT_TRUE(fitted.ok());
    int before = -1;
    for (std::size_t x = 0; x < 16; ++x) {
        const int now = fitted->pixels[x * 4];
        EXPECT_GE(now, before);
        before = now;
    }
    EXPECT_EQ(fitted->pixels[0], 0);
    EXPECT_EQ(before, 200);
    EXPECT_TRUE(fit_image(grey(1, 1, [](auto, auto) { return 7; }), 9, 4).ok());
}

TEST(FitImage, RefusesWhatIsNoPicture) {
    EXPECT_FALSE(fit_image({0, 0, 4, {}}, 8, 8).ok());
    EXPECT_FALSE(fit_image(grey(2, 2, [](auto, auto) { return 1; }), 0, 8).ok());
    EXPECT_FALSE(fit_image({1, 1, 1, {9}}, 8, 8).ok());
}

TEST(PresetShelf, KeepsPresetsByName) {
    const auto folder = std::filesystem::path(testing::TempDir()) / "tessera_preset_shelf";
    std::filesystem::remove_all(folder);
    PresetShelf shelf(folder / "deep");
    EXPECT_TRUE(shelf.names().empty());
    ASSERT_TRUE(shelf.save("mossy stone", {"org.example", "", 7, R"({"steps": 3})"}).ok());
    ASSERT_TRUE(shelf.save("bricks", {"org.example", "", 8, "{}"}).ok());
    std::ofstream(folder / "deep" / "notes.txt") << "no preset";
    shelf.refresh();
    EXPECT_THAT(shelf.names(), testing::ElementsAre("bricks", "mossy stone"));
    const auto loaded = load_preset(shelf.path_of("mossy stone"));
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    EXPECT_EQ(loaded->seed, 7U);
    for (const char *bad : {"", "../x", ".hidden", "a/b", "line\nbreak"}) {
        const auto saved = shelf.save(bad, {"org.example", "", 1, "{}"});
        ASSERT_FALSE(saved.ok()) << bad;
        EXPECT_THAT(saved.error().message, testing::HasSubstr("no name for a preset"));
    }
    std::filesystem::remove_all(folder);
    EXPECT_FALSE(PresetShelf("/dev/null/x").save("a", {"org.example", "", 1, "{}"}).ok());
}

} // namespace
} // namespace tessera
