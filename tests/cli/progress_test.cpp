// The progress bar: on terminals of any width, and nowhere else.
#include "sandbox/generate/progress_bar.hpp"
#include "tests/cli/program.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace tessera {
namespace {

using testing::HasSubstr;

// Between two returns to the start of the line, without commands.
std::size_t longest_line(const std::string &text) {
    std::size_t longest = 0;
    std::size_t columns = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\r' || text[i] == '\n') columns = 0;
        if (text[i] == '\x1b') {
            while (i < text.size() && text[i] != 'K') ++i;
        } else if (text[i] >= ' ') {
            longest = std::max(longest, ++columns);
        }
    }
    return longest;
}

TEST(ProgressLine, IsShorterThanTheTerminal) {
    const std::string text = std::string(300, 'x');
    for (const std::size_t columns : {200U, 80U, 40U, 10U, 1U, 0U}) {
        EXPECT_LE(progress_line(0.5, text, columns, true).size(), columns) << columns;
        EXPECT_TRUE(columns == 0 || progress_line(0.5, text, columns, true).size() < columns);
    }
    EXPECT_EQ(progress_line(0.5, "lava  step 6/12", 80, true),
              "[#############.............]  50%  lava  step 6/12");
    EXPECT_EQ(progress_line(1, "été", 30, false), "[##########] 100%  ?t?");
}

class ProgressBarOnATerminal : public testing::Test {
  protected:
    // What the program shows on a terminal of that many columns; nothing: there is no `script`.
    std::string shown(const std::string &environment, int columns) {
        if (!std::filesystem::exists("/usr/bin/script")) return {};
        const std::string command = "stty cols " + std::to_string(columns) + "; env " +
                                    environment +
                                    " " TESSERA_GENERATE " --plugin test.good --steps 40 -o a.png";
        test::ProgramOptions options;
        options.folder = folder_.path();
        options.environment["TESSERA_PLUGIN_PATH"] = TESSERA_TEST_PLUGINS;
        return test::run_program("/usr/bin/script", {"-qec", command, "/dev/null"}, options).out;
    }
    test::TemporaryFolder folder_;
};

TEST_F(ProgressBarOnATerminal, FitsItsWidth) {
    const std::string wide = shown("TERM=xterm", 80);
    if (wide.empty()) GTEST_SKIP() << "no terminal could be had";
    EXPECT_THAT(wide, HasSubstr("100%"));
    EXPECT_LT(longest_line(wide), 80U);
    EXPECT_LT(longest_line(shown("TERM=xterm", 24)), 24U);
}

TEST_F(ProgressBarOnATerminal, IsNotDrawnWhereNothingCanBe) {
    const std::string dumb = shown("TERM=dumb", 80);
    if (dumb.empty()) GTEST_SKIP() << "no terminal could be had";
    EXPECT_EQ(dumb, "a.png\r\n");
}

} // namespace
} // namespace tessera
