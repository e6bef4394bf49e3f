// tessera-generate and names: of formats, classes, models and presets, and of places that file
// systems and shells have.
#include "assets/image_file.hpp"
#include "tests/cli/program.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

namespace tessera {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Arguments = std::vector<std::string>;

class GenerateNames : public testing::Test {
  protected:
    GenerateNames() {
        options_.folder = folder_.path();
        options_.environment["TESSERA_PLUGIN_PATH"] = TESSERA_TEST_PLUGINS;
    }
    test::Outcome run(Arguments arguments, const char *plugin = "test.good") {
        arguments.insert(arguments.begin(), {"--plugin", plugin});
        return test::run_program(TESSERA_GENERATE, arguments, options_);
    }
    test::Outcome run_twins(const Arguments &arguments) { return run(arguments, TESSERA_TWINS); }
    // By a shell, in the folder; $generate is the program with the test plugin.
    test::Outcome run_shell(const std::string &script) {
        options_.environment["generate"] = TESSERA_GENERATE " --plugin test.good";
        return test::run_program("/bin/sh", {"-c", script}, options_);
    }
    void expect_failure(const test::Outcome &outcome, const std::string &message) {
        EXPECT_EQ(outcome.signal, 0);
        EXPECT_GT(outcome.exit_code, 0) << outcome.out;
        EXPECT_THAT(outcome.err, HasSubstr(message));
    }
    [[nodiscard]] fs::path at(const std::string &name) const { return folder_.path() / name; }
    [[nodiscard]] std::string text(const std::string &name) const {
        return test::read_text(at(name));
    }
    [[nodiscard]] int level(const std::string &name) const {
        const auto image = read_image(at(name), 3);
        EXPECT_TRUE(image) << image.error().message;
        return image ? image->pixels[0] : -1;
    }

