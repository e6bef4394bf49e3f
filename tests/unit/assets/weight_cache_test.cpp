// Shared weight files.
#include "assets/weight_cache.hpp"
#include "core/tensor.hpp"
#include "tests/unit/assets/safetensors_bytes.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <filesystem>

namespace tessera {
namespace {

TEST(WeightCache, SharesAFileByItsPath) {
    const test::TemporaryFolder folder;
    const auto path = folder.write(
        "m.safetensors", test::safetensors_bytes(test::kGoodHeader, test::kGoodDataBytes));
    WeightCache cache;
    const auto first = cache.open(path);
    const auto second = cache.open(folder.path() / "." / "m.safetensors");
    ASSERT_TRUE(first);
    ASSERT_TRUE(second);
    EXPECT_EQ(first->get(), second->get());
}

TEST(WeightCache, OpensAChangedFileAnewAndKeepsTheOldOne) {
    const test::TemporaryFolder folder;
    const auto path = folder.write(
        "m.safetensors", test::safetensors_bytes(test::kGoodHeader, test::kGoodDataBytes));
    WeightCache cache;
    const auto first = cache.open(path);
    ASSERT_TRUE(first);
    const auto next = folder.write(
        "next",
        test::safetensors_bytes(R"({"c":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1));
    std::filesystem::rename(next, path);
    const auto second = cache.open(path);
    ASSERT_TRUE(second);
    EXPECT_NE(first->get(), second->get());
    EXPECT_TRUE((*second)->find("c"));
    EXPECT_TRUE((*first)->find("a"));
}

TEST(WeightCache, SeesAChangeThatLeavesTheSize) {
    const test::TemporaryFolder folder;
    const auto path = folder.write(
        "m.safetensors", test::safetensors_bytes(test::kGoodHeader, test::kGoodDataBytes));
    WeightCache cache;
    const auto first = cache.open(path);
    std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) +
                                               std::chrono::seconds(2));
    const auto second = cache.open(path);
    ASSERT_TRUE(first);
    ASSERT_TRUE(second);
    EXPECT_NE(first->get(), second->get());
}

TEST(WeightSet, ViewsTheMappedBytes) {
    const test::TemporaryFolder folder;
    const auto set = WeightSet::open(folder.write(
        "m.safetensors", test::safetensors_bytes(test::kGoodHeader, test::kGoodDataBytes)));
    ASSERT_TRUE(set);
    const auto b = set->find("b");
    ASSERT_TRUE(b);
    EXPECT_EQ(size_bytes(*b), 4);
    EXPECT_EQ(static_cast<const std::uint8_t *>(b->data)[0], 24);
    set->discard("a");
    set->discard("no such tensor");
    EXPECT_EQ(static_cast<const std::uint8_t *>(set->find("a")->data)[5], 5);
    EXPECT_FALSE(set->find("no such tensor"));
}

TEST(WeightCache, SaysWhatIsWrongWithAFile) {
    const test::TemporaryFolder folder;
    WeightCache cache;
    const auto missing = cache.open(folder.path() / "missing.safetensors");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().status, Status::kNotFound);
    const auto bad = cache.open(folder.write("bad.safetensors", "not weights at all"));
    ASSERT_FALSE(bad);
    EXPECT_NE(bad.error().message.find("bad.safetensors"), std::string::npos);
    EXPECT_FALSE(cache.open(folder.path()));
}

} // namespace
} // namespace tessera
