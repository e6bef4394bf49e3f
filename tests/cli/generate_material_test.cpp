// --material: the maps of a picture as files, and what happens where there is no device for them.
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
        options.environment["XDG_CACHE_HOME"] = (folder_.path() / "cache").string();
        std::vector<std::string> arguments{"--plugin", "org.tessera.gradient", "--set", "size=64"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return test::run_program(TESSERA_GENERATE, arguments, options);
    }
    [[nodiscard]] bool has(const char *name) const { return fs::exists(folder_.path() / name); }

    std::map<std::string, std::string> environment_;
    const test::TemporaryFolder folder_;
};

TEST_F(GenerateMaterial, WritesTheMapsBesideThePicture) {
    const auto outcome = run({"-o", "a.png", "--material", "m", "--material-set", "seamless=true"});
    ASSERT_TRUE(has("a.png"));
    if (outcome.exit_code != 0 && outcome.err.find("Vulkan") != std::string::npos) {
        GTEST_SKIP() << outcome.err;
    }
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    for (const char *end :
         {"_albedo.png", "_height.png", "_normal.png", "_orm.png", ".gltf", ".bin"}) {
        EXPECT_TRUE(has(("m/Gradient_0_000" + std::string(end)).c_str())) << end;
    }
    EXPECT_TRUE(has("cache/tessera/plans")) << "the next time is faster";
    EXPECT_EQ(run({"-o", "out", "-n", "2", "--material", "all"}).exit_code, 0);
    EXPECT_TRUE(has("all/Gradient_0_000/Gradient_0_000_albedo.png"));
    EXPECT_TRUE(has("all/Gradient_0_001/Gradient_0_001_albedo.png"));
    EXPECT_EQ(run({"-o", "b.png", "--seed", "9", "--material", "m"}).exit_code, 0);
    EXPECT_TRUE(has("m/Gradient_0_000_albedo.png")) << "two share a folder";
    EXPECT_TRUE(has("m/Gradient_9_000_albedo.png"));
}

TEST_F(GenerateMaterial, WithoutADeviceThePictureIsStillWritten) {
    environment_["VK_ICD_FILENAMES"] = "/nowhere/none.json";
    environment_["VK_DRIVER_FILES"] = "/nowhere/none.json";
    const auto outcome = run({"-o", "a.png", "--material", "m"});
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_THAT(outcome.err, HasSubstr("material m: "));
    EXPECT_THAT(outcome.err, HasSubstr("Vulkan"));
    EXPECT_TRUE(has("a.png"));
    EXPECT_FALSE(has("m"));
}

#ifdef TESSERA_LOSING_LAYERS
TEST_F(GenerateMaterial, ALostDeviceIsOpenedAgain) {
    const auto whole = run({"-o", "a.png", "--material", "whole"});
    if (whole.exit_code != 0 && whole.err.find("Vulkan") != std::string::npos) {
        GTEST_SKIP() << whole.err;
    }
    ASSERT_EQ(whole.exit_code, 0) << whole.err;
    environment_["VK_ADD_LAYER_PATH"] = TESSERA_LOSING_LAYERS;
    environment_["VK_INSTANCE_LAYERS"] = "VK_LAYER_TESSERA_losing";
    environment_["TESSERA_LOSE"] = "submit:1,submit:3";
    const auto twice = run({"-o", "b.png", "--material", "twice", "--device", "0"});
    EXPECT_EQ(twice.exit_code, 0) << twice.err;
    EXPECT_THAT(twice.err, HasSubstr("device lost"));
    for (const char *end : {"_albedo.png", "_height.png", "_normal.png", "_orm.png"}) {
        const std::string name = "Gradient_0_000" + std::string(end);
        EXPECT_EQ(test::read_text(folder_.path() / "twice" / name),
                  test::read_text(folder_.path() / "whole" / name))
            << name;
    }
    environment_["TESSERA_LOSE"] = "submit:1+";
    const auto never = run({"-o", "c.png", "--material", "never"});
    EXPECT_EQ(never.exit_code, 1);
    EXPECT_THAT(never.err, HasSubstr("material never: "));
    EXPECT_TRUE(has("c.png")) << "what was made is there";
}
#endif

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
