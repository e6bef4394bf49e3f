// Read-only mappings.
#include "assets/mapped_file.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include <sys/stat.h>

namespace tessera {
namespace {

TEST(MappedFile, ShowsTheBytes) {
    const test::TemporaryFolder folder;
    const auto file = MappedFile::open(folder.write("a", "hello"));
    ASSERT_TRUE(file);
    ASSERT_EQ(file->bytes().size(), 5U);
    EXPECT_EQ(static_cast<char>(file->bytes()[4]), 'o');
}

TEST(MappedFile, EmptyFileIsEmpty) {
    const test::TemporaryFolder folder;
    const auto file = MappedFile::open(folder.write("empty", ""));
    ASSERT_TRUE(file);
    EXPECT_TRUE(file->bytes().empty());
}

TEST(MappedFile, MovesWithoutUnmapping) {
    const test::TemporaryFolder folder;
    auto first = MappedFile::open(folder.write("a", "hello"));
    ASSERT_TRUE(first);
    const MappedFile second = std::move(*first);
    EXPECT_TRUE(first->bytes().empty()); // NOLINT(bugprone-use-after-move): that is the test
    EXPECT_EQ(static_cast<char>(second.bytes()[0]), 'h');
}

TEST(MappedFile, DiscardedPagesComeBackFromTheFile) {
    const test::TemporaryFolder folder;
    const std::string content(1 << 16, 'x');
    const auto file = MappedFile::open(folder.write("a", content));
    ASSERT_TRUE(file);
    EXPECT_EQ(static_cast<char>(file->bytes()[9000]), 'x');
    file->discard(100, 40000);
    file->discard(0, content.size() + 1000);
    file->discard(content.size() + 1, 5);
    EXPECT_EQ(static_cast<char>(file->bytes()[9000]), 'x');
}

TEST(MappedFile, MissingFilesFoldersAndPipesAreErrors) {
    const test::TemporaryFolder folder;
    const auto missing = MappedFile::open(folder.path() / "missing");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().status, Status::kNotFound);
    EXPECT_NE(missing.error().message.find("missing"), std::string::npos);
    EXPECT_FALSE(MappedFile::open(folder.path()));
    const auto pipe = folder.path() / "pipe";
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    EXPECT_FALSE(MappedFile::open(pipe)); // and does not wait for a writer
}

} // namespace
} // namespace tessera
