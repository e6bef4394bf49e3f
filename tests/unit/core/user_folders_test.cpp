// Folders of a user whose environment says little.
#include "core/user_folders.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

namespace tessera {
namespace {

class UserFolders : public testing::Test {
  protected:
    void SetUp() override {
        for (const char *name : {"HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"}) {
            if (const char *value = std::getenv(name)) before_[name] = value;
            ::unsetenv(name);
        }
    }
    void TearDown() override {
        for (const char *name : {"HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"}) ::unsetenv(name);
        for (const auto &[name, value] : before_) ::setenv(name.c_str(), value.c_str(), 1);
    }
    std::map<std::string, std::string> before_;
};

TEST_F(UserFolders, FollowTheEnvironment) {
    ::setenv("HOME", "/home/ada", 1);
    EXPECT_EQ(user_config_folder(), "/home/ada/.config/tessera");
    EXPECT_EQ(user_cache_folder(), "/home/ada/.cache/tessera");
    ::setenv("XDG_CONFIG_HOME", "/etc/ada", 1);
    ::setenv("XDG_CACHE_HOME", "/tmp/ada", 1);
    EXPECT_EQ(user_config_folder(), "/etc/ada/tessera");
    EXPECT_EQ(user_cache_folder(), "/tmp/ada/tessera");
}

TEST_F(UserFolders, NeverDependOnTheWorkingFolder) {
    for (const char *home : {"", "relative"}) {
        ::setenv("HOME", home, 1);
        ::setenv("XDG_CONFIG_HOME", home, 1);
        ::setenv("XDG_CACHE_HOME", home, 1);
        // The home that the system knows, or none.
        EXPECT_TRUE(user_config_folder().empty() || user_config_folder().is_absolute()) << home;
        EXPECT_TRUE(user_cache_folder().empty() || user_cache_folder().is_absolute()) << home;
    }
}

} // namespace
} // namespace tessera
