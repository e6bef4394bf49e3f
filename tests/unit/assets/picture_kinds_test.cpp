// Pictures as people have them: each kind is read as an image viewer shows it, or named.
#include "assets/image_file.hpp"
#include "tests/unit/assets/made_pictures.hpp"
#include "tests/unit/assets/safetensors_bytes.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <png.h>

namespace tessera {
namespace {

using test::JpegSpec;
using test::make_exif;
using test::make_jpeg;
using test::make_png;
using test::PngSpec;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;
using Bytes = std::vector<std::uint8_t>;

Bytes pixels_of(const std::string &file, std::uint32_t channels) {
    const auto image = decode_image(test::bytes_of(file), channels);
    EXPECT_TRUE(image) << image.error().message;
    return image ? image->pixels : Bytes();
}

std::string error_of(const std::string &file) {
    const auto image = decode_image(test::bytes_of(file), 4);
    return image ? "" : image.error().message;
}

void expect_near(const Bytes &pixels, const std::vector<int> &expected, int slack) {
    ASSERT_EQ(pixels.size(), expected.size());
    for (std::size_t i = 0; i < pixels.size(); ++i) EXPECT_NEAR(pixels[i], expected[i], slack) << i;
}

// ---- PNG ----------------------------------------------------------------------------------------

TEST(PngKinds, SixteenBitsWithoutColourChunksAreSrgb) {
    const PngSpec grey{.width = 3, .bits = 16, .rows = {0, 0, 178, 178, 255, 255}};
    EXPECT_THAT(pixels_of(make_png(grey), 1), ElementsAre(0, 178, 255));
    const PngSpec rgb{
        .bits = 16, .colour_type = PNG_COLOR_TYPE_RGB, .rows = {10, 10, 127, 255, 200, 0}};
    EXPECT_THAT(pixels_of(make_png(rgb), 3), ElementsAre(10, 127, 199)) << "scaled, not cut off";
}

TEST(PngKinds, GreyOfFewBitsSpansTheWholeRange) {
    EXPECT_THAT(pixels_of(make_png({.width = 8, .bits = 1, .rows = {0b01010011}}), 1),
                ElementsAre(0, 255, 0, 255, 0, 0, 255, 255));
    EXPECT_THAT(pixels_of(make_png({.width = 4, .bits = 2, .rows = {0b00011011}}), 1),
                ElementsAre(0, 85, 170, 255));
    EXPECT_THAT(pixels_of(make_png({.width = 2, .bits = 4, .rows = {0x3f}}), 3),
                ElementsAre(51, 51, 51, 255, 255, 255));
}

TEST(PngKinds, GreyWithAlpha) {
    const PngSpec spec{
        .width = 2, .colour_type = PNG_COLOR_TYPE_GRAY_ALPHA, .rows = {200, 128, 100, 255}};
    EXPECT_THAT(pixels_of(make_png(spec), 4), ElementsAre(200, 200, 200, 128, 100, 100, 100, 255));
    EXPECT_THAT(pixels_of(make_png(spec), 1), ElementsAre(100, 100)) << "over black";
}

TEST(PngKinds, PalettesAndTheirTransparency) {
    PngSpec spec{.width = 4,
                 .bits = 2,
                 .colour_type = PNG_COLOR_TYPE_PALETTE,
                 .rows = {0b00011011},
                 .palette = {255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7}};
    EXPECT_THAT(pixels_of(make_png(spec), 3),
                ElementsAre(255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7));
    spec.palette_alpha = {0, 128};
    EXPECT_THAT(pixels_of(make_png(spec), 4),
                ElementsAre(255, 0, 0, 0, 0, 255, 0, 128, 0, 0, 255, 255, 9, 8, 7, 255));
}

TEST(PngKinds, OneGreyThatIsTransparent) {
    const PngSpec spec{.width = 3, .rows = {7, 8, 7}, .transparent_grey = 7};
    EXPECT_THAT(pixels_of(make_png(spec), 4), ElementsAre(7, 7, 7, 0, 8, 8, 8, 255, 7, 7, 7, 0));
}

TEST(PngKinds, InterlacedIsTheSamePicture) {
    PngSpec spec{.width = 13, .height = 11, .colour_type = PNG_COLOR_TYPE_RGB};
    for (int i = 0; i < 13 * 11 * 3; ++i) spec.rows.push_back(static_cast<std::uint8_t>(i * 5));
    spec.interlaced = true;
    EXPECT_THAT(pixels_of(make_png(spec), 3), ElementsAreArray(spec.rows));
}

TEST(PngKinds, TheGammaOfAScreenChangesNothing) {
    PngSpec spec{.width = 4, .rows = {0, 20, 100, 255}, .gamma = 0.45455};
    EXPECT_THAT(pixels_of(make_png(spec), 1), ElementsAre(0, 20, 100, 255));
    spec.srgb = true;
    EXPECT_THAT(pixels_of(make_png(spec), 1), ElementsAre(0, 20, 100, 255));
}

TEST(PngKinds, OtherGammasAreShownAsTheyMean) {
    const std::vector<int> light{test::encoded(0), test::encoded(20 / 255.0),
                                 test::encoded(100 / 255.0), 255};
    PngSpec spec{.width = 4, .rows = {0, 20, 100, 255}, .gamma = 1.0};
    expect_near(pixels_of(make_png(spec), 1), light, 1);
    // Darks of linear light need the 16 bits that they have.
    const PngSpec wide{.width = 2, .bits = 16, .rows = {0, 128, 1, 0}, .gamma = 1.0};
    expect_near(pixels_of(make_png(wide), 1),
                {test::encoded(128 / 65535.0), test::encoded(256 / 65535.0)}, 1);
    spec.gamma = 1 / 1.8; // an old Macintosh
    expect_near(pixels_of(make_png(spec), 1),
                {0, test::encoded(std::pow(20 / 255.0, 1.8)),
                 test::encoded(std::pow(100 / 255.0, 1.8)), 255},
                1);
}

TEST(PngKinds, WiderPrimariesAreMoreColourful) {
    const PngSpec adobe{.width = 2,
                        .colour_type = PNG_COLOR_TYPE_RGB,
                        .rows = {100, 150, 100, 128, 128, 128},
                        .chromaticities = {0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06}};
    const Bytes pixels = pixels_of(make_png(adobe), 3);
    EXPECT_LT(pixels[0], 90);
    EXPECT_GE(pixels[1], 149);
    expect_near({pixels[3], pixels[4], pixels[5]}, {128, 128, 128}, 1);
}

TEST(PngKinds, ProfilesAreApplied) {
    PngSpec spec{.width = 2,
                 .colour_type = PNG_COLOR_TYPE_RGBA,
                 .rows = {20, 100, 200, 77, 1, 2, 3, 255},
                 .profile = test::srgb_profile()};
    EXPECT_THAT(pixels_of(make_png(spec), 4), ElementsAreArray(spec.rows)) << "to the byte";
    spec.profile = test::linear_profile();
    expect_near(pixels_of(make_png(spec), 4),
                {test::encoded(20 / 255.0), test::encoded(100 / 255.0), test::encoded(200 / 255.0),
                 77, test::encoded(1 / 255.0), test::encoded(2 / 255.0), test::encoded(3 / 255.0),
                 255},
                1);
    PngSpec grey{.width = 1, .rows = {100}, .profile = test::grey_linear_profile()};
    expect_near(pixels_of(make_png(grey), 1), {test::encoded(100 / 255.0)}, 1);
}

TEST(PngKinds, CodedColoursRuleAllOthers) {
    const auto with = [](std::vector<std::uint8_t> codes) {
        return PngSpec{.width = 2,
                       .colour_type = PNG_COLOR_TYPE_RGB,
                       .rows = {100, 150, 100, 128, 128, 128},
                       .gamma = 1.0,
                       .coded_colours = std::move(codes)};
    };
    EXPECT_THAT(pixels_of(make_png(with({1, 13, 0, 1})), 3), ElementsAreArray(with({}).rows))
        << "sRGB, whatever gAMA says";
    const auto linear = [](int value) { return test::encoded(value / 255.0); };
    expect_near(pixels_of(make_png(with({1, 8, 0, 1})), 3),
                {linear(100), linear(150), linear(100), linear(128), linear(128), linear(128)}, 1);
    const Bytes display = pixels_of(make_png(with({12, 13, 0, 1})), 3);
    EXPECT_LT(display[0], 90) << "P3 is wider";
    expect_near({display[3], display[4], display[5]}, {128, 128, 128}, 1);
    const Bytes video = pixels_of(make_png(with({1, 1, 0, 1})), 3);
    const double light = std::pow((128 / 255.0 + 0.099) / 1.099, 1 / 0.45);
    expect_near({video[3], video[4], video[5]},
                {test::encoded(light), test::encoded(light), test::encoded(light)}, 1);
    EXPECT_THAT(error_of(make_png(with({9, 16, 0, 1}))), HasSubstr("high dynamic range"));
    EXPECT_THAT(error_of(make_png(with({9, 18, 0, 1}))), HasSubstr("save it again"));
    EXPECT_THAT(error_of(make_png(with({1, 13, 1, 0}))), HasSubstr("numbers of a video"));
    EXPECT_THAT(error_of(make_png(with({77, 13, 0, 1}))), HasSubstr("primaries of code 77"));
    EXPECT_THAT(error_of(make_png(with({1, 99, 0, 1}))), HasSubstr("transfer of code 99"));
    EXPECT_THAT(error_of(make_png(with({1}))), HasSubstr("four codes"));
}

TEST(PngKinds, SeveralPicturesInOneAreNamed) {
    PngSpec spec{.width = 1, .rows = {9}, .animation = 2};
    EXPECT_THAT(error_of(make_png(spec)), HasSubstr("an animated PNG; save the picture"));
    spec.animation = 1;
    EXPECT_THAT(pixels_of(make_png(spec), 1), ElementsAre(9));
}

TEST(PngKinds, AFileWithoutItsEndIsReadWhenAllRowsAreThere) {
    const std::string png = make_png({.width = 3, .rows = {1, 2, 3}});
    EXPECT_THAT(pixels_of(png.substr(0, png.size() - 12), 1), ElementsAre(1, 2, 3));
    EXPECT_THAT(error_of(png.substr(0, png.size() - 22)), HasSubstr("ends too early"));
}

// ---- JPEG ---------------------------------------------------------------------------------------

// Smooth enough for a JPEG to keep.
JpegSpec ramp(std::uint32_t side, bool progressive) {
    JpegSpec spec{.width = side, .height = side, .progressive = progressive};
    for (std::uint32_t i = 0; i < side * side; ++i) {
        const auto x = static_cast<std::uint8_t>(i % side * 2);
        const auto y = static_cast<std::uint8_t>(i / side * 2);
        spec.pixels.insert(spec.pixels.end(), {x, y, static_cast<std::uint8_t>(255 - x)});
    }
    return spec;
}

TEST(JpegKinds, StrayBytesDoNoHarm) {
    for (const bool progressive : {false, true}) {
        const std::string jpeg = make_jpeg(ramp(64, progressive));
        const Bytes whole = pixels_of(jpeg, 3);
        const std::size_t table = jpeg.find("\xff\xc4");
        ASSERT_NE(table, std::string::npos);
        std::string stray = jpeg;
        stray.insert(table, "stray");
        EXPECT_EQ(pixels_of(stray, 3), whole) << "before a marker";
        EXPECT_EQ(pixels_of(jpeg + std::string(1000, '\0'), 3), whole) << "behind the end";
        stray = jpeg;
        stray.insert(stray.size() - 2, "stray");
        EXPECT_EQ(pixels_of(stray, 3), whole) << "before the end";
        EXPECT_EQ(pixels_of(jpeg.substr(0, jpeg.size() - 2), 3), whole) << "without the end";
    }
}

TEST(JpegKinds, ATruncatedOneIsAnError) {
    for (const bool progressive : {false, true}) {
        const std::string jpeg = make_jpeg(ramp(64, progressive));
        for (std::size_t size = jpeg.size() / 10; size + 8 < jpeg.size(); size += jpeg.size() / 9) {
            EXPECT_THAT(error_of(jpeg.substr(0, size)), HasSubstr("not a readable JPEG"))
                << size << " of " << jpeg.size() << (progressive ? ", progressive" : "");
        }
    }
    // Between two scans nothing is missing but the scans that follow.
    const std::string jpeg = make_jpeg(ramp(64, true));
    for (std::size_t at = jpeg.find("\xff\xda", jpeg.find("\xff\xda") + 2); at != std::string::npos;
         at = jpeg.find("\xff\xda", at + 2)) {
        EXPECT_THAT(error_of(jpeg.substr(0, at)), HasSubstr("ends too early")) << at;
    }
}

// Each colour in a scan of its own, as some cameras and `jpegtran -scans` write them.
TEST(JpegKinds, ScansOfOneColourEachAreAllNeeded) {
    JpegSpec spec = ramp(64, false);
    const Bytes together = pixels_of(make_jpeg(spec), 3);
    spec.separate_scans = true;
    const std::string jpeg = make_jpeg(spec);
    EXPECT_EQ(pixels_of(jpeg, 3), together);
    EXPECT_EQ(pixels_of(jpeg.substr(0, jpeg.size() - 2), 3), together) << "without the end";
    std::size_t scans = 0;
    for (std::size_t at = jpeg.find("\xff\xda"); at != std::string::npos;
         at = jpeg.find("\xff\xda", at + 2), ++scans) {
        if (scans == 0) continue;
        EXPECT_THAT(error_of(jpeg.substr(0, at)), HasSubstr("ends too early")) << at;
        EXPECT_THAT(error_of(jpeg.substr(0, at) + "\xff\xd9"), HasSubstr("ends too early"))
            << "an end marker makes no colour of it";
    }
    EXPECT_EQ(scans, 3U);
}

TEST(JpegKinds, DamagedDataAreAnError) {
    std::string jpeg = make_jpeg(ramp(64, false));
    const std::size_t scan = jpeg.find("\xff\xda");
    const std::size_t at = scan + (jpeg.size() - scan) / 2;
    jpeg.replace(at, 6, "\xff\xd0\xff\xd7\xff\xd3"); // restarts where there are none
    EXPECT_THAT(error_of(jpeg), HasSubstr("not a readable JPEG"));
}

TEST(JpegKinds, CmykIsConverted) {
    // Adobe's programs write ink upside down: 0 is full.
    JpegSpec spec{.width = 8, .height = 8, .channels = 4};
    for (int i = 0; i < 64; ++i) spec.pixels.insert(spec.pixels.end(), {0, 255, 255, 255});
    const Bytes cyan = pixels_of(make_jpeg(spec), 3);
    expect_near({cyan[0], cyan[1], cyan[2]}, {0, 255, 255}, 3);
    spec.pixels.assign(256, 255);
    const Bytes white = pixels_of(make_jpeg(spec), 4);
    expect_near({white[0], white[1], white[2], white[3]}, {255, 255, 255, 255}, 3);
}

TEST(JpegKinds, GreyAndProfiles) {
    JpegSpec grey{.channels = 1, .pixels = Bytes(64, 100)};
    expect_near({pixels_of(make_jpeg(grey), 1)[0]}, {100}, 1);
    grey.profile = test::grey_linear_profile();
    expect_near({pixels_of(make_jpeg(grey), 1)[0]}, {test::encoded(100 / 255.0)}, 1);
    JpegSpec colour{.pixels = Bytes(192, 100), .profile = test::linear_profile()};
    expect_near({pixels_of(make_jpeg(colour), 3)[0]}, {test::encoded(100 / 255.0)}, 2);
}

// ---- orientation --------------------------------------------------------------------------------

// Corners of the file's picture: 1 2 above, 3 4 below; what an upright picture shows top left and
// top right, by the tag.
constexpr int kTopLeft[] = {1, 2, 4, 3, 1, 3, 4, 2};
constexpr int kTopRight[] = {2, 1, 3, 4, 3, 1, 2, 4};

TEST(Orientation, PngsAreTurnedUpright) {
    for (int tag = 1; tag <= 8; ++tag) {
        const PngSpec spec{.width = 3,
                           .height = 2,
                           .rows = {1, 0, 2, 3, 0, 4},
                           .exif = make_exif(tag, tag % 2 == 0)};
        const auto image = decode_image(test::bytes_of(make_png(spec)), 1);
        ASSERT_TRUE(image) << image.error().message;
        EXPECT_EQ(image->width, tag < 5 ? 3U : 2U) << tag;
        EXPECT_EQ(image->height, tag < 5 ? 2U : 3U) << tag;
        EXPECT_EQ(image->pixels.front(), kTopLeft[tag - 1]) << tag;
        EXPECT_EQ(image->pixels[image->width - 1], kTopRight[tag - 1]) << tag;
    }
}

TEST(Orientation, JpegsAreTurnedUpright) {
    for (int tag = 1; tag <= 8; ++tag) {
        JpegSpec spec{.width = 32, .height = 16, .channels = 1, .exif = make_exif(tag, true)};
        for (int i = 0; i < 32 * 16; ++i) {
            const int corner = (i % 32 >= 16 ? 1 : 0) + (i / 32 >= 8 ? 2 : 0);
            spec.pixels.push_back(static_cast<std::uint8_t>(50 * (corner + 1)));
        }
        const auto image = decode_image(test::bytes_of(make_jpeg(spec)), 1);
        ASSERT_TRUE(image) << image.error().message;
        EXPECT_EQ(image->width, tag < 5 ? 32U : 16U) << tag;
        EXPECT_NEAR(image->pixels.front(), 50 * kTopLeft[tag - 1], 4) << tag;
        EXPECT_NEAR(image->pixels[image->width - 1], 50 * kTopRight[tag - 1], 4) << tag;
    }
}

TEST(Orientation, NonsenseIsUpright) {
    for (const std::string &exif :
         {make_exif(0, true), make_exif(9, false), std::string("MM"),
          std::string("II*\0\xff\xff\xff\xff", 8), std::string(70000, 'x')}) {
        const PngSpec spec{.width = 2, .rows = {1, 2}, .exif = exif};
        EXPECT_THAT(pixels_of(make_png(spec), 1), ElementsAre(1, 2));
    }
}

// ---- WebP, and what is none of the three --------------------------------------------------------

TEST(WebpKinds, GoThereAndBack) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "a.webp";
    const Image image{2, 1, 4, {10, 20, 30, 255, 200, 100, 0, 128}};
    ASSERT_TRUE(write_image(path, image));
    const auto read = read_image(path, 4);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->pixels, image.pixels);
    const std::string bytes = test::read_text(path);
    EXPECT_THAT(error_of(bytes.substr(0, bytes.size() / 2)), HasSubstr("not a readable WebP"));
}

