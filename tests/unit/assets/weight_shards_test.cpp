// Models in several files with an index.
#include "assets/weight_cache.hpp"
#include "assets/weight_shards.hpp"
#include "core/tensor.hpp"
#include "tests/unit/assets/safetensors_bytes.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>

#include <chrono>
#include <ostream>

namespace tessera {
namespace {

namespace fs = std::filesystem;
using std::string_literals::operator""s;
using testing::HasSubstr;

constexpr std::string_view kFirst =
    R"({"__metadata__":{"format":"pt","kind":"test"},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
    R"("c":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})";
constexpr std::string_view kSecond =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})";
constexpr std::string_view kIndex =
    R"({"metadata":{"total_size":7,"config":"{}"},)"
    R"("weight_map":{"a":"one.safetensors","b":"two.safetensors","c":"one.safetensors"}})";

class Shards : public testing::Test {
  protected:
    Shards() {
        (void)folder_.write("one.safetensors", test::safetensors_bytes(kFirst, 3));
        (void)folder_.write("two.safetensors", test::safetensors_bytes(kSecond, 4));
    }
    Result<WeightSet> open(std::string_view index) {
        return WeightSet::open(folder_.write("model.safetensors.index.json", index));
    }
    void fails(std::string_view index, std::string_view expected) {
        const auto set = open(index);
        ASSERT_FALSE(set) << index;
        EXPECT_THAT(set.error().message, HasSubstr(expected));
    }
    test::TemporaryFolder folder_;
};

TEST_F(Shards, HoldTheTensorsOfAllFiles) {
    const auto set = open(kIndex);
    ASSERT_TRUE(set) << set.error().message;
    ASSERT_EQ(set->header().entries.size(), 3U);
    EXPECT_EQ(set->header().entries[1].name, "b");
    EXPECT_EQ(size_bytes(*set->find("b")), 4);
    EXPECT_EQ(static_cast<const std::uint8_t *>(set->find("b")->data)[3], 3);
    EXPECT_EQ(static_cast<const std::uint8_t *>(set->find("c")->data)[0], 2);
    EXPECT_FALSE(set->find("d"));
    set->discard("b");
    EXPECT_EQ(set->header().metadata.at("kind"), "test");
    EXPECT_EQ(set->header().metadata.at("config"), "{}");
    EXPECT_EQ(set->files().size(), 3U);
}

TEST_F(Shards, AreFoundNextToTheIndexWhereverTheProgramRuns) {
    const auto index = folder_.write("model.safetensors.index.json", kIndex);
    const fs::path before = fs::current_path();
    fs::current_path("/");
    const auto set = WeightSet::open(index);
    fs::current_path(before);
    EXPECT_TRUE(set);
}

// As download managers keep them: links to files with other names in another folder.
TEST_F(Shards, MayBeLinks) {
    const auto index = folder_.write("d41d8", kIndex);
    const test::TemporaryFolder links;
    fs::create_symlink(index, links.path() / "model.safetensors.index.json");
    for (const char *shard : {"one.safetensors", "two.safetensors"}) {
        fs::rename(folder_.path() / shard, folder_.path() / (std::string("blob_") + shard));
        fs::create_symlink(folder_.path() / (std::string("blob_") + shard), links.path() / shard);
    }
    WeightCache cache;
    const auto set = cache.open(links.path() / "model.safetensors.index.json");
    ASSERT_TRUE(set) << set.error().message;
    EXPECT_TRUE((*set)->find("b"));
}

TEST_F(Shards, AnyNameOfTheIndexWorks) {
    EXPECT_TRUE(
        WeightSet::open(folder_.write("weights", "\xef\xbb\xbf \n"s + std::string(kIndex))) ||
        WeightSet::open(folder_.write("weights", kIndex)));
}

TEST_F(Shards, MissingOnesAreNamed) {
    fs::remove(folder_.path() / "two.safetensors");
    fails(kIndex, "shard 'two.safetensors' is missing; expected it in");
}

TEST_F(Shards, DamagedOnesAreNamed) {
    (void)folder_.write("two.safetensors", "version https://git-lfs.github.com/spec/v1\n");
    fails(kIndex, "two.safetensors: not a safetensors file, but a Git LFS pointer");
    (void)folder_.write("two.safetensors", test::safetensors_bytes(kSecond, 3));
    fails(kIndex, "two.safetensors: not a usable safetensors file");
}

