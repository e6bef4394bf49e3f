// Texts of unknown origin on terminals and in file names.
#include "core/text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace tessera {
namespace {

using testing::ElementsAre;
using Labels = std::vector<std::string>;

TEST(Utf8, CharactersAndWhatIsNone) {
    EXPECT_EQ(utf8_length("a"), 1U);
    EXPECT_EQ(utf8_length("é"), 2U);
    EXPECT_EQ(utf8_length("砖"), 3U);
    EXPECT_EQ(utf8_length("🧱"), 4U);
    for (const char *wrong : {"", "\x80", "\xc0\x80", "\xe9", "\xed\xa0\x80", "\xf5\x80\x80\x80",
                              "\xe2\x82", "\xf4\x90\x80\x80"}) {
        EXPECT_EQ(utf8_length(wrong), 0U);
    }
}

TEST(TerminalText, IsOneLineThatEveryTerminalCanShow) {
    EXPECT_EQ(terminal_text("mech 3/4", 80, true), "mech 3/4");
    EXPECT_EQ(terminal_text("mech 3/4", 4, true), "mech");
    EXPECT_EQ(terminal_text("\x1b[2Jred\nalert\r", 80, true), "?[2Jred?alert?") << "no commands";
    EXPECT_EQ(terminal_text("été", 80, true), "été");
    EXPECT_EQ(terminal_text("été", 80, false), "?t?") << "a terminal without UTF-8";
    EXPECT_EQ(terminal_text("\xe9t\xe9", 80, true), "?t?") << "Latin-1";
    EXPECT_EQ(terminal_text("砖砖砖", 4, true), "砖砖") << "wide ones";
    EXPECT_EQ(terminal_text("ab\xe2\x80\xae"
                            "dc",
                            80, true),
              "ab?dc")
        << "no turning round";
}

TEST(FileParts, KeepLettersOfEveryScript) {
    EXPECT_EQ(file_part("snow_ice-2"), "snow_ice-2");
    EXPECT_EQ(file_part("a/b: c."), "a_b__c_");
    EXPECT_EQ(file_part("砖"), "砖");
    EXPECT_EQ(file_part(""), "image");
    EXPECT_EQ(file_part("\xff/.."), "____");
    const std::string part = file_part(std::string(99, 'a') + "é" + std::string(300, 'b'));
    EXPECT_EQ(part, std::string(99, 'a')) << "no half characters";
}

TEST(FileParts, NoTwoAreAlike) {
    EXPECT_THAT(distinct_file_parts(Labels{"bark", "sand"}), ElementsAre("bark", "sand"));
    EXPECT_THAT(distinct_file_parts(Labels{"crane", "owl", "crane", "Crane"}),
                ElementsAre("crane_0", "owl", "crane_2", "Crane_3"));
    EXPECT_THAT(distinct_file_parts(Labels{"a/b", "a:b", "c"}), ElementsAre("a_b_0", "a_b_1", "c"));
    EXPECT_THAT(distinct_file_parts(Labels{"été", "ÉTÉ", "x"}), ElementsAre("été_0", "ÉTÉ_1", "x"));
    EXPECT_THAT(distinct_file_parts(Labels{"砖"}), ElementsAre("砖"));
    // A number makes a name that is taken.
    Labels parts = distinct_file_parts(Labels{"a", "a", "a_0", "A_1", "a_1_3"});
    for (std::string &part : parts) {
        std::transform(part.begin(), part.end(), part.begin(),
                       [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    }
    std::sort(parts.begin(), parts.end());
    EXPECT_EQ(std::unique(parts.begin(), parts.end()), parts.end());
}

} // namespace
} // namespace tessera
