// Pictures in and out.
#include "assets/contact_sheet.hpp"
#include "assets/image_file.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace tessera {
namespace {

Image make_image(std::uint32_t width, std::uint32_t height, std::uint32_t channels) {
    Image image{width, height, channels, {}};
    for (std::size_t i = 0; i < std::size_t{width} * height * channels; ++i) {
        image.pixels.push_back(static_cast<std::uint8_t>(i * 7));
    }
    if (channels == 4) {
        for (std::size_t i = 3; i < image.pixels.size(); i += 4) image.pixels[i] = 255;
    }
    return image;
}

// A baseline JPEG of 8 x 8 gray pixels, written out by hand: one table of each kind, one block.
std::string gray_jpeg() {
    std::string bytes("\xff\xd8\xff\xdb\x00\x43\x00", 7);
    bytes += std::string(64, '\x01');
    bytes += std::string("\xff\xc0\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x11\x00", 13);
    // DC table: one code of 1 bit for category 0; AC table: one code of 1 bit for end of block.
    bytes +=
        std::string("\xff\xc4\x00\x14\x00\x01", 6) + std::string(15, '\0') + std::string(1, '\0');
    bytes +=
        std::string("\xff\xc4\x00\x14\x10\x01", 6) + std::string(15, '\0') + std::string(1, '\0');
    bytes += std::string("\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x3f\xff\xd9", 13);
    return bytes;
}

TEST(ImageFile, PngGoesThereAndBack) {
    const test::TemporaryFolder folder;
    for (const std::uint32_t channels : {1U, 3U, 4U}) {
        const Image image = make_image(17, 9, channels);
        const auto path = folder.path() / "a.png";
        ASSERT_TRUE(write_image(path, image));
        const auto read = read_image(path, channels);
        ASSERT_TRUE(read) << read.error().message;
        EXPECT_EQ(read->width, 17U);
        EXPECT_EQ(read->height, 9U);
        EXPECT_EQ(read->pixels, image.pixels) << channels;
    }
}

TEST(ImageFile, ConvertsChannels) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "gray.png";
    ASSERT_TRUE(write_image(path, {2, 1, 1, {0, 200}}));
    const auto rgba = read_image(path, 4);
    ASSERT_TRUE(rgba);
    EXPECT_EQ(rgba->pixels, (std::vector<std::uint8_t>{0, 0, 0, 255, 200, 200, 200, 255}));
    EXPECT_FALSE(read_image(path, 2));
}

TEST(ImageFile, ReadsJpeg) {
    const test::TemporaryFolder folder;
    const auto image = read_image(folder.write("a.jpg", gray_jpeg()), 1);
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ(image->width, 8U);
    EXPECT_EQ(image->height, 8U);
    EXPECT_EQ(image->pixels, std::vector<std::uint8_t>(64, 128));
}

TEST(ImageFile, SaysWhyAPictureCannotBeRead) {
    const test::TemporaryFolder folder;
    const auto missing = read_image(folder.path() / "missing.png", 4);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().status, Status::kNotFound);
    const auto text = read_image(folder.write("text.png", "this is no picture"), 4);
    ASSERT_FALSE(text);
    EXPECT_NE(text.error().message.find("text.png: neither a PNG nor a JPEG"), std::string::npos);
    EXPECT_FALSE(read_image(folder.write("empty.png", ""), 4));
    EXPECT_FALSE(read_image(folder.path(), 4));
}

TEST(ImageFile, TruncatedAndOversizedPicturesAreErrors) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "a.png";
    ASSERT_TRUE(write_image(path, make_image(64, 64, 3)));
    const std::string png = test::read_text(path);
    for (const std::size_t size : {8UL, 20UL, 40UL, png.size() / 2}) {
        EXPECT_FALSE(read_image(folder.write("cut.png", png.substr(0, size)), 3)) << size;
    }
    const std::string jpeg = gray_jpeg();
    EXPECT_FALSE(read_image(folder.write("cut.jpg", jpeg.substr(0, 60)), 3));
    std::string large = jpeg; // the header claims 60000 x 60000
    const std::size_t at = large.find("\xff\xc0") + 5;
    large.replace(at, 4, "\xea\x60\xea\x60");
    const auto image = read_image(folder.write("large.jpg", large), 3);
    ASSERT_FALSE(image);
    EXPECT_NE(image.error().message.find("60000"), std::string::npos) << image.error().message;
}

TEST(ImageFile, SurvivesMutations) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "a.png";
    ASSERT_TRUE(write_image(path, make_image(16, 16, 3)));
    const std::string originals[] = {test::read_text(path), gray_jpeg()};
    std::mt19937 random(2);
    for (int round = 0; round < 600; ++round) {
        std::string bytes = originals[round % 2];
        for (int i = 0; i < 3; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
        const auto image = read_image(folder.write("mutated", bytes), 4);
        if (image) {
            EXPECT_EQ(image->pixels.size(), std::size_t{image->width} * image->height * 4);
        }
    }
}

TEST(ImageFile, RefusesToWriteNonsense) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "a.png";
    EXPECT_FALSE(write_image(path, {0, 4, 3, {}}));
    EXPECT_FALSE(write_image(path, {4, 4, 2, std::vector<std::uint8_t>(32)}));
    EXPECT_FALSE(write_image(path, {4, 4, 3, std::vector<std::uint8_t>(47)}));
    EXPECT_FALSE(write_image(folder.path() / "no" / "a.png", make_image(4, 4, 3)));
    EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(ContactSheet, PlacesImagesInRows) {
    const Image images[] = {{1, 1, 1, {10}}, {2, 1, 1, {20, 21}}, {1, 2, 1, {30, 31}}};
    const auto sheet = contact_sheet(images, 2, 1);
    ASSERT_TRUE(sheet);
    EXPECT_EQ(sheet->width, 5U);  // two cells of 2 and a gap
    EXPECT_EQ(sheet->height, 5U); // two cells of 2 and a gap
    EXPECT_EQ(sheet->pixels[0], 10);
    EXPECT_EQ(sheet->pixels[1], 255);
    EXPECT_EQ(sheet->pixels[3], 20);
    EXPECT_EQ(sheet->pixels[4], 21);
    EXPECT_EQ(sheet->pixels[15], 30);
    EXPECT_EQ(sheet->pixels[20], 31);
}

TEST(ContactSheet, RefusesMixedAndMissingImages) {
    const Image mixed[] = {{1, 1, 1, {10}}, {1, 1, 3, {1, 2, 3}}};
    EXPECT_FALSE(contact_sheet(mixed, 2, 0));
    EXPECT_FALSE(contact_sheet({}, 2, 0));
    EXPECT_FALSE(contact_sheet(std::span(mixed).first(1), 0, 0));
}

} // namespace
} // namespace tessera
