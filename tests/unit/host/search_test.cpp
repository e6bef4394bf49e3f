// Search paths and models by name.
#include "core/program.hpp"
#include "host/plugin/search.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace tessera {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Search : public testing::Test {
  protected:
    Search() {
        fs::create_directory(folder_.path() / "materials");
        (void)folder_.write("materials/generator.safetensors", "x");
        (void)folder_.write("plain.safetensors", "x");
        (void)folder_.write("notes.txt", "x");
    }
    test::TemporaryFolder folder_;
};

TEST_F(Search, FindsModelsByNameFileAndFolder) {
    const PathList dirs = {folder_.path()};
    const fs::path root = fs::canonical(folder_.path());
    EXPECT_EQ(*find_model("materials", dirs), root / "materials/generator.safetensors");
    EXPECT_EQ(*find_model("plain", dirs), root / "plain.safetensors");
    EXPECT_EQ(*find_model("plain.safetensors", dirs), root / "plain.safetensors");
    EXPECT_EQ(*find_model((root / "plain.safetensors").string(), {}), root / "plain.safetensors");
    EXPECT_EQ(*find_model((root / "materials").string(), {}),
              root / "materials/generator.safetensors");
}

TEST_F(Search, AFileInTheWorkingFolderShadowsNoModel) {
    const test::TemporaryFolder working;
    (void)working.write("materials", "notes about materials");
    (void)working.write("plain.safetensors", "mine");
    fs::create_directory(working.path() / "sub");
    (void)working.write("sub/own.safetensors", "mine");
    const PathList dirs = {folder_.path()};
    const fs::path root = fs::canonical(folder_.path());
    const fs::path here = fs::canonical(working.path());
    EXPECT_EQ(*find_model("materials", dirs, here), root / "materials/generator.safetensors");
    EXPECT_EQ(*find_model("plain.safetensors", dirs, here), root / "plain.safetensors");
    EXPECT_EQ(*find_model("./plain.safetensors", dirs, here), here / "plain.safetensors");
    EXPECT_EQ(*find_model("sub/own.safetensors", dirs, here), here / "sub/own.safetensors");
    EXPECT_EQ(*find_model("sub/../plain.safetensors", {}, here), here / "plain.safetensors");
}

TEST_F(Search, AMissingModelSaysWhereItLooked) {
    const auto found = find_model("marble", {folder_.path()});
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().status, Status::kNotFound);
    EXPECT_THAT(found.error().message, HasSubstr("marble"));
    EXPECT_THAT(found.error().message, HasSubstr(folder_.path().string()));
}

TEST_F(Search, FindsAModelInShards) {
    for (const char *file : {"generator.safetensors.index.json", "model.safetensors.index.json"}) {
        const test::TemporaryFolder shards;
        const auto index = fs::canonical(shards.write(file, "{}"));
        EXPECT_EQ(*find_model(shards.path().string(), {}), index);
        EXPECT_EQ(*find_model(shards.path().filename().string(), {shards.path().parent_path()}),
                  index);
    }
}

TEST_F(Search, AFolderWithoutAModelIsNamed) {
    const test::TemporaryFolder empty;
    const auto found = find_model(empty.path().string(), {});
    ASSERT_FALSE(found);
    EXPECT_THAT(found.error().message, HasSubstr("a folder without generator.safetensors"));
}

TEST_F(Search, ListsModels) {
    const auto models = list_models({folder_.path(), folder_.path()});
    ASSERT_EQ(models.size(), 2U);
    EXPECT_EQ(models[0].name, "materials");
    EXPECT_EQ(models[1].name, "plain");
}

TEST_F(Search, TheEnvironmentComesAfterWhatIsGiven) {
    const test::TemporaryFolder other;
    const std::string variable = other.path().string() + "::/no/such/folder";
    ASSERT_EQ(::setenv("TESSERA_MODEL_PATH", variable.c_str(), 1), 0);
    const PathList dirs = model_dirs({folder_.path(), folder_.path()});
    ::unsetenv("TESSERA_MODEL_PATH");
    ASSERT_GE(dirs.size(), 2U);
    EXPECT_EQ(dirs[0], fs::canonical(folder_.path()));
    EXPECT_EQ(dirs[1], fs::canonical(other.path()));
}

TEST(SearchPath, TheProgramKnowsItsFolder) { EXPECT_TRUE(fs::is_directory(program_folder())); }

} // namespace
} // namespace tessera
