// --material: the maps of a picture as files.
#include "tests/cli/program.hpp"
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

class GenerateMaterial : public testing::Test {
  protected:
    test::Outcome run(const std::vector<std::string> &more) {
        test::ProgramOptions options;
        options.folder = folder_.path();
        options.environment = environment_;
        std::vector<std::string> arguments{"--plugin", "org.tessera.gradient", "--set", "size=64"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return test::run_program(TESSERA_GENERATE, arguments, options);
    }
    [[nodiscard]] bool has(const char *name) const { return fs::exists(folder_.path() / name); }

    std::map<std::string, std::string> environment_;
    const test::TemporaryFolder folder_;
};

TEST_F(GenerateMaterial, WritesTheMapsNextToThePicture) {
    const auto outcome = run({"-o", "a.png", "--material", "m", "--material-set", "seamless=true"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    ASSERT_TRUE(has("a.png"));
    for (const char *end :
         {"_albedo.png", "_height.png", "_normal.png", "_orm.png", ".gltf", ".bin"}) {
        EXPECT_TRUE(has(("m/Gradient_0_000" + std::string(end)).c_str())) << end;
    }
    EXPECT_EQ(run({"-o", "out", "-n", "2", "--material", "all"}).exit_code, 0);
    EXPECT_TRUE(has("all/Gradient_0_000/Gradient_0_000_albedo.png"));
    EXPECT_TRUE(has("all/Gradient_0_001/Gradient_0_001_albedo.png"));
    EXPECT_EQ(run({"-o", "b.png", "--seed", "9", "--material", "m"}).exit_code, 0);
    EXPECT_TRUE(has("m/Gradient_0_000_albedo.png")) << "two share a folder";
    EXPECT_TRUE(has("m/Gradient_9_000_albedo.png"));
}

TEST_F(GenerateMaterial, NeedsNoDevice) {
    environment_["VK_ICD_FILENAMES"] = "/nowhere/none.json";
    environment_["VK_DRIVER_FILES"] = "/nowhere/none.json";
    const auto outcome = run({"-o", "a.png", "--material", "m"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_TRUE(has("m/Gradient_0_000_normal.png"));
}

TEST_F(GenerateMaterial, MistakesAreNamedBeforeAnythingIsMade) {
    const auto unknown = run({"-o", "a.png", "--material", "m", "--material-set", "gloss=1"});
    EXPECT_EQ(unknown.exit_code, 2);
    EXPECT_THAT(unknown.err, HasSubstr("no option 'gloss'"));
    EXPECT_FALSE(has("a.png"));
    EXPECT_EQ(run({"--material", "m", "--material-set", "gloss"}).exit_code, 2);
    EXPECT_EQ(run({"--material-set", "seamless=true"}).exit_code, 2) << "of which material?";
}

} // namespace
} // namespace tessera
