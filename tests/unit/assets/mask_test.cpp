// Masks as people make them, and pictures of other sizes.
#include "assets/image_resize.hpp"
#include "assets/mask.hpp"
#include "tests/unit/assets/made_pictures.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <png.h>

namespace tessera {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using Bytes = std::vector<std::uint8_t>;

Mask mask_of(const std::string &file) {
    const test::TemporaryFolder folder;
    auto mask = read_mask(folder.write("mask", file));
    EXPECT_TRUE(mask) << mask.error().message;
    return mask ? std::move(*mask) : Mask();
}

TEST(Masks, GreyIsCutAtOneHalf) {
    const Mask mask = mask_of(test::make_png({.width = 6, .rows = {0, 1, 127, 128, 200, 255}}));
    EXPECT_THAT(mask.image.pixels, ElementsAre(0, 0, 0, 255, 255, 255));
    EXPECT_EQ(describe_selection(mask), "");
}

TEST(Masks, TheBlackOfAJpegIsBlack) {
    test::JpegSpec spec{.width = 32, .height = 32, .channels = 1};
    for (int i = 0; i < 32 * 32; ++i) { // nearly black, with a white block
        const bool is_hole = i % 32 >= 16 && i / 32 >= 16;
        spec.pixels.push_back(is_hole ? 255 : static_cast<std::uint8_t>(i % 3));
    }
    const Mask mask = mask_of(test::make_jpeg(spec));
    EXPECT_EQ(std::count(mask.image.pixels.begin(), mask.image.pixels.end(), 255), 256);
    EXPECT_EQ(mask.image.pixels.front(), 0);
}

TEST(Masks, ATransparentPartIsTheHole) {
    // A photograph with a part rubbed out, whatever colour is left under it.
    const test::PngSpec spec{
        .width = 4,
        .colour_type = PNG_COLOR_TYPE_RGBA,
        .rows = {255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 0, 9, 9, 9, 255}};
    const Mask mask = mask_of(test::make_png(spec));
    EXPECT_THAT(mask.image.pixels, ElementsAre(0, 255, 255, 0));
    EXPECT_THAT(describe_selection(mask), HasSubstr("transparent part is made again"));
    const test::PngSpec black{
        .width = 2, .colour_type = PNG_COLOR_TYPE_GRAY_ALPHA, .rows = {0, 255, 0, 0}};
    EXPECT_EQ(describe_selection(mask_of(test::make_png(black))), "");
}

TEST(Masks, ThatSelectNothingOrEverythingSaySo) {
    // A map of class numbers is nearly black.
    const Mask numbers = mask_of(test::make_png({.width = 3, .rows = {0, 1, 2}}));
    EXPECT_THAT(numbers.image.pixels, Each(0));
    EXPECT_THAT(describe_selection(numbers), HasSubstr("selects nothing: its lightest grey is 2"));
    const Mask light = mask_of(test::make_png({.width = 2, .rows = {200, 255}}));
    EXPECT_THAT(describe_selection(light),
                HasSubstr("selects everything: its darkest grey is 200"));
    const test::PngSpec clear{.colour_type = PNG_COLOR_TYPE_GRAY_ALPHA, .rows = {5, 0}};
    EXPECT_THAT(describe_selection(mask_of(test::make_png(clear))),
                HasSubstr("selects everything: all of it is transparent"));
}

TEST(Masks, ShapesAgreeUpToAPixel) {
    EXPECT_TRUE(have_same_shape(512, 512, 256, 256));
    EXPECT_TRUE(have_same_shape(1000, 667, 300, 200));
    EXPECT_TRUE(have_same_shape(16384, 16384, 1, 1));
    EXPECT_FALSE(have_same_shape(4, 8, 8, 8));
    EXPECT_FALSE(have_same_shape(640, 480, 256, 256));
    EXPECT_FALSE(have_same_shape(270, 256, 256, 256));
}

TEST(Masks, AreResizedByWhatMostOfAPixelIs) {
    const Image mask{4, 2, 1, {255, 255, 0, 0, 255, 0, 0, 255}};
    const auto half = resize_mask(mask, 2, 1);
    ASSERT_TRUE(half);
    EXPECT_THAT(half->pixels, ElementsAre(255, 0));
    const auto large = resize_mask(mask, 8, 4);
    ASSERT_TRUE(large);
    EXPECT_EQ(large->pixels.front(), 255);
    EXPECT_THAT(large->pixels, Each(testing::AnyOf(0, 255)));
    EXPECT_FALSE(resize_mask(mask, 0, 1));
}

TEST(FittedPictures, ColoursUnderTransparentPartsDoNotShow) {
    // Half red and opaque, half green and transparent.
    const auto fitted =
        fit_image({2, 2, 4, {200, 0, 0, 255, 0, 255, 0, 0, 200, 0, 0, 255, 0, 255, 0, 0}}, 1, 1);
    ASSERT_TRUE(fitted);
    EXPECT_NEAR(fitted->pixels[0], 200, 2);
    EXPECT_NEAR(fitted->pixels[1], 0, 2);
    EXPECT_NEAR(fitted->pixels[3], 128, 1);
}

} // namespace
} // namespace tessera
