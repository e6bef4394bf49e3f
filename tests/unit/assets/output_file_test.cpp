// Files that are either as before or complete.
#include "assets/output_file.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

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

TEST(OutputFile, NamesCanBeAsLongAsTheFileSystemAllows) {
    const test::TemporaryFolder folder;
    for (const std::size_t length : {250U, 255U}) {
        const fs::path path = folder.path() / std::string(length, 'n');
        EXPECT_TRUE(check_target(path));
        ASSERT_TRUE(write_file(path, "x")) << length;
        EXPECT_EQ(test::read_text(path), "x");
    }
    const auto too_long = check_target(folder.path() / std::string(256, 'n'));
    ASSERT_FALSE(too_long);
    EXPECT_NE(too_long.error().message.find("too long"), std::string::npos);
    EXPECT_FALSE(write_file(folder.path() / std::string(256, 'n'), "x"));
    EXPECT_EQ(file_count(folder.path()), 2U);
}

TEST(OutputFile, KeepsThePermissionsOfWhatItReplaces) {
    const test::TemporaryFolder folder;
    const fs::path path = folder.write("a.txt", "old");
    fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
    ASSERT_TRUE(write_file(path, "new"));
    EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_read | fs::perms::owner_write);
    // A new file gets what everybody's new files get.
    const mode_t mask = ::umask(027);
    const auto written = write_file(folder.path() / "b.txt", "x");
    ::umask(mask);
    ASSERT_TRUE(written);
    EXPECT_EQ(static_cast<unsigned>(fs::status(folder.path() / "b.txt").permissions()), 0640U);
}

TEST(OutputFile, MakesTheFileThatALinkPromises) {
    const test::TemporaryFolder folder;
    fs::create_symlink("later", folder.path() / "link");
    ASSERT_TRUE(check_target(folder.path() / "link"));
    ASSERT_TRUE(write_file(folder.path() / "link", "x"));
    EXPECT_TRUE(fs::is_symlink(folder.path() / "link"));
    EXPECT_EQ(test::read_text(folder.path() / "later"), "x");
}

TEST(OutputFile, GoesOnWhereAnOpenDescriptorIs) {
    const test::TemporaryFolder folder;
    const fs::path path = folder.write("a.txt", "begun ");
    const int file = ::open(path.c_str(), O_WRONLY | O_APPEND);
    ASSERT_GE(file, 0);
    const std::string name = "/dev/fd/" + std::to_string(file);
    EXPECT_TRUE(check_target(name));
    EXPECT_TRUE(write_file(name, "and gone on"));
    EXPECT_TRUE(write_file("/proc/self/fd/" + std::to_string(file), "."));
    ::close(file);
    EXPECT_EQ(test::read_text(path), "begun and gone on.");
    EXPECT_FALSE(write_file(name, "x")) << "closed";
    EXPECT_TRUE(is_standard_output("/dev/stdout"));
    EXPECT_TRUE(is_standard_output("/dev/fd/1"));
    EXPECT_FALSE(is_standard_output("stdout"));
}

TEST(OutputFile, ATargetIsCheckedWithoutATrace) {
    const test::TemporaryFolder folder;
    EXPECT_TRUE(check_target(folder.path() / "a.txt"));
    const auto no_folder = check_target(folder.path() / "no" / "a.txt");
    ASSERT_FALSE(no_folder);
    EXPECT_NE(no_folder.error().message.find("there is no folder"), std::string::npos);
    EXPECT_FALSE(check_target(folder.path()));
    EXPECT_FALSE(check_target(folder.path() / ""));
    EXPECT_EQ(file_count(folder.path()), 0U);
}

// One file with another one mounted over it, as containers do: it cannot be renamed onto.
TEST(OutputFile, AMountedFileIsWrittenInPlace) {
    const test::TemporaryFolder folder;
    const fs::path outside = folder.write("outside.txt", "a longer text than the new one");
    const fs::path inside = folder.write("inside.txt", "");
    if (::mount(outside.c_str(), inside.c_str(), nullptr, MS_BIND, nullptr) != 0) {
        GTEST_SKIP() << "mounting needs privileges";
    }
    const auto written = write_file(inside, "new");
    ::umount2(inside.c_str(), MNT_DETACH);
    ASSERT_TRUE(written) << written.error().message;
    EXPECT_EQ(test::read_text(outside), "new");
    EXPECT_EQ(file_count(folder.path()), 2U);
}

} // namespace
} // namespace tessera
