// tessera-generate on the bundled model: the same bytes however the work is shared out, and models
// that are wrong inside.
#include "assets/image_file.hpp"
#include "assets/safetensors.hpp"
#include "tests/cli/program.hpp"
#include "tests/unit/assets/safetensors_bytes.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

namespace tessera {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kModel = fs::path(TESSERA_SOURCE_DIR) / "plugins/models/materials_mar_latents";

class GenerateModel : public testing::Test {
  protected:
    void SetUp() override {
        if (!fs::exists(kModel / "generator.safetensors")) GTEST_SKIP() << "no bundled model";
        options_.folder = folder_.path();
    }
    test::Outcome run(std::vector<std::string> arguments) {
        arguments.insert(arguments.end(),
                         {"--denoise-steps", "5"}); // short, whatever it looks like
        return test::run_program(TESSERA_GENERATE, arguments, options_);
    }
    [[nodiscard]] std::string bytes(const std::string &name) const {
        return test::read_text(folder_.path() / name);
    }

    test::TemporaryFolder folder_;
    test::ProgramOptions options_;
};

TEST_F(GenerateModel, ThreadsAndBatchesDoNotChangeTheBytes) {
    const std::vector<std::string> common = {"-m", kModel.string(), "--class", "bark", "--seed",
                                             "11", "--steps",       "3",       "-n",   "3"};
    const auto with = [&](std::vector<std::string> more) {
        more.insert(more.begin(), common.begin(), common.end());
        return run(more);
    };
    ASSERT_EQ(with({"-o", "one", "--threads", "1"}).exit_code, 0);
    ASSERT_EQ(with({"-o", "three", "--threads", "3"}).exit_code, 0);
    ASSERT_EQ(with({"-o", "batch", "--threads", "2", "--batch", "3"}).exit_code, 0);
    for (int i = 0; i < 3; ++i) {
        const std::string name = "/bark_11_00" + std::to_string(i) + ".png";
        EXPECT_FALSE(bytes("one" + name).empty());
        EXPECT_EQ(bytes("one" + name), bytes("three" + name)) << i;
        EXPECT_EQ(bytes("one" + name), bytes("batch" + name)) << i;
    }
    EXPECT_NE(bytes("one/bark_11_000.png"), bytes("one/bark_11_001.png"));
}

TEST_F(GenerateModel, PreviewsDoNotChangeTheImage) {
    ASSERT_EQ(run({"-m", kModel.string(), "--steps", "4", "-o", "a.png"}).exit_code, 0);
    ASSERT_EQ(
        run({"-m", kModel.string(), "--steps", "4", "-o", "b.png", "--frames", "f"}).exit_code, 0);
    EXPECT_EQ(bytes("a.png"), bytes("b.png"));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path() / "f"), {}), 4);
}

TEST_F(GenerateModel, FillsTheMaskedPart) {
    ASSERT_EQ(run({"-m", kModel.string(), "--class", "brick", "--steps", "4", "-o", "whole.png"})
                  .exit_code,
              0);
    const auto whole = read_image(folder_.path() / "whole.png", 3);
    ASSERT_TRUE(whole);
    Image mask{whole->width, whole->height, 1, {}};
    mask.pixels.resize(std::size_t{mask.width} * mask.height);
    for (std::size_t i = 0; i < mask.pixels.size(); ++i) {
        mask.pixels[i] = i % mask.width < mask.width / 2 ? 255 : 0; // the left half is made again
    }
    ASSERT_TRUE(write_image(folder_.path() / "mask.png", mask));
    const auto filled = run({"-m", kModel.string(), "--class", "grass", "--steps", "4", "--init",
                             "whole.png", "--mask", "mask.png", "-o", "filled.png"});
    ASSERT_EQ(filled.exit_code, 0) << filled.err;
    EXPECT_NE(bytes("filled.png"), bytes("whole.png"));
}

TEST_F(GenerateModel, AContactSheetThatCannotBeIsRefusedBeforeTheRun) {
    // 64 x 64 pictures of 256 pixels, and gaps.
    const auto outcome = test::run_program(
        TESSERA_GENERATE,
        {"-m", "materials", "-n", "4096", "-o", "out", "--contact-sheet", "sheet.png"}, options_);
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_THAT(outcome.err, HasSubstr("contact sheet of 4096 images"));
    EXPECT_FALSE(fs::exists(folder_.path() / "out/asphalt_0_000.png"));
}