TEST(ForeignPictures, AreNamedWithWhatToDo) {
    using namespace std::string_literals;
    const std::pair<std::string, const char *> foreign[] = {
        {"GIF89a and more", "a GIF; save it again as a PNG"},
        {"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"s, "a BMP"},
        {"II*\0\x08\0\0\0"s, "a TIFF"},
        {"MM\0*\0\0\0\x08"s, "a TIFF"},
        {"\0\0\0\x18"s + "ftypheic\0\0\0\0"s, "a HEIC picture"},
        {"\0\0\0\x18"s + "ftypavif\0\0\0\0"s, "an AVIF picture"},
        {"\0\0\0\x18"s + "ftypmp42\0\0\0\0"s, "a video"},
        {"\xff\x0a\0\0"s, "a JPEG XL picture"},
        {"\0\0\0\x0cjP  \r\n\x87\n"s, "a JPEG 2000 picture"},
        {"8BPS\0\x01"s, "a Photoshop document"},
        {"P6\n1 1\n255\nabc", "a PNM picture"},
        {"<?xml version=\"1.0\"?><svg/>", "an SVG drawing"},
        {"%PDF-1.5", "a PDF"},
        {"version https://git-lfs.github.com/spec/v1\n", "'git lfs pull'"},
        {"<!DOCTYPE html><html>", "a web page"},
        {"\x89PNG\n\x1a\n\0\0", "copied as if it were text"},
        {"", "empty (0 bytes)"},
        {"this is no picture", "neither a PNG nor a JPEG nor a WebP"},
    };
    for (const auto &[bytes, words] : foreign) {
        EXPECT_THAT(error_of(bytes), HasSubstr(words)) << words;
    }
}

