// Scripts: strict reading with messages that name the line, and replay on the offscreen view.
#include "sandbox/script/script.hpp"
#include "tests/view/script_fixture.hpp"

#include <gmock/gmock.h>

#include <filesystem>

namespace tessera {
namespace {

using testing::HasSubstr;

std::string error_of(std::string_view text) {
    const auto script = parse_script(text, "test.json");
    return script ? "" : script.error().message;
}

TEST(Script, ReadsActionsWithTheirLines) {
    const auto script = parse_script(R"([
  {"set": {"class": "brick", "steps": 12, "flip": true, "a]\"[b": 0.5}}, "play",

  {"drag": [[1, 2], [3.5, -4]]},
  {"wheel": [10, 20, -3]}
])",
                                     "test.json");
    ASSERT_TRUE(script.ok()) << script.error().message;
    const auto &actions = script->actions;
    ASSERT_EQ(actions.size(), 4U);
    EXPECT_EQ(actions[0].kind, ScriptAction::Kind::kSet);
    EXPECT_THAT(actions[0].values,
                testing::ElementsAre(testing::Pair("class", "brick"), testing::Pair("steps", "12"),
                                     testing::Pair("flip", "true"),
                                     testing::Pair("a]\"[b", "0.5")));
    EXPECT_EQ(actions[0].line, 2U);
    EXPECT_EQ(actions[1].line, 2U);
    EXPECT_EQ(actions[2].line, 4U);
    EXPECT_EQ(actions[2].points[1].x, 3.5F);
    EXPECT_EQ(actions[2].points[1].y, -4.0F);
    EXPECT_EQ(actions[3].line, 5U);
    EXPECT_EQ(actions[3].number, 4U);
    EXPECT_EQ(actions[3].count, -3);
}