    test::TemporaryFolder folder_;
    test::ProgramOptions options_;
};

// ---- formats ------------------------------------------------------------------------------------

TEST_F(GenerateNames, ThePictureHasTheFormatOfItsName) {
    const std::pair<const char *, const char *> names[] = {{"TILE.PNG", "\x89PNG"},
                                                           {"a.jpg", "\xff\xd8\xff"},
                                                           {"b.JPEG", "\xff\xd8\xff"},
                                                           {"c.webp", "RIFF"}};
    for (const auto &[name, start] : names) {
        const auto outcome = run({"-o", name, "--contact-sheet", std::string("sheet_") + name});
        ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
        EXPECT_TRUE(fs::is_regular_file(at(name)));
        EXPECT_THAT(text(name), testing::StartsWith(start)) << name;
        EXPECT_THAT(text(std::string("sheet_") + name), testing::StartsWith(start)) << name;
    }
}

TEST_F(GenerateNames, OtherFormatsAreRefusedBeforeAnythingIsGenerated) {
    for (const char *name : {"a.tiff", "a.GIF", "a.bmp", "a.exr", "a.avif"}) {
        expect_failure(run({"-o", name}), "names that end in .png, .jpg, .jpeg or .webp");
        expect_failure(run({"-o", "good.png", "--contact-sheet", name}), "names that end in .png");
        EXPECT_FALSE(fs::exists(at(name)));
        EXPECT_FALSE(fs::exists(at("good.png")));
    }
    expect_failure(run({"-o", "good.png", "--contact-sheet", "sheet.txt"}), "no picture's suffix");
}

TEST_F(GenerateNames, FilesOfOtherKindsAreNotReplaced) {
    (void)folder_.write("notes.txt", "important");
    (void)folder_.write("README", "important");
    for (const char *name : {"notes.txt", "README"}) {
        expect_failure(run({"-o", name}), "holds something else than a picture");
        EXPECT_EQ(text(name), "important");
    }
    EXPECT_EQ(run({"-o", "v1.5"}).exit_code, 0) << "a folder of any name";
    EXPECT_TRUE(fs::is_directory(at("v1.5")));
    EXPECT_EQ(run({"-o", "a.png/"}).exit_code, 0);
    EXPECT_TRUE(fs::is_directory(at("a.png")));
}

// ---- standard output ----------------------------------------------------------------------------

TEST_F(GenerateNames, ADashIsStandardOutput) {
    ASSERT_EQ(run({"-o", "a.png"}).exit_code, 0);
    for (const char *name : {"-", "/dev/stdout", "/dev/fd/1"}) {
        const auto outcome = run({"-o", name});
        ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
        EXPECT_EQ(outcome.out, text("a.png")) << name;
    }
    EXPECT_EQ(run_shell("$generate -o - | cat > piped.png").exit_code, 0);
    EXPECT_EQ(text("piped.png"), text("a.png"));
    EXPECT_EQ(run_shell("printf x > more; $generate -o - >> more").exit_code, 0);
    EXPECT_EQ(text("more"), "x" + text("a.png")) << "goes on where the file ended";
    EXPECT_FALSE(fs::exists(at("-")));
}

TEST_F(GenerateNames, StandardOutputTakesOneThing) {
    expect_failure(run({"-o", "-", "-n", "2"}), "2 images; expected one");
    expect_failure(run({"-o", "-", "--json", "-"}), "both written to");
    const auto report = run({"-o", "a.png", "--json", "-"});
    EXPECT_TRUE(nlohmann::json::parse(report.out, nullptr, false).is_object()) << report.out;
    const auto sheet = run({"-o", "a.png", "--contact-sheet", "-"});
    EXPECT_THAT(sheet.out, testing::StartsWith("\x89PNG"));
}

TEST_F(GenerateNames, TwoThingsNeverGoToOneFile) {
    expect_failure(run({"-o", "a.png", "--contact-sheet", "./a.png"}),
                   "--output and --contact-sheet are both written to");
    expect_failure(run({"-o", "a.png", "--save-preset", "x.json", "--json", "x.json"}),
                   "both written to x.json");
    EXPECT_FALSE(fs::exists(at("a.png")));
}

TEST_F(GenerateNames, ClosedStandardStreamsHitNoFile) {
    ASSERT_EQ(run({"-o", "a.png"}).exit_code, 0);
    EXPECT_EQ(run_shell("$generate -q -o closed.png <&- >&- 2>&-").exit_code, 0);
    EXPECT_EQ(text("closed.png"), text("a.png"));
    EXPECT_NE(run_shell("$generate -o - >&-").exit_code, 0);
}

TEST_F(GenerateNames, PipesAndDevicesAreWrittenTo) {
    ASSERT_EQ(run({"-o", "a.png"}).exit_code, 0);
    const auto piped =
        run_shell("mkfifo pipe; cat pipe > piped.png & $generate -o pipe && wait && test -p pipe");
    EXPECT_EQ(piped.exit_code, 0) << piped.err;
    EXPECT_EQ(text("piped.png"), text("a.png"));
    EXPECT_EQ(run({"-o", "/dev/null"}).exit_code, 0);
    EXPECT_TRUE(fs::is_character_file("/dev/null"));
    expect_failure(run({"-o", "a.png", "--contact-sheet", "/dev/full"}), "No space left");
}

// ---- file systems -------------------------------------------------------------------------------

TEST_F(GenerateNames, FileSystemsThatRefuseCallsGetThePicture) {
    if (std::string(TESSERA_SANITIZE) != "") GTEST_SKIP() << "its libraries want to be first";
    ASSERT_EQ(run({"-o", "expected.png"}).exit_code, 0);
    options_.environment["LD_PRELOAD"] = TESSERA_REFUSING_FILES;
    for (const char *calls : {"fchmod", "fsync", "rename_busy", "rename_across",
                              "rename_permission", "fchmod fsync rename_busy"}) {
        options_.environment["TESSERA_REFUSE"] = calls;
        for (const char *old : {"", "something that is longer than the picture will be"}) {
            if (*old != '\0') (void)folder_.write("a.png", std::string(5000, 'x'));
            const auto outcome = run({"-o", "a.png"});
            EXPECT_EQ(outcome.exit_code, 0) << calls << ": " << outcome.err;
            EXPECT_EQ(text("a.png"), text("expected.png")) << calls;
            EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 2) << calls;
            fs::remove(at("a.png"));
        }
    }
}