// ---- what is written ----------------------------------------------------------------------------

TEST(WrittenPictures, HaveTheFormatThatTheirNameSays) {
    const test::TemporaryFolder folder;
    const Image image{16, 16, 3, Bytes(768, 90)};
    const auto start_of = [&](const char *name) {
        const auto path = folder.path() / name;
        const auto written = write_image(path, image);
        EXPECT_TRUE(written) << written.error().message;
        return test::read_text(path).substr(0, 4);
    };
    for (const char *name : {"a.png", "B.PNG", "no_suffix"}) {
        EXPECT_EQ(start_of(name), "\x89PNG") << name;
    }
    for (const char *name : {"a.jpg", "B.JPG", "c.jpeg", "D.JpEg"}) {
        EXPECT_EQ(start_of(name).substr(0, 3), "\xff\xd8\xff") << name;
    }
    for (const char *name : {"a.webp", "B.WEBP"}) EXPECT_EQ(start_of(name), "RIFF") << name;
    for (const char *name : {"a.tiff", "a.GIF", "a.bmp", "a.txt", "a.avif", "a.png.bak"}) {
        const auto written = write_image(folder.path() / name, image);
        ASSERT_FALSE(written) << name;
        EXPECT_THAT(written.error().message, HasSubstr("names that end in .png, .jpg"));
        EXPECT_FALSE(std::filesystem::exists(folder.path() / name));
    }
    for (const std::uint32_t channels : {1U, 4U}) {
        const Image other{8, 8, channels, Bytes(64 * channels, 200)};
        for (const char *name : {"o.jpg", "o.webp"}) {
            ASSERT_TRUE(write_image(folder.path() / name, other));
            const auto read = read_image(folder.path() / name, 1);
            ASSERT_TRUE(read);
            EXPECT_EQ(read->width, 8U);
        }
    }
}

