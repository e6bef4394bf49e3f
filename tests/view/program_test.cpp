// tessera-sandbox as a program: exit codes and messages where something is missing or wrong.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include <sys/wait.h>

namespace {

struct Outcome {
    int exit_code = -1; // -1: ended by a signal
    std::string output;
};

// Through the shell; both streams.
Outcome run(const std::string &environment, const std::string &arguments) {
    const std::string command =
        environment + " timeout 120 " TESSERA_SANDBOX_PROGRAM " " + arguments + " 2>&1";
    Outcome outcome;
    FILE *pipe = popen(command.c_str(), "r");
    if (pipe == nullptr) return outcome;
    std::array<char, 4096> buffer{};
    std::size_t count = 0;
    while ((count = fread(buffer.data(), 1, buffer.size(), pipe)) > 0) {
        outcome.output.append(buffer.data(), count);
    }
    const int status = pclose(pipe);
    if (WIFEXITED(status)) outcome.exit_code = WEXITSTATUS(status);
    return outcome;
}

void expect_failure(const Outcome &outcome, const std::string &words) {
    EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
    EXPECT_NE(outcome.output.find(words), std::string::npos) << outcome.output;
    EXPECT_EQ(outcome.output.rfind("tessera-sandbox: ", 0), 0U) << outcome.output;
}

const std::string kShowcase = "--plugin " TESSERA_SHOWCASE_PLUGIN;

TEST(SandboxProgram, WithoutADisplayItSaysSo) {
    expect_failure(run("env -u DISPLAY -u WAYLAND_DISPLAY", kShowcase), "no window can be opened");
}

TEST(SandboxProgram, WithoutAVulkanDriverItSaysSo) {
    expect_failure(run("VK_ICD_FILENAMES=/nonexistent.json VK_DRIVER_FILES=/nonexistent.json",
                       "--offscreen " + kShowcase),
                   "no Vulkan driver");
}

TEST(SandboxProgram, NamesWhatItCannotFind) {
    expect_failure(run("", "--offscreen --plugin org.tessera.nobody"), "org.tessera.nobody");
    expect_failure(run("", "--offscreen --model no_such_model"), "no_such_model");
    expect_failure(run("", "--offscreen " + kShowcase + " --set nothing=1"), "nothing");
    expect_failure(run("", "--offscreen " + kShowcase + " --set steps=0"), "steps");
    expect_failure(run("", "--offscreen " + kShowcase + " --backend abacus"), "abacus");
    expect_failure(run("", "--offscreen " + kShowcase + " --device abacus"), "abacus");
}

TEST(SandboxProgram, ListsDevicesThatItThenTakesByIndex) {
    const Outcome list = run("", "--list-devices");
    if (list.output.find("no Vulkan") != std::string::npos) GTEST_SKIP() << list.output;
    EXPECT_EQ(list.exit_code, 0) << list.output;
    EXPECT_EQ(list.output.substr(0, 3), "0  ") << list.output;
    const Outcome taken = run("", "--offscreen --idle --frame-limit 2 --device 0 " + kShowcase);
    EXPECT_EQ(taken.exit_code, 0) << taken.output;
}

TEST(SandboxProgram, RefusesBadOptions) {
    EXPECT_GT(run("", "--width -5").exit_code, 0);
    EXPECT_GT(run("", "--fps soon").exit_code, 0);
    EXPECT_GT(run("", "--no-such-option").exit_code, 0);
    const Outcome help = run("", "--help");
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_NE(help.output.find("--screenshot"), std::string::npos);
    std::istringstream lines(help.output);
    for (std::string line; std::getline(lines, line);) EXPECT_LT(line.size(), 81U) << line;
}

// As tessera-generate has it: one set of options, one way to read numbers, one exit code.
TEST(SandboxProgram, ReadsOptionsAsTheOtherProgramDoes) {
    const std::string start = "--offscreen --fps 0 --frame-limit 2 " + kShowcase;
    for (const char *good :
         {"--seed 010", "-s 7", "--exact", "--precision exact", "--width 0640", "--plugin-dir /tmp",
          "--model-dir /tmp", "--set steps=04", "--steps 4"}) {
        const Outcome outcome = run("", start + " " + good);
        EXPECT_EQ(outcome.exit_code, 0) << good << ": " << outcome.output;
    }
    const std::pair<const char *, const char *> wrong[] = {
        {"--seed 0x10", "'0x10'; expected a whole number from 0"},
        {"--seed -1", "'-1'; expected a whole number from 0"},
        {"--seed 1.5", "'1.5'; expected"},
        {"--width 0x100", "expected a whole number from 64 to 16384"},
        {"--budget nan", "expected a number from 0.5 to 1000"},
        {"--threads 9999", "from 0 to 1024"},
        {"--frames 2", "--frames"}, // a folder for tessera-generate: no number here
        {"--set steps", "'steps'; expected key=value"},
        {"--precision double", "--precision"},
        {"--exact --precision exact", "--exact"},
    };
    for (const auto &[arguments, words] : wrong) {
        const Outcome outcome = run("", start + " " + arguments);
        EXPECT_EQ(outcome.exit_code, 2) << arguments << ": " << outcome.output;
        EXPECT_NE(outcome.output.find(words), std::string::npos) << arguments << outcome.output;
    }
}

TEST(SandboxProgram, TakesAPresetAndNamesWhatIsWrongInIt) {
    const std::string path = testing::TempDir() + "tessera_program_preset.json";
    const auto write = [&](const char *values) {
        std::ofstream(path)
            << R"({"format": "tessera-preset/1", "plugin": "org.tessera.test.showcase", "values": )"
            << values << "}";
    };
    const std::string start = "--offscreen --fps 0 --frame-limit 2 --preset " + path + " ";
    write(R"({"steps": 5})");
    EXPECT_EQ(run("", start + kShowcase).exit_code, 0);
    write(R"({"steps": "many"})");
    expect_failure(run("", start + kShowcase), "steps is 'many'; expected a whole number");
    std::filesystem::remove(path);
    expect_failure(run("", start + kShowcase), "tessera_program_preset.json");
}

TEST(SandboxProgram, PicturesThatCannotBeWrittenAreRefusedAtOnce) {
    expect_failure(run("", "--offscreen --screenshot a.tiff " + kShowcase),
                   "names that end in .png");
    expect_failure(run("", "--offscreen --screenshot /no/such/a.png " + kShowcase), "no folder");
    const std::string path = testing::TempDir() + "tessera_bad_suffix.json";
    std::ofstream(path) << R"(["play", {"save_image": "a.gif"}])";
    expect_failure(run("", "--script " + path + " " + kShowcase),
                   "action 2 (save_image): a.gif: no picture of this format");
    std::filesystem::remove(path);
}

TEST(SandboxProgram, RunsWithoutAHome) {
    const Outcome outcome =
        run("env -u HOME -u XDG_CONFIG_HOME -u XDG_CACHE_HOME -u XDG_RUNTIME_DIR -u LANG LC_ALL=C",
            "--offscreen --fps 0 --frame-limit 2 " + kShowcase);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    EXPECT_FALSE(std::filesystem::exists(".config"));
    EXPECT_FALSE(std::filesystem::exists(".cache"));
}

TEST(SandboxProgram, BadScriptsAreNamed) {
    expect_failure(run("", "--script /nonexistent/script.json"), "/nonexistent/script.json");
    const std::string path = testing::TempDir() + "tessera_bad_script.json";
    std::ofstream(path) << "[\"play\",\n\"fly\"]";
    expect_failure(run("", "--script " + path + " " + kShowcase),
                   "tessera_bad_script.json: line 2: action 2 (fly): no such action");
    std::filesystem::remove(path);
    const Outcome help = run("", "--help");
    EXPECT_NE(help.output.find("save_image"), std::string::npos);
}

TEST(SandboxProgram, StopsAfterTheFramesItWasGiven) {
    const Outcome outcome = run("", "--offscreen --fps 0 --frame-limit 5 " + kShowcase);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    EXPECT_EQ(outcome.output, "");
}

} // namespace