TEST(Script, MistakesAreNamedWithTheirLine) {
    EXPECT_THAT(error_of("[\n\"play\"\n"), HasSubstr("test.json: line 3: this is no JSON"));
    EXPECT_THAT(error_of("{}"), HasSubstr("a JSON array"));
    EXPECT_THAT(error_of("[\"play\",\n{\"click\": [1e999, 0]}]"),
                HasSubstr("line 2: this is no JSON"));
    EXPECT_THAT(error_of("[\n\"play\",\n{\"wait_steps\": -1}]"),
                HasSubstr("line 3: action 2 (wait_steps): expected a whole number from 0"));
    EXPECT_THAT(error_of("[3]"), HasSubstr("line 1: action 1: expected the name of an action"));
    EXPECT_THAT(error_of(R"(["fly"])"), HasSubstr("(fly): no such action; expected one of set"));
    EXPECT_THAT(error_of(R"([{"play": 1}])"), HasSubstr("expected nothing"));
    EXPECT_THAT(error_of(R"(["seed"])"), HasSubstr("(seed): expected a whole number"));
    EXPECT_THAT(error_of(R"([{"seed": 1.5}])"), HasSubstr("whole number"));
    EXPECT_THAT(error_of(R"([{"seed": 18446744073709551615}])"), HasSubstr("whole number"));
    EXPECT_THAT(error_of(R"([{"seed": 1, "play": 2}])"), HasSubstr("one member"));
    EXPECT_THAT(error_of(R"([{"set": {}}])"), HasSubstr("object of parameters"));
    EXPECT_THAT(error_of(R"([{"set": {"a": [1]}}])"), HasSubstr("object of parameters"));
    EXPECT_THAT(error_of(R"([{"click": [1]}])"), HasSubstr("[x, y]"));
    EXPECT_THAT(error_of(R"([{"click": [1e30, 0]}])"), HasSubstr("[x, y]"));
    EXPECT_THAT(error_of(R"([{"drag": [[1, 2]]}])"), HasSubstr("two points"));
    EXPECT_THAT(error_of(R"([{"save_view": ""}])"), HasSubstr("not empty"));
    EXPECT_NE(error_of(std::string(2'000'000, ' ')), "");
    EXPECT_NE(error_of(std::string(100'000, '[')), "");
}

TEST(Script, HelpNamesEveryAction) {
    for (const char *name : {"set", "play", "wait_done", "drag", "save_image"}) {
        EXPECT_THAT(script_help(), HasSubstr(name));
    }
}

using ScriptRun = ScriptFixture;

TEST_F(ScriptRun, PlaysAndSavesPictures) {
    const auto ran = run(R"([
        {"set": {"colour": "moss", "steps": 50}}, {"seed": 9}, "play", {"wait_steps": 20},
        {"save_image": "@some.png"}, "wait_done", {"save_image": "@all.png"},
        {"save_view": "@view.png"}])");
    if (!app_) return;
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    const Image some = read("some.png");
    EXPECT_EQ(some.width, 64U);
    EXPECT_EQ(some.pixels[1], 160) << "the first stripe is painted";
    const Image all = read("all.png");
    EXPECT_EQ(all.pixels[all.pixels.size() - 2], 160) << "and in the end the last one";
    EXPECT_EQ(read("view.png").width, 1280U);
    EXPECT_EQ(app_->control().options.seed, 9U);
}

TEST_F(ScriptRun, RecordsTheWindowAtEveryNewPicture) {
    const auto ran = run(R"([
        {"set": {"steps": 4}}, "play", "wait_done", {"record": "@film"}, {"wait_frames": 2},
        {"show_step": 1}, {"wait_frames": 5}, {"show_step": 3}, {"wait_frames": 5}, "record_end",
        {"show_step": 2}, {"wait_frames": 5}])");
    if (!app_) return;
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    // What was there, step 1 and step 3.
    EXPECT_EQ(read("film/0001.png").width, 1280U);
    EXPECT_NE(read("film/0002.png").pixels, read("film/0001.png").pixels);
    EXPECT_NE(read("film/0003.png").pixels, read("film/0002.png").pixels);
    EXPECT_FALSE(std::filesystem::exists(folder_.path() / "film" / "0004.png"));
}

TEST_F(ScriptRun, TheWindowCanBeSavedBeforeItWasDrawn) {
    const auto ran = run(R"([{"save_view": "@first.png"}])");
    if (!app_) return;
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    EXPECT_EQ(read("first.png").width, 1280U);
}

TEST_F(ScriptRun, AFolderThatCannotBeMadeIsNamed) {
    const auto ran = run(R"([{"record": "/proc/none/film"}])");
    if (!app_) return;
    ASSERT_FALSE(ran.ok());
    EXPECT_THAT(ran.error().message, HasSubstr("/proc/none/film"));
}

TEST_F(ScriptRun, KeysAndMouseAreAUsers) {
    const auto ran = run(R"([
        {"key": "space"}, {"wait_frames": 1}, "wait_done", {"key": "s"},
        {"key": "1"}, {"wheel": [820, 332, 1]}, {"drag": [[820, 332], [860, 312]]}])");
    if (!app_) return;
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    EXPECT_EQ(app_->control().stats().finished, 1U);
    EXPECT_FALSE(app_->look().smooth);
    EXPECT_EQ(app_->transform().scale(), 2.0F);
    const Point middle = app_->transform().to_picture({820, 332});
    EXPECT_NEAR(middle.x, 32 - 20, 1);
    EXPECT_NEAR(middle.y, 32 + 10, 1);
}

TEST_F(ScriptRun, ClicksReachThePanel) {
    const auto ran = run(R"([{"click": [180, 64]}, {"wait_frames": 1}, "wait_done"])");
    if (!app_) return;
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    EXPECT_EQ(app_->control().stats().finished, 1U) << "the button Restart";
}

TEST_F(ScriptRun, CancelAndRestart) {
    const auto ran = run(R"([
        {"set": {"steps": 1000000}}, "play", {"wait_steps": 10}, "cancel", "wait_done",
        {"set": {"steps": 5}}, "restart", "wait_done", "new_seed", "wait_done"])");
    if (!app_) return;
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    EXPECT_GE(app_->control().stats().cancelled, 1U);
    EXPECT_EQ(app_->control().options.seed, next_seed(0));
}

TEST_F(ScriptRun, FailuresNameTheAction) {
    const auto ran = run("[\"play\", \"wait_done\",\n{\"set\": {\"colour\": \"mauve\"}}]");
    if (!app_) return;
    ASSERT_FALSE(ran.ok());
    EXPECT_THAT(ran.error().message, HasSubstr("script.json: line 2: action 3 (set): "));
    EXPECT_THAT(ran.error().message, HasSubstr("mauve"));
}

TEST_F(ScriptRun, ShowsAnyStepOfTheRunAgain) {
    const auto ran = run(R"([
        {"set": {"steps": 8}}, "play", "wait_done",
        {"show_step": 4}, {"wait_frames": 2}, {"save_image": "@four.png"},
        {"key": "left"}, {"wait_frames": 1}, {"save_image": "@three.png"},
        {"key": "home"}, {"wait_frames": 1}, {"save_image": "@one.png"},
        {"key": "end"}, {"wait_frames": 1}, {"save_image": "@eight.png"}])");
    if (!app_) return;
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    const auto painted_rows = [](const Image &image) {
        std::uint32_t rows = 0;
        while (rows < 64 && image.pixels[std::size_t{rows} * 64 * 3] == 200) ++rows;
        return rows;
    };
    EXPECT_EQ(painted_rows(read("four.png")), 32U);
    EXPECT_EQ(painted_rows(read("three.png")), 24U);
    EXPECT_EQ(painted_rows(read("one.png")), 8U);
    EXPECT_EQ(painted_rows(read("eight.png")), 64U);
}

