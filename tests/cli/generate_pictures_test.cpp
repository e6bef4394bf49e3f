// tessera-generate and the pictures that people give it to start from.
#include "assets/image_file.hpp"
#include "tests/cli/program.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tessera {
namespace {

using testing::HasSubstr;
using testing::Not;

// The test generator is blue when it got a mask.
class GeneratePictures : public testing::Test {
  protected:
    GeneratePictures() {
        options_.folder = folder_.path();
        options_.environment["TESSERA_PLUGIN_PATH"] = TESSERA_TEST_PLUGINS;
        write("init.png", {8, 8, 3, std::vector<std::uint8_t>(192, 90)});
    }
    void write(const char *name, const Image &image) {
        const auto written = write_image(folder_.path() / name, image);
        EXPECT_TRUE(written) << written.error().message;
    }
    // A mask of `side` whose left half is made again.
    void write_half(const char *name, std::uint32_t side, std::uint8_t dark, std::uint8_t light) {
        Image mask{side, side, 1, {}};
        for (std::uint32_t i = 0; i < side * side; ++i) {
            mask.pixels.push_back(i % side < side / 2 ? light : dark);
        }
        write(name, mask);
    }
    test::Outcome run(const char *init, const char *mask) {
        const auto outcome = test::run_program(
            TESSERA_GENERATE, {"--plugin", "test.good", "--init", init, "--mask", mask}, options_);
        EXPECT_EQ(outcome.signal, 0);
        return outcome;
    }
    [[nodiscard]] int blue_of_a_mask() const {
        const auto image = read_image(folder_.path() / "tessera.png", 3);
        return image ? image->pixels[2] : -1;
    }

    test::TemporaryFolder folder_;
    test::ProgramOptions options_;
};

TEST_F(GeneratePictures, MasksAreCutAtOneHalf) {
    write_half("mask.png", 8, 3, 250);
    const auto outcome = run("init.png", "mask.png");
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    EXPECT_EQ(blue_of_a_mask(), 255);
}

TEST_F(GeneratePictures, ATransparentPartIsTheHole) {
    Image mask{8, 8, 4, std::vector<std::uint8_t>(256, 255)};
    mask.pixels[3] = 0;
    write("mask.png", mask);
    const auto outcome = run("init.png", "mask.png");
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(blue_of_a_mask(), 255);
}

TEST_F(GeneratePictures, MasksOfNothingAndEverythingAreSaidAloud) {
    write_half("nothing.png", 8, 0, 100);
    EXPECT_THAT(run("init.png", "nothing.png").err, HasSubstr("nothing.png: selects nothing"));
    write_half("all.png", 8, 200, 255);
    EXPECT_THAT(run("init.png", "all.png").err, HasSubstr("all.png: selects everything"));
}

TEST_F(GeneratePictures, OtherSizesOfTheSameShapeAreResized) {
    write_half("large.png", 32, 0, 255);
    const auto mask = run("init.png", "large.png");
    EXPECT_EQ(mask.exit_code, 0) << mask.err;
    EXPECT_THAT(mask.err, HasSubstr("large.png: 32 x 32 pixels; resized to 8 x 8"));
    EXPECT_EQ(blue_of_a_mask(), 255);
    write_half("mask.png", 8, 0, 255);
    write("photo.jpg", {64, 64, 3, std::vector<std::uint8_t>(64 * 64 * 3, 90)});
    const auto photo = run("photo.jpg", "mask.png");
    EXPECT_EQ(photo.exit_code, 0) << photo.err;
    EXPECT_THAT(photo.err, HasSubstr("photo.jpg: 64 x 64 pixels; resized to 8 x 8"));
    write("wide.png", {16, 8, 1, std::vector<std::uint8_t>(128, 255)});
    const auto wide = run("init.png", "wide.png");
    EXPECT_EQ(wide.exit_code, 1);
    EXPECT_THAT(wide.err, HasSubstr("wide.png is 16 x 8; expected 8 x 8"));
}

TEST_F(GeneratePictures, TransparentPartsOfThePictureAreSaidAloud) {
    write_half("mask.png", 8, 0, 255);
    Image clear{8, 8, 4, std::vector<std::uint8_t>(256, 255)};
    clear.pixels[7] = 10;
    write("clear.png", clear);
    EXPECT_THAT(run("clear.png", "mask.png").err,
                HasSubstr("transparent parts are taken as black"));
    EXPECT_THAT(run("init.png", "mask.png").err, Not(HasSubstr("transparent")));
}

} // namespace
} // namespace tessera