TEST_F(GenerateModel, AFileHereHidesNoBundledModel) {
    (void)folder_.write("materials_mar_latents", "a shopping list");
    const auto outcome = run({"-m", "materials_mar_latents", "--steps", "1", "-o", "a.png"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(run({"-m", "./materials_mar_latents", "--steps", "1", "-o", "b.png"}).exit_code, 1);
}

TEST_F(GenerateModel, APresetNamesTheBundledModelSoThatItMayMove) {
    ASSERT_EQ(run({"-m", "materials_mar_latents", "--steps", "1", "--save-preset", "p.json", "-o",
                   "a.png"})
                  .exit_code,
              0);
    EXPECT_THAT(bytes("p.json"), HasSubstr("\"model\": \"materials_mar_latents\""));
    ASSERT_EQ(run({"--preset", "p.json", "-o", "b.png"}).exit_code, 0);
    EXPECT_EQ(bytes("a.png"), bytes("b.png"));
}

TEST_F(GenerateModel, PhotographsOfAnotherSizeAndTheirMasks) {
    ASSERT_TRUE(write_image(folder_.path() / "photo.jpg",
                            {600, 600, 3, std::vector<std::uint8_t>(600 * 600 * 3, 120)}));
    Image mask{300, 300, 4, std::vector<std::uint8_t>(300 * 300 * 4, 255)};
    for (std::size_t i = 0; i < 300 * 150 * 4; i += 4) mask.pixels[i + 3] = 0; // the upper half
    ASSERT_TRUE(write_image(folder_.path() / "mask.webp", mask));
    const auto outcome = run({"-m", kModel.string(), "--steps", "2", "--init", "photo.jpg",
                              "--mask", "mask.webp", "-o", "a.png"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const auto image = read_image(folder_.path() / "a.png", 3);
    ASSERT_TRUE(image);
    const std::size_t row = std::size_t{image->width} * 3;
    EXPECT_NEAR(image->pixels[row * (image->height - 1)], 120, 3) << "kept";
}

TEST_F(GenerateModel, StepsAboveTheTokenCountAreRefused) {
    const auto outcome = run({"-m", kModel.string(), "--steps", "100000"});
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.err, HasSubstr("steps is '100000'; expected a whole number from 1 to"));
}

TEST_F(GenerateModel, WrongClassesAreRefused) {
    const auto outcome = run({"-m", kModel.string(), "--class", "unobtainium"});
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.err, HasSubstr("class is 'unobtainium'; expected one of"));
}

// The bundled model with `damage` done to the bytes of its generator.
template <class Damage>
fs::path damaged_model(const test::TemporaryFolder &folder, Damage damage) {
    const fs::path copy = folder.path() / "damaged";
    fs::create_directory(copy);
    fs::copy_file(kModel / "tokenizer.safetensors", copy / "tokenizer.safetensors");
    std::string bytes = test::read_text(kModel / "generator.safetensors");
    damage(bytes);
    (void)folder.write("damaged/generator.safetensors", bytes);
    return copy;
}

TEST_F(GenerateModel, TruncatedWeightsAreRefused) {
    const auto model =
        damaged_model(folder_, [](std::string &bytes) { bytes.resize(bytes.size() - 100); });
    const auto outcome = run({"-m", model.string()});
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_THAT(outcome.err, HasSubstr("past the end"));
}

TEST_F(GenerateModel, WeightsThatAreNoNumbersAreRefused) {
    const auto model = damaged_model(folder_, [](std::string &bytes) {
        const auto header = parse_safetensors(test::bytes_of(bytes), "copy");
        ASSERT_TRUE(header);
        const SafetensorsEntry &entry = header->entries[header->entries.size() / 2];
        for (std::size_t i = entry.begin; i < entry.end; ++i)
            bytes[i] = '\xff'; // NaN in every type
    });
    const auto outcome = run({"-m", model.string()});
    EXPECT_EQ(outcome.signal, 0);
    EXPECT_EQ(outcome.exit_code, 1) << outcome.out << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("NaN"));
}

TEST_F(GenerateModel, AMissingTensorIsNamed) {
    std::string renamed;
    const auto model = damaged_model(folder_, [&](std::string &bytes) {
        const auto header = parse_safetensors(test::bytes_of(bytes), "copy");
        ASSERT_TRUE(header);
        renamed = header->entries.front().name;
        bytes[bytes.find('"' + renamed + '"') + 1] = '#';
    });
    const auto outcome = run({"-m", model.string()});
    EXPECT_EQ(outcome.exit_code, 1) << outcome.out;
    EXPECT_THAT(outcome.err, HasSubstr(renamed));
    renamed.front() = '#';
    EXPECT_THAT(outcome.err, HasSubstr(renamed));
}

} // namespace
} // namespace tessera
