// tessera-sandbox as a program: exit codes and messages where something is missing or wrong.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

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
    expect_failure(run("", "--offscreen " + kShowcase + " --set steps"), "key=value");
    expect_failure(run("", "--offscreen " + kShowcase + " --backend abacus"), "abacus");
    expect_failure(run("", "--offscreen " + kShowcase + " --device abacus"), "abacus");
}

TEST(SandboxProgram, ListsDevicesThatItThenTakesByIndex) {
    const Outcome list = run("", "--list-devices");
    if (list.output.find("no Vulkan") != std::string::npos) GTEST_SKIP() << list.output;
    EXPECT_EQ(list.exit_code, 0) << list.output;
    EXPECT_EQ(list.output.substr(0, 3), "0  ") << list.output;
    const Outcome taken = run("", "--offscreen --idle --frames 2 --device 0 " + kShowcase);
    EXPECT_EQ(taken.exit_code, 0) << taken.output;
}

TEST(SandboxProgram, RefusesBadOptions) {
    EXPECT_GT(run("", "--width -5").exit_code, 0);
    EXPECT_GT(run("", "--fps soon").exit_code, 0);
    EXPECT_GT(run("", "--no-such-option").exit_code, 0);
    const Outcome help = run("", "--help");
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_NE(help.output.find("--screenshot"), std::string::npos);
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
    const Outcome outcome = run("", "--offscreen --fps 0 --frames 5 " + kShowcase);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    EXPECT_EQ(outcome.output, "");
}

} // namespace