TEST_F(Shards, HaveToAgreeWithTheIndex) {
    fails(R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})",
          "holds tensor 'c', which the index model.safetensors.index.json does not list");
    fails(R"({"weight_map":{"a":"two.safetensors","b":"two.safetensors","c":"one.safetensors"}})",
          "holds tensor 'a', which the index model.safetensors.index.json puts into two");
    fails(R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors","c":"one.safetensors",)"
          R"("d":"two.safetensors"}})",
          "two.safetensors: has no tensor 'd'");
    (void)folder_.write("two.safetensors", test::safetensors_bytes(kFirst, 3));
    fails(kIndex, "two.safetensors: holds tensor 'a'");
}

TEST_F(Shards, OfDifferentModelsAreRefused) {
    (void)folder_.write(
        "two.safetensors",
        test::safetensors_bytes(
            R"({"__metadata__":{"kind":"other"},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
            4));
    fails(kIndex, "metadata 'kind' differs");
}

struct Escape {
    const char *name;
    const char *shard; // as JSON
};
void PrintTo(const Escape &escape, std::ostream *out) { *out << escape.name; }

class ShardEscapes : public Shards, public testing::WithParamInterface<Escape> {};

TEST_P(ShardEscapes, AreRefusedByName) {
    fails(R"({"weight_map":{"a":)"s + GetParam().shard + "}}", "the shard of 'a' is");
}
INSTANTIATE_TEST_SUITE_P(
    All, ShardEscapes,
    testing::Values(Escape{"Parent", R"("../two.safetensors")"},
                    Escape{"Absolute", R"("/etc/passwd")"},
                    Escape{"Subfolder", R"("x/two.safetensors")"}, Escape{"Dots", R"("..")"},
                    Escape{"Dot", R"(".")"}, Escape{"Empty", R"("")"},
                    Escape{"Backslash", R"("..\\two.safetensors")"},
                    Escape{"ZeroByte", R"("one.safetensors\u0000.png")"},
                    Escape{"Escaped", R"("\u002e\u002e\u002ftwo.safetensors")"},
                    Escape{"Number", "5"}, Escape{"Null", "null"}, Escape{"Array", "[\"a\"]"},
                    Escape{"Object", "{}"}, Escape{"Boolean", "true"}),
    [](const auto &test) { return test.param.name; });

TEST(ShardIndex, RefusesWhatIsNone) {
    const auto fails = [](std::string_view text, std::string_view expected) {
        const auto index = parse_shard_index(text, "i.json");
        ASSERT_FALSE(index) << text;
        EXPECT_THAT(index.error().message, HasSubstr("i.json: not a usable index of shards"));
        EXPECT_THAT(index.error().message, HasSubstr(expected));
    };
    fails("", "byte");
    fails("{", "cut off");
    fails("[1]", "an array");
    fails("5", "a number");
    fails("\"a\"", "a text");
    fails("{}", "no \"weight_map\"");
    fails(R"({"weight_map":[]})", "array");
    fails(R"({"weight_map":{}})", "no \"weight_map\"");
    fails(R"({"weight_map":{"a":"x","a":"y"}})", "'a' occurs twice");
    fails(R"({"weight_map":{"a":"x"},"weight_map":{"b":"y"}})", "'weight_map' occurs twice");
    fails(R"({"x":{"weight_map":{"a":"x"}}})", "no \"weight_map\"");
    fails("{\"weight_map\":" + std::string(100'000, '['), "array");
    fails("{\"a\":" + std::string(100'000, '['), "cut off");
}

TEST_F(Shards, AChangedShardIsOpenedAgain) {
    const auto index = folder_.write("model.safetensors.index.json", kIndex);
    WeightCache cache;
    const auto first = cache.open(index);
    ASSERT_TRUE(first);
    EXPECT_EQ(cache.open(index)->get(), first->get());
    const fs::path shard = folder_.path() / "two.safetensors";
    fs::last_write_time(shard, fs::last_write_time(shard) + std::chrono::seconds(2));
    EXPECT_NE(cache.open(index)->get(), first->get());
}

} // namespace
} // namespace tessera