TEST(WrittenPictures, ReplaceNothingThatIsNoPicture) {
    const test::TemporaryFolder folder;
    const Image image{1, 1, 3, {1, 2, 3}};
    const auto notes = folder.write("notes", "important");
    ASSERT_FALSE(write_image(notes, image));
    EXPECT_EQ(test::read_text(notes), "important");
    const auto empty = folder.write("tmp.aB3xYz", ""); // as mktemp makes them
    ASSERT_TRUE(write_image(empty, image));
    ASSERT_TRUE(write_image(empty, image)) << "again, over a PNG";
    EXPECT_EQ(test::read_text(empty).substr(0, 4), "\x89PNG");
}

TEST(WrittenPictures, ColoursSayTheyAreSrgbAndDataSayNothing) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "a.png";
    const auto has_chunk = [&](const char *name) {
        return test::read_text(path).find(name) != std::string::npos;
    };
    const Image image{2, 1, 3, {1, 2, 3, 4, 5, 6}};
    ASSERT_TRUE(write_image(path, image));
    EXPECT_TRUE(has_chunk("sRGB"));
    ASSERT_TRUE(write_image(path, image, PictureUse::kData));
    for (const char *name : {"sRGB", "gAMA", "cHRM", "iCCP"}) EXPECT_FALSE(has_chunk(name)) << name;
    ASSERT_TRUE(write_image16(path, 2, 1, std::vector<std::uint16_t>{1, 65535}));
    for (const char *name : {"sRGB", "gAMA", "cHRM", "iCCP"}) EXPECT_FALSE(has_chunk(name)) << name;
    EXPECT_FALSE(write_image(folder.path() / "a.jpg", image, PictureUse::kData));
}

TEST(WrittenPictures, AreKnownToFitBefore) {
    const test::TemporaryFolder folder;
    EXPECT_TRUE(check_image_target(folder.path() / "a.png", 16384, 16384));
    EXPECT_FALSE(check_image_target(folder.path() / "a.png", 16385, 10));
    EXPECT_FALSE(check_image_target(folder.path() / "a.webp", 16384, 10));
    EXPECT_FALSE(check_image_target(folder.path() / "a.tif"));
    EXPECT_FALSE(check_image_target(folder.path() / "no" / "a.png"));
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

} // namespace
} // namespace tessera
