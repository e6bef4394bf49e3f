// tessera-generate as its users meet it: what it writes, and how it fails.
#include "assets/image_file.hpp"
#include "assets/image_seam.hpp"
#include "assets/output_file.hpp"
#include "tests/cli/program.hpp"
#include "tests/unit/assets/safetensors_bytes.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <sys/mount.h>
#include <unistd.h>

namespace tessera {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int kFailure = 1;
constexpr int kUsage = 2;

class Generate : public testing::Test {
  protected:
    Generate() {
        options_.environment["TESSERA_PLUGIN_PATH"] = TESSERA_TEST_PLUGINS;
        options_.folder = folder_.path();
    }
    test::Outcome run(const std::vector<std::string> &arguments) {
        return test::run_program(TESSERA_GENERATE, arguments, options_);
    }
    // Of the test generator that makes no mistakes: 8 x 8 pixels of (seed, class, activations).
    test::Outcome run_good(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {"--plugin", "test.good"});
        return run(arguments);
    }
    [[nodiscard]] std::string at(const std::string &name) const {
        return (folder_.path() / name).string();
    }
    [[nodiscard]] Image image(const std::string &name) const {
        auto read = read_image(folder_.path() / name, 3);
        EXPECT_TRUE(read) << read.error().message;
        return read ? *read : Image();
    }
    // A message that names the program and says this, and nothing half-made.
    void expect_failure(const test::Outcome &outcome, int exit_code, const std::string &message) {
        EXPECT_EQ(outcome.signal, 0) << outcome.err;
        EXPECT_EQ(outcome.exit_code, exit_code) << outcome.out << outcome.err;
        EXPECT_THAT(outcome.err, HasSubstr(message));
        for (const auto &entry : fs::recursive_directory_iterator(folder_.path())) {
            EXPECT_EQ(entry.path().string().find(".part-"), std::string::npos) << entry.path();
        }
    }

    test::TemporaryFolder folder_;
    test::ProgramOptions options_;
};

// ---- what it writes -----------------------------------------------------------------------------

