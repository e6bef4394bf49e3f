// Files that are either as before or complete.
#include "assets/output_file.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <string>

#include <sys/resource.h>

namespace tessera {
namespace {

namespace fs = std::filesystem;

std::size_t file_count(const fs::path &folder) {
    std::size_t count = 0;
    for (const auto &entry : fs::directory_iterator(folder)) {
        (void)entry;
        ++count;
    }
    return count;
}

TEST(OutputFile, WritesAndReplaces) {
    const test::TemporaryFolder folder;
    const fs::path path = folder.path() / "a.txt";
    ASSERT_TRUE(write_file(path, "one"));
    ASSERT_TRUE(write_file(path, "two"));
    EXPECT_EQ(test::read_text(path), "two");
    EXPECT_EQ(file_count(folder.path()), 1U);
}

TEST(OutputFile, FollowsLinksToTheirTarget) {
    const test::TemporaryFolder folder;
    const fs::path target = folder.write("target", "old");
    const fs::path link = folder.path() / "link";
    fs::create_symlink(target, link);
    ASSERT_TRUE(write_file(link, "new"));
    EXPECT_TRUE(fs::is_symlink(link));
    EXPECT_EQ(test::read_text(target), "new");
}

TEST(OutputFile, NamesWhatCannotBeWritten) {
    const test::TemporaryFolder folder;
    const auto no_folder = write_file(folder.path() / "no" / "a.txt", "x");
    ASSERT_FALSE(no_folder);
    EXPECT_EQ(no_folder.error().status, Status::kIo);
    EXPECT_NE(no_folder.error().message.find("a.txt"), std::string::npos);
    EXPECT_FALSE(write_file(folder.path(), "x"));
}

TEST(OutputFile, FullDeviceIsAnErrorAndStaysADevice) {
    if (!fs::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
    const auto written = write_file("/dev/full", "x");
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().status, Status::kIo);
    EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST(OutputFile, KeepsTheOldFileWhenThereIsNoRoom) {
    const test::TemporaryFolder folder;
    const fs::path path = folder.write("a.txt", "old");
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit tight{1024, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
    const auto written = write_file(path, std::string(4096, 'n'));
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    std::signal(SIGXFSZ, handler);
    ASSERT_FALSE(written);
    EXPECT_EQ(test::read_text(path), "old");
    EXPECT_EQ(file_count(folder.path()), 1U); // nothing half-made is left
}

} // namespace
} // namespace tessera
