// tessera-generate --encode: representations of pictures in a file, by generators that have some.
#include "assets/image_file.hpp"
#include "assets/safetensors.hpp"
#include "tests/cli/program.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace tessera {
namespace {

using testing::HasSubstr;

class GenerateFeatures : public testing::Test {
  protected:
    GenerateFeatures() {
        options_.folder = folder_.path();
        write("a.png", 16, 16, 40);
        write("same.png", 16, 16, 40);
        write("wide.png", 40, 20, 200);
    }
    void write(const char *name, std::uint32_t width, std::uint32_t height, int shade) {
        Image image{width, height, 3, {}};
        for (std::uint32_t i = 0; i < width * height * 3; ++i) {
            image.pixels.push_back(static_cast<std::uint8_t>((i * 7 + shade) % 256));
        }
        const auto written = write_image(folder_.path() / name, image);
        EXPECT_TRUE(written) << written.error().message;
    }
    test::Outcome encode(const std::string &plugin, const std::string &weights,
                         std::vector<std::string> more) {
        std::vector<std::string> arguments{
            "--plugin",  plugin, "--model",    TESSERA_FIXTURES_DIR "/" + weights,
            "--threads", "1",    "--features", "f.safetensors"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return test::run_program(TESSERA_GENERATE, arguments, options_);
    }
    [[nodiscard]] std::string file() const {
        std::ostringstream text;
        text << std::ifstream(folder_.path() / "f.safetensors", std::ios::binary).rdbuf();
        return text.str();
    }

    test::TemporaryFolder folder_;
    test::ProgramOptions options_;
};

TEST_F(GenerateFeatures, AreRowsInTheOrderOfThePictures) {
    for (const auto &[plugin, weights, rows, width] :
         {std::tuple("org.tessera.umd", "umd_tiny/weights_cls.safetensors", 4, 48),
          {"org.tessera.saim", "saim_tiny/weights_b.safetensors", 6, 64}}) {
        const auto outcome = encode(plugin, weights, {"--encode", "a.png", "wide.png", "same.png"});
        ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
        const std::string bytes = file();
        const auto header = parse_safetensors(std::as_bytes(std::span(bytes)), "f.safetensors");
        ASSERT_TRUE(header) << header.error().message;
        const SafetensorsEntry *pooled = header->find("pooled"), *dense = header->find("dense");
        ASSERT_TRUE(pooled != nullptr && dense != nullptr);
        EXPECT_EQ(pooled->shape, (std::array<std::int64_t, 4>{3, width, 1, 1}));
        EXPECT_EQ(dense->shape, (std::array<std::int64_t, 4>{3, rows, rows, width}));
        EXPECT_THAT(header->metadata.at("pictures"), HasSubstr("wide.png"));
        for (const SafetensorsEntry *entry : {pooled, dense}) {
            const std::size_t size = (entry->end - entry->begin) / 3;
            const auto row = [&](std::size_t i) {
                return bytes.substr(entry->begin + i * size, size);
            };
            EXPECT_EQ(row(0), row(2)) << plugin;
            EXPECT_NE(row(0), row(1)) << plugin;
        }
    }
}

TEST_F(GenerateFeatures, ComeAfterTheBlockThatIsAskedFor) {
    const char *weights = "umd_tiny/weights_cls.safetensors";
    ASSERT_EQ(encode("org.tessera.umd", weights, {"--encode", "a.png"}).exit_code, 0);
    const std::string last = file();
    ASSERT_EQ(encode("org.tessera.umd", weights, {"--encode", "a.png", "--set", "feature_layer=1"})
                  .exit_code,
              0);
    EXPECT_NE(file(), last);
    const auto beyond =
        encode("org.tessera.umd", weights, {"--encode", "a.png", "--set", "feature_layer=9"});
    EXPECT_NE(beyond.exit_code, 0);
    EXPECT_THAT(beyond.err, HasSubstr("feature_layer"));
}

TEST_F(GenerateFeatures, AreOfTheSizeThatIsSet) {
    const auto outcome = test::run_program(
        TESSERA_GENERATE,
        {"--model", TESSERA_SOURCE_DIR "/tests/golden/data/texture/weights.safetensors", "--plugin",
         "org.tessera.texture", "--encode", "a.png", "wide.png", "--set", "width=64", "--set",
         "height=72", "--features", "f.safetensors"},
        options_);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const std::string bytes = file();
    const auto header = parse_safetensors(std::as_bytes(std::span(bytes)), "f.safetensors");
    ASSERT_TRUE(header) << header.error().message;
    const auto shape = header->find("dense")->shape;
    EXPECT_EQ(std::vector(shape.begin(), shape.begin() + 3), (std::vector<std::int64_t>{2, 9, 8}));
}

TEST_F(GenerateFeatures, OfAGeneratorWithoutThemAreAnError) {
    const auto outcome = test::run_program(
        TESSERA_GENERATE,
        {"--plugin", "org.tessera.gradient", "--encode", "a.png", "--features", "f.safetensors"},
        options_);
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_THAT(outcome.err, HasSubstr("org.tessera.gradient does not encode pictures"));
    EXPECT_FALSE(std::filesystem::exists(folder_.path() / "f.safetensors"));
}

TEST_F(GenerateFeatures, NeedPictures) {
    EXPECT_EQ(
        test::run_program(TESSERA_GENERATE, {"--features", "f.safetensors"}, options_).exit_code,
        2);
    const auto missing =
        encode("org.tessera.umd", "umd_tiny/weights_cls.safetensors", {"--encode", "none.png"});
    EXPECT_EQ(missing.exit_code, 1);
    EXPECT_THAT(missing.err, HasSubstr("none.png"));
    EXPECT_FALSE(std::filesystem::exists(folder_.path() / "f.safetensors"));
}

} // namespace
} // namespace tessera