TEST_F(GenerateNames, AWritableFileInAReadOnlyFolder) {
    fs::create_directory(at("locked"));
    (void)folder_.write("locked/a.png", "");
    fs::permissions(at("locked/a.png"), fs::perms(0666));
    fs::permissions(at("locked"), fs::perms(0755));
    fs::permissions(folder_.path(), fs::perms(0755));
    if (::geteuid() != 0) fs::permissions(at("locked"), fs::perms(0555));
    options_.no_privileges = true;
    const auto outcome = run({"-o", "locked/a.png"});
    if (outcome.exit_code == 127) GTEST_SKIP() << "another user cannot run the program from here";
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_THAT(text("locked/a.png"), testing::StartsWith("\x89PNG"));
    expect_failure(run({"-o", "locked/new.png"}), "locked/new.png: cannot write");
    fs::permissions(at("locked"), fs::perms(0755));
}

TEST_F(GenerateNames, LongNames) {
    const std::string name = std::string(246, 'n') + ".png";
    EXPECT_EQ(run({"-o", name}).exit_code, 0);
    EXPECT_TRUE(fs::exists(at(name)));
    expect_failure(run({"-o", "n" + std::string(251, 'n') + ".png"}), "too long");
    expect_failure(run({"-o", name, "-n", "2"}), "too long"); // numbers make it longer
}

TEST_F(GenerateNames, TargetsAreCheckedBeforeTheRun) {
    fs::create_directory(at("folder.png"));
    fs::create_directory(at("folder.json"));
    const Arguments wrong[] = {{"--contact-sheet", "folder.png"},
                               {"--save-preset", "folder.json"},
                               {"--json", "folder.json"},
                               {"--contact-sheet", "no/a.png"},
                               {"--material", "/dev/null/m"}};
    for (const Arguments &arguments : wrong) {
        Arguments all{"-o", "a.png"};
        all.insert(all.end(), arguments.begin(), arguments.end());
        expect_failure(run(all), arguments[1]);
        EXPECT_FALSE(fs::exists(at("a.png"))) << arguments[0];
    }
}

TEST_F(GenerateNames, AContactSheetThatCannotBeSaysSoEarly) {
    // Of this generator the size is not known before its first picture.
    const auto outcome =
        run({"--set", "size=4096", "-n", "16", "-o", "out", "--contact-sheet", "sheet.png"},
            "org.tessera.gradient");
    expect_failure(outcome, "contact sheet of 16 images: sheet.png: cannot write: 16396 x 16396");
    EXPECT_EQ(std::distance(fs::directory_iterator(at("out")), {}), 1);
}

// ---- classes ------------------------------------------------------------------------------------