TEST_F(Generate, OneImage) {
    const auto outcome = run_good({"--class", "sand", "--seed", "7", "-o", "a.png"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, "a.png\n");
    EXPECT_EQ(outcome.err, ""); // no progress bar in a pipe
    EXPECT_EQ(image("a.png").pixels[0], 7);
    EXPECT_EQ(image("a.png").pixels[1], 1);
}

TEST_F(Generate, SeveralImagesInBatchesAreTheSameAsOneByOne) {
    ASSERT_EQ(run_good({"--count", "5", "--batch", "2", "-o", "two"}).exit_code, 0);
    ASSERT_EQ(run_good({"--count", "5", "-o", "one"}).exit_code, 0);
    for (int i = 0; i < 5; ++i) {
        const std::string name = "bark_0_00" + std::to_string(i) + ".png";
        EXPECT_EQ(image("one/" + name).pixels[0], i);
        EXPECT_EQ(test::read_text(at("one/" + name)), test::read_text(at("two/" + name)));
    }
}

TEST_F(Generate, SeveralImagesWithOneFileNameAreNumbered) {
    ASSERT_EQ(run_good({"--count", "2", "-o", "a.png"}).exit_code, 0);
    EXPECT_EQ(image("a_bark_0_001.png").pixels[0], 1);
}

TEST_F(Generate, EveryClassOnAContactSheet) {
    const auto outcome = run_good({"--all-classes", "-o", "out", "--contact-sheet", "sheet.png"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(image("out/bark_0_000.png").pixels[1], 0);
    EXPECT_EQ(image("out/sand_0_000.png").pixels[1], 1);
    EXPECT_FALSE(fs::exists(at("out/none_0_000.png"))); // is not a class
    EXPECT_EQ(image("sheet.png").width, 8U + 4U + 8U);
    EXPECT_EQ(image("sheet.png").height, 8U);
}

TEST_F(Generate, EveryIntermediateImage) {
    ASSERT_EQ(run_good({"--frames", "frames", "--steps", "3"}).exit_code, 0);
    for (const char *name : {"0001", "0002", "0003"}) {
        EXPECT_TRUE(fs::exists(at(std::string("frames/bark_0_000_step") + name + ".png"))) << name;
    }
    EXPECT_FALSE(fs::exists(at("frames/bark_0_000_step0004.png")));
}

TEST_F(Generate, ReportAsJson) {
    const auto outcome = run_good({"--json", "-", "--steps", "3", "--seed", "9"});
    ASSERT_EQ(outcome.exit_code, 0);
    const auto report = nlohmann::json::parse(outcome.out, nullptr, false);
    ASSERT_TRUE(report.is_object()) << outcome.out;
    EXPECT_EQ(report["plugin"]["id"], "test.good");
    EXPECT_EQ(report["seed"], 9);
    EXPECT_EQ(report["tokens"], 16);
    EXPECT_EQ(report["values"]["steps"], 3);
    EXPECT_EQ(report["jobs"][0]["seconds"]["steps"].size(), 3U);
    EXPECT_EQ(report["jobs"][0]["files"][0], "tessera.png");
    EXPECT_EQ(report["jobs"][0]["seams"].size(), 1U);
    EXPECT_EQ(report["seam"], wrap_seam(image("tessera.png")));
    EXPECT_GT(report["seconds"]["first_image"], 0.0);
    EXPECT_FALSE(report["device"].get<std::string>().empty());
}

TEST_F(Generate, PresetsKeepWhatWasUsed) {
    ASSERT_EQ(
        run_good({"--class", "sand", "--seed", "3", "--save-preset", "p.json", "-q"}).exit_code, 0);
    const auto outcome = run({"--preset", "p.json", "-o", "again.png"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(image("again.png").pixels, image("tessera.png").pixels);
    ASSERT_EQ(run({"--preset", "p.json", "--seed", "4", "-o", "other.png"}).exit_code, 0);
    EXPECT_EQ(image("other.png").pixels[0], 4);
    EXPECT_EQ(image("other.png").pixels[1], 1);
}

TEST_F(Generate, ImagesAndMasksReachTheGenerator) {
    ASSERT_TRUE(write_image(at("image.png"), {8, 8, 3, std::vector<std::uint8_t>(192, 90)}));
    ASSERT_TRUE(write_image(at("mask.png"), {8, 8, 1, std::vector<std::uint8_t>(64, 255)}));
    ASSERT_EQ(run_good({"--init", "image.png", "--mask", "mask.png"}).exit_code, 0);
    EXPECT_EQ(image("tessera.png").pixels[2], 255);
}

TEST_F(Generate, APictureAloneReachesAGeneratorThatTakesNoMask) {
    ASSERT_TRUE(write_image(at("image.png"), {8, 8, 3, std::vector<std::uint8_t>(192, 90)}));
    ASSERT_TRUE(write_image(at("mask.png"), {8, 8, 1, std::vector<std::uint8_t>(64, 255)}));
    const auto outcome = run({"--plugin", TESSERA_STARTER, "--init", "image.png"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(image("tessera.png").pixels[0], 255 - 90);
    const auto masked =
        run({"--plugin", TESSERA_STARTER, "--init", "image.png", "--mask", "mask.png"});
    EXPECT_EQ(masked.exit_code, 1);
    EXPECT_THAT(masked.err, HasSubstr("takes no 'mask' input"));
    const auto good = run_good({"--init", "image.png"});
    EXPECT_EQ(good.exit_code, 2);
    EXPECT_THAT(good.err, HasSubstr("test.good takes a mask"));
}

TEST_F(Generate, ListsPluginsParametersAndModels) {
    (void)folder_.write("wood.safetensors", test::safetensors_bytes("{}", 0));
    options_.environment["TESSERA_MODEL_PATH"] = folder_.path().string();
    const auto outcome = run({"--list"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("test.good"));
    EXPECT_THAT(outcome.out, HasSubstr("org.tessera.gradient"));
    EXPECT_THAT(outcome.out, HasSubstr("strength = 1  [0 to 2]"));
    EXPECT_THAT(outcome.out, HasSubstr("not_a_plugin.so  cannot be used"));
    EXPECT_THAT(outcome.out, HasSubstr("wood  " + fs::canonical(folder_.path()).string()));
}

TEST_F(Generate, ListsEachPluginWithItsOwnModel) {
    const auto outcome = run({"--list"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const auto mar = outcome.out.find("  org.tessera.mar  ");
    ASSERT_NE(mar, std::string::npos);
    const auto lines = outcome.out.substr(mar, 600);
    EXPECT_THAT(lines, HasSubstr("class = "));
    EXPECT_THAT(lines, Not(HasSubstr("parameters unknown")));
}

TEST_F(Generate, SaysWhatItCanDo) {
    EXPECT_EQ(run({"--help"}).exit_code, 0);
    EXPECT_THAT(run({"--help"}).out, HasSubstr("--all-classes"));
    EXPECT_THAT(run({"--version"}).out, HasSubstr("tessera 0."));
    std::istringstream help(run({"--help"}).out);
    for (std::string line; std::getline(help, line);) EXPECT_LT(line.size(), 81U) << line;
}

TEST_F(Generate, TheSamplePlugins) {
    EXPECT_EQ(run({"--plugin", "org.tessera.gradient", "--set", "size=32"}).exit_code, 0);
    EXPECT_EQ(image("tessera.png").width, 32U);
    EXPECT_EQ(run({"--plugin", "org.tessera.gradient-c"}).exit_code, 0);
    EXPECT_EQ(image("tessera.png").width, 128U);
}

// ---- wrong use ----------------------------------------------------------------------------------

TEST_F(Generate, WrongUseSaysWhatWasExpected) {
    const std::pair<std::vector<std::string>, const char *> wrong[] = {
        {{"--nonsense"}, "--nonsense"},
        {{"--class", "wood"}, "class is 'wood'; expected one of bark, sand, none"},
        {{"--class", "9"}, "class is '9'"},
        {{"--steps", "0"}, "steps is '0'; expected a whole number from 1"},
        {{"--steps", "-4"}, "steps is '-4'"},
        {{"--steps", "2000000000"}, "steps is '2000000000'"},
        {{"--set", "strength=1e99"}, "strength is '1e99'"},
        {{"--set", "strength"}, "expected key=value"},
        {{"--set", "colour=1"}, "no parameter has the key 'colour'"},
        {{"--guidance", "2"}, "no parameter has the key 'guidance'"},
        {{"--count", "0"}, "--count"},
        {{"--count", "-1"}, "--count"},
        {{"--batch", "0"}, "--batch"},
        {{"--seed", "one"}, "--seed"},
        {{"--seed", "-1"}, "--seed"},
        {{"--threads", "-2"}, "--threads"},
        {{"--precision", "double"}, "--precision"},
        {{"--init", "a.png"}, "--mask"},
        {{"--set", "strength=0.3"}, "strength is '0.3'; expected a number from 0 to 2 in steps of"},
        {{"--all-classes", "--class", "sand"}, "expected one of the two"},
        {{"--all-classes", "--set", "class=sand"}, "expected one of the two"},
        // As when the variable of a shell has no value.
        {{"--output", ""}, "--output: expected a value that is not empty"},
        {{"--frames", ""}, "--frames: expected"},
        {{"--model", ""}, "--model: expected"},
        {{"--preset", ""}, "--preset: expected"},
        {{"--backend", ""}, "--backend: expected"},
    };
    for (const auto &[arguments, message] : wrong) {
        SCOPED_TRACE(arguments[0]);
        expect_failure(run_good(arguments), kUsage, message);
        EXPECT_FALSE(fs::exists(at("tessera.png")));
    }
}

TEST_F(Generate, ZeroAndNegativeSizesAreRefused) {
    for (const char *size : {"size=0", "size=-16", "size=100000", "size=16.5"}) {
        expect_failure(run({"--plugin", "org.tessera.gradient", "--set", size}), kUsage,
                       "expected a whole number from 16 to 4096");
    }
}

// ---- things that go wrong -----------------------------------------------------------------------

TEST_F(Generate, MissingPluginsModelsAndBackends) {
    expect_failure(run({"--plugin", "org.nowhere"}), kFailure, "'org.nowhere' not found");
    expect_failure(run({"--model", "no-such-model"}), kFailure, "no-such-model");
    expect_failure(run_good({"--backend", "abacus"}), kFailure, "abacus");
    expect_failure(run({"--preset", "missing.json"}), kFailure, "missing.json");
}

TEST_F(Generate, FilesThatAreNoPlugins) {
    const auto text = folder_.write("text.so", "this is no library\n");
    expect_failure(run({"--plugin", text.string()}), kFailure, "not an ELF file");
    const std::string plugins = TESSERA_TEST_PLUGINS;
    expect_failure(run({"--plugin", plugins + "/not_a_plugin.so"}), kFailure,
                   "not a Tessera plugin");
    expect_failure(run({"--plugin", plugins + "/entry_wrong_abi.so"}), kFailure, "built for ABI");
    expect_failure(run({"--plugin", plugins + "/missing.so"}), kFailure, "missing.so");
}

TEST_F(Generate, GeneratorsThatFailInEachCall) {
    const std::pair<const char *, const char *> failing[] = {
        {"test.create-fails", "create: failed: no instance today"},
        {"test.null-step", "its step is NULL"},
        {"test.init-fails", "init: failed: the head of the model is odd"},
        {"test.param-nan", "not a finite number"},
        {"test.activate-fails", "activate: failed: the weights are odd"},
        {"test.begin-fails", "begin: failed: no room for a job"},
        {"test.begin-no-job", "gave no job"},
        {"test.step-fails", "step: failed: the dice are gone"},
        {"test.step-odd-status", "answered 42"},
        {"test.step-never-done", "stuck"},
        {"test.no-image", "image 0 has no picture"},
    };
    for (const auto &[id, message] : failing) {
        SCOPED_TRACE(id);
        expect_failure(run({"--plugin", id}), kFailure, message);
    }
}

TEST_F(Generate, GeneratorsThatLieAboutTheirFrames) {
    const std::pair<const char *, const char *> lying[] = {
        {"test.frame-zero", "0 x 8 pixels"},
        {"test.frame-huge", "8 x 1048576 pixels"},
        {"test.emit-foreign", "not an acquired frame"},
        {"test.emit-twice", "emitted before"},
        {"test.emit-other-shape", "(16, 8, 4)"},
        {"test.emit-wrong-image", "image 1"},
        {"test.emit-bad-features", "(rank 9)"},
    };
    for (const auto &[id, message] : lying) {
        SCOPED_TRACE(id);
        expect_failure(run({"--plugin", id}), kFailure, message);
        EXPECT_FALSE(fs::exists(at("tessera.png")));
    }
}

TEST_F(Generate, ModelsThatAreNoModels) {
    const auto truncated = folder_.write("cut.safetensors", std::string("\xff\0\0\0\0\0\0\0{", 9));
    expect_failure(run({"--model", truncated.string()}), kFailure, "truncated");
    const auto empty = folder_.write("empty.safetensors", "");
    expect_failure(run({"--model", empty.string()}), kFailure, "but empty");
    const auto other = folder_.write(
        "other.safetensors", test::safetensors_bytes(test::kGoodHeader, test::kGoodDataBytes));
    expect_failure(run({"--model", other.string()}), kFailure, "of kind 'test', which none");
}

TEST_F(Generate, PicturesThatCannotBeRead) {
    (void)folder_.write("text.png", "this is no picture");
    ASSERT_TRUE(write_image(at("mask.png"), {8, 8, 1, std::vector<std::uint8_t>(64, 255)}));
    ASSERT_TRUE(write_image(at("small.png"), {4, 8, 3, std::vector<std::uint8_t>(96)}));
    expect_failure(run_good({"--init", "text.png", "--mask", "mask.png"}), kFailure,
                   "neither a PNG nor a JPEG");
    expect_failure(run_good({"--init", "missing.png", "--mask", "mask.png"}), kFailure,
                   "missing.png");
    expect_failure(run_good({"--init", "small.png", "--mask", "mask.png"}), kFailure,
                   "4 x 8; expected 8 x 8 pixels, or another size of the same shape");
    expect_failure(run_good({"--init", "mask.png", "--mask", "small.png"}), kFailure,
                   "small.png is 4 x 8; expected 8 x 8");
}

TEST_F(Generate, OutputsThatCannotBeWritten) {
    (void)folder_.write("file", "x");
    expect_failure(run_good({"-o", "no/such/folder/a.png"}), kFailure, "no folder");
    expect_failure(run_good({"-o", "file/images"}), kFailure, "cannot make this folder");
    expect_failure(run_good({"--frames", "file"}), kFailure, "cannot make this folder");
    expect_failure(run_good({"--contact-sheet", "no/sheet.png"}), kFailure, "no folder");
    expect_failure(run_good({"--json", "no/report.json"}), kFailure, "no folder");
    EXPECT_EQ(test::read_text(at("file")), "x");
}

TEST_F(Generate, AFolderWithoutPermission) {
    const fs::path locked = folder_.path() / "locked";
    fs::create_directory(locked);
    fs::permissions(folder_.path(), fs::perms::all);
    fs::permissions(locked, fs::perms::owner_all | fs::perms::others_read | fs::perms::others_exec);
    if (::geteuid() != 0) fs::permissions(locked, fs::perms::owner_read | fs::perms::owner_exec);
    options_.no_privileges = true;
    const auto outcome = run_good({"-o", "locked/a.png"});
    if (outcome.exit_code == 127) GTEST_SKIP() << "another user cannot run the program from here";
    expect_failure(outcome, kFailure, "locked/a.png: cannot write");
}

TEST_F(Generate, AFullDevice) {
    if (!fs::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
    expect_failure(run_good({"-o", "/dev/full"}), kFailure, "/dev/full: cannot write");
    EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST_F(Generate, ALimitOnFileSizesLeavesWhatWasThere) {
    (void)folder_.write("a.png", "old");
    options_.max_file_bytes = 64; // less than an image, more than the complaint
    expect_failure(run_good({"-o", "a.png"}), kFailure, "a.png: cannot write");
    EXPECT_EQ(test::read_text(at("a.png")), "old");
}

// A file system of one page next to the folder, gone when the test ends.
class SmallDisk {
  public:
    explicit SmallDisk(fs::path path) : path_(std::move(path)) {
        fs::create_directory(path_);
        mounted_ = ::mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=32k,mode=755") == 0;
    }
    ~SmallDisk() {
        if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
    }
    SmallDisk(const SmallDisk &) = delete;
    SmallDisk &operator=(const SmallDisk &) = delete;
    [[nodiscard]] bool mounted() const { return mounted_; }

  private:
    fs::path path_;
    bool mounted_ = false;
};

TEST_F(Generate, AFullDiskKeepsTheImagesThatFit) {
    const SmallDisk disk(folder_.path() / "disk");
    if (!disk.mounted()) GTEST_SKIP() << "mounting needs privileges";
    const auto outcome = run_good({"--count", "20", "-o", "disk"});
    expect_failure(outcome, kFailure, "cannot write");
    EXPECT_THAT(outcome.err, HasSubstr("No space left"));
    std::size_t complete = 0;
    for (const auto &entry : fs::directory_iterator(folder_.path() / "disk")) {
        EXPECT_TRUE(read_image(entry.path(), 3)) << entry.path();
        ++complete;
    }
    EXPECT_GT(complete, 0U);
    EXPECT_LT(complete, 20U);
}

} // namespace
} // namespace tessera