TEST_F(ScriptRun, AStepThatIsNotRecordedIsAnError) {
    const auto ran = run(R"(["play", "wait_done", {"show_step": 99}])");
    if (!app_) return;
    ASSERT_FALSE(ran.ok());
    EXPECT_THAT(ran.error().message, HasSubstr("step 99 of the shown run is not recorded"));
}

TEST_F(ScriptRun, MarksUndoesAndOpensFiles) {
    const auto ran = run(R"([
        {"set": {"steps": 8}}, "play", "wait_done", {"save_image": "@first.png"},
        {"rectangle": [[0, 0], [20, 63]]}, {"paint": "lock"}, {"brush": [[60, 4], [60, 60]]},
        {"set": {"colour": "moss"}}, "wait_done", {"save_image": "@second.png"},
        {"save_preset": "@moss.json"},
        {"key": "ctrl+z"}, {"wait_frames": 2}, {"save_image": "@undone.png"},
        {"key": "escape"}, {"open": "@second.png"}, "wait_done", {"save_image": "@opened.png"},
        {"open": "@moss.json"}])");
    if (!app_) return;
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    const Image second = read("second.png");
    EXPECT_EQ(second.pixels[1], 160) << "left: moss";
    EXPECT_EQ(second.pixels[63 * 3 + 1], 40) << "right: ember as before";
    EXPECT_EQ(read("undone.png").pixels, read("first.png").pixels);
    EXPECT_EQ(read("opened.png").pixels, second.pixels);
    EXPECT_EQ(app_->control().player().params().value_of("colour", -1), 1);
}

// By how much red exceeds blue, on average.
double redness(const Image &image) {
    double sum = 0;
    for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
        sum += image.pixels[i] - image.pixels[i + 2];
    }
    return sum / (static_cast<double>(image.width) * image.height);
}

TEST_F(ScriptRun, TakesTheLookOfAPictureAndGivesItBack) {
    Image red{64, 64, 3, {}};
    for (unsigned i = 0; i < 64 * 64; ++i) {
        const auto grain = static_cast<std::uint8_t>(i * 2654435761U >> 27U);
        red.pixels.insert(red.pixels.end(), {static_cast<std::uint8_t>(200 + grain), grain, grain});
    }
    ASSERT_TRUE(write_image(folder_.path() / "red.png", red).ok());
    plugin_dirs_ = {TESSERA_PLUGIN_FOLDER};
    const auto ran = run(R"([
        {"model": ")" TESSERA_SOURCE_DIR R"(/plugins/models/materials/generator.safetensors"},
        {"set": {"class": "concrete", "width": 64, "height": 64, "steps": 2}}, "play", "wait_done",
        {"save_image": "@plain.png"},
        {"style": "@red.png"}, "play", "wait_done", {"save_image": "@styled.png"},
        "no_style", "play", "wait_done", {"save_image": "@again.png"}])");
    if (!app_) return;
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    EXPECT_LT(redness(read("plain.png")), 50);
    EXPECT_GT(redness(read("styled.png")), 120);
    EXPECT_EQ(read("again.png").pixels, read("plain.png").pixels);
}

TEST_F(ScriptRun, FilesThatCannotBeOpenedAreErrors) {
    EXPECT_THAT(run(R"([{"open": "@nothing.png"}])").error().message, HasSubstr("nothing.png"));
    if (!app_) return;
    close();
    EXPECT_THAT(run(R"([{"open": "@script.json"}])").error().message, HasSubstr("preset"));
    close();
    EXPECT_THAT(run(R"([{"paint": "pink"}])").error().message, HasSubstr("'pink'; expected"));
    close();
    EXPECT_THAT(run(R"([{"brush": [[1, 1], [2, 2]]}])").error().message,
                HasSubstr("no picture yet"));
}

TEST_F(ScriptRun, AFailedRunEndsAWait) {
    const auto ran = run(R"([{"set": {"fail_at": 3}}, "play", "wait_done"])");
    if (!app_) return;
    ASSERT_FALSE(ran.ok());
    EXPECT_THAT(ran.error().message, HasSubstr("told to fail"));
}

TEST_F(ScriptRun, WaitingForAStepThatNeverComesIsAnError) {
    const auto ran = run(R"([{"set": {"steps": 5}}, "play", {"wait_steps": 6}])");
    if (!app_) return;
    ASSERT_FALSE(ran.ok());
    EXPECT_THAT(ran.error().message, HasSubstr("(wait_steps): the run ended after 5 steps"));
}

TEST_F(ScriptRun, NothingPlayedIsAnErrorToo) {
    const auto ran = run(R"([{"key": "hyper"}])");
    if (!app_) return;
    EXPECT_THAT(ran.error().message, HasSubstr("'hyper' is no key"));
    close();
    EXPECT_THAT(run(R"(["wait_done"])").error().message, HasSubstr("nothing was played"));
    close();
    EXPECT_THAT(run(R"([{"save_image": "@x.png"}])").error().message, HasSubstr("no picture yet"));
}

} // namespace
} // namespace tessera