TEST_F(GenerateNames, EveryClassHasAFileOfItsOwn) {
    const auto outcome = run_twins({"--all-classes", "-o", "out", "--frames", "frames"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    std::set<int> levels;
    for (const auto &entry : fs::directory_iterator(at("out"))) {
        levels.insert(level("out/" + entry.path().filename().string()));
    }
    EXPECT_EQ(levels.size(), 10U);
    EXPECT_EQ(std::distance(fs::directory_iterator(at("frames")), {}), 10);
    EXPECT_EQ(level("out/crane_0_0_000.png"), 0);
    EXPECT_EQ(level("out/crane_2_0_000.png"), 2);
    EXPECT_EQ(level("out/砖_8_0_000.png"), 8);
}

TEST_F(GenerateNames, RunsOfTwinsDoNotReplaceEachOther) {
    ASSERT_EQ(run_twins({"--class", "0", "-o", "out"}).exit_code, 0);
    ASSERT_EQ(run_twins({"--class", "2", "-o", "out"}).exit_code, 0);
    EXPECT_EQ(std::distance(fs::directory_iterator(at("out")), {}), 2);
}

TEST_F(GenerateNames, ANameOfSeveralClassesIsRefused) {
    expect_failure(run_twins({"--class", "crane"}), "expected a number: 0 (crane), 2 (crane)");
    EXPECT_EQ(run_twins({"--class", "Owl", "-o", "owl.png"}).exit_code, 0);
    EXPECT_EQ(level("owl.png"), 3);
}

// ---- presets and models -------------------------------------------------------------------------

TEST_F(GenerateNames, PresetsKnowWhichOfTheTwinsIsMeant) {
    ASSERT_EQ(run_twins({"--class", "2", "--save-preset", "p.json"}).exit_code, 0);
    const auto preset = nlohmann::json::parse(text("p.json"), nullptr, false);
    EXPECT_EQ(preset["values"]["class"]["index"], 2);
    EXPECT_EQ(preset["values"]["class"]["name"], "crane");
    ASSERT_EQ(run_twins({"--preset", "p.json", "-o", "again.png"}).exit_code, 0);
    EXPECT_EQ(level("again.png"), 2);
}

TEST_F(GenerateNames, APresetWithAValueThatCannotBeUsedIsAnError) {
    const auto preset = [&](const char *values) {
        (void)folder_.write("p.json", std::string(R"({"format": "tessera-preset/1", )") +
                                          R"("plugin": "test.good", "values": )" + values + "}");
    };
    preset(R"({"class": "wood"})");
    expect_failure(run({"--preset", "p.json"}),
                   "p.json: class is 'wood'; expected one of bark, sand, none");
    preset(R"({"class": 17})");
    expect_failure(run({"--preset", "p.json"}), "p.json: class is '17'");
    preset(R"({"steps": 2000000000000})");
    expect_failure(run({"--preset", "p.json"}), "p.json: steps is '2000000000000'");
    EXPECT_FALSE(fs::exists(at("tessera.png")));
}

TEST_F(GenerateNames, ARelativeModelIsRelativeToThePreset) {
    fs::create_directories(at("presets"));
    (void)folder_.write("presets/own.safetensors", "not really");
    (void)folder_.write("presets/p.json",
                        R"({"format": "tessera-preset/1", "plugin": "org.tessera.mar",)"
                        R"( "model": "./own.safetensors"})");
    const auto found =
        test::run_program(TESSERA_GENERATE, {"--preset", "presets/p.json"}, options_);
    expect_failure(found, "presets/own.safetensors");
    fs::rename(at("presets/own.safetensors"), at("own.safetensors"));
    const auto missing =
        test::run_program(TESSERA_GENERATE, {"--preset", "presets/p.json"}, options_);
    expect_failure(missing, "presets/p.json: model './own.safetensors': no such file");
}

// ---- numbers ------------------------------------------------------------------------------------

TEST_F(GenerateNames, NumbersAreDecimal) {
    ASSERT_EQ(run({"-n", "010", "-o", "ten"}).exit_code, 0);
    EXPECT_EQ(std::distance(fs::directory_iterator(at("ten")), {}), 10);
    ASSERT_EQ(run({"--seed", "010", "--steps", "04", "-o", "a.png"}).exit_code, 0);
    EXPECT_EQ(level("a.png"), 10);
    for (const char *number : {"0x10", "1e1", "+3", " 3", "3 ", "1'000", ""}) {
        for (const char *option : {"-n", "--seed", "--threads", "--batch"}) {
            const auto outcome = run({option, number});
            EXPECT_EQ(outcome.exit_code, 2) << option << " '" << number << "'";
        }
    }
    EXPECT_THAT(run({"-n", "0x10"}).err, HasSubstr("'0x10'; expected a whole number from 1"));
}

TEST_F(GenerateNames, ExactIsPrecisionExact) {
    EXPECT_EQ(run({"--exact"}).exit_code, 0);
    EXPECT_EQ(run({"--precision", "exact"}).exit_code, 0);
    EXPECT_EQ(run({"--exact", "--precision", "default"}).exit_code, 2);
    options_.environment.erase("TESSERA_PLUGIN_PATH");
    EXPECT_EQ(run({"--plugin-dir", TESSERA_TEST_PLUGINS}).exit_code, 0);
}

} // namespace
} // namespace tessera
