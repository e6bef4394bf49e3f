// Each bad plugin is found by the check that is meant for it, and by no other; good ones pass.
#include "tests/cli/program.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace tessera::test {
namespace {

struct Report {
    int exit_code = -1;
    std::set<std::string> bad;
    std::string text; // everything, for a failure's message
};

Report validate(const std::string &library, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {library, "--json", "--threads", "1"});
    const Outcome outcome = run_program(TESSERA_VALIDATE, arguments, {});
    Report report{outcome.exit_code, {}, outcome.out + outcome.err};
    const auto json = nlohmann::json::parse(outcome.out, nullptr, false);
    if (json.is_discarded()) return report;
    for (const auto &check : json.at("checks")) {
        const std::string verdict = check.at("verdict");
        if (verdict == "failed" || verdict == "crashed" || verdict == "timed out") {
            report.bad.insert(check.at("id"));
        }
    }
    return report;
}

class BadPlugin : public ::testing::TestWithParam<std::string> {};

TEST_P(BadPlugin, IsFoundByItsCheckAlone) {
    const std::string &fault = GetParam();
    const std::string id = fault == "descriptor.id-form-1" ? "Bad Id" : "bad." + fault;
    const std::string check = fault.substr(0, fault.rfind('-'));
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    if (check == "run.allocates-nothing" || check == "leaves.no-memory")
        GTEST_SKIP() << "the sanitizers bring allocators of their own, whose calls nobody counts";
#endif
    const Report report = validate(TESSERA_BAD_PLUGIN, {"--id", id, "--timeout", "4"});
    EXPECT_EQ(report.bad, std::set<std::string>{check}) << report.text;
    EXPECT_EQ(report.exit_code, 1);
}

INSTANTIATE_TEST_SUITE_P(
    Faults, BadPlugin,
    ::testing::Values(
        "descriptor.id-form-1", "descriptor.fields-1", "create.makes-1", "create.makes-2",
        "create.two-1", "params.readable-1", "params.stable-1", "forward.unknown-extension-1",
        "activate.works-1", "activate.again-1", "run.finishes-1", "run.finishes-2",
        "run.finishes-3", "run.finishes-4", "run.finishes-5", "run.finishes-6", "run.final-1",
        "run.progress-1", "run.images-1", "run.cells-1", "run.features-1", "run.status-of-events-1",
        "run.allocates-nothing-1", "frames.own-1", "frames.few-1", "frames.in-bounds-1",
        "frames.not-after-emit-1", "same.again-1", "same.again-2", "same.budget-1",
        "same.previews-1", "same.batch-1", "same.requests-1", "batch.readable-1",
        "batch.readable-2", "cancel.at-once-1", "cancel.every-step-1", "cancel.leaves-nothing-1",
        "values.none-1", "values.out-of-range-1", "inputs.odd-sizes-1", "inputs.broken-1",
        "forward.bigger-request-1", "forward.smaller-request-1", "forward.no-services-1",
        "leaves.no-memory-1", "leaves.no-threads-1", "leaves.no-files-1"),
    [](const auto &fault) {
        std::string name = fault.param;
        for (char &c : name) {
            if (c == '.' || c == '-') c = '_';
        }
        return name;
    });

TEST(Validate, PassesAPluginWithoutFaults) {
    const Report report = validate(TESSERA_BAD_PLUGIN, {"--id", "bad.none"});
    EXPECT_EQ(report.exit_code, 0) << report.text;
    EXPECT_TRUE(report.bad.empty()) << report.text;
}

TEST(Validate, PassesOurOwn) {
    for (const std::string library : {TESSERA_GRADIENT, TESSERA_GRADIENT_C}) {
        const Report report = validate(library, {});
        EXPECT_EQ(report.exit_code, 0) << report.text;
    }
}

TEST(Validate, SurvivesALibraryThatCrashesOnOpening) {
    const Report report = validate(TESSERA_CRASHING_PLUGIN, {});
    EXPECT_EQ(report.bad, std::set<std::string>{"library.opens"}) << report.text;
}

// In a folder of plugins it is one line of a list, not the end of every program.
TEST(CrashingPlugin, IsALineInTheListOfOtherPrograms) {
    const TemporaryFolder folder;
    std::filesystem::copy_file(TESSERA_CRASHING_PLUGIN, folder.path() / "crashing.so");
    const Outcome list =
        run_program(TESSERA_GENERATE, {"--plugin-dir", folder.path().string(), "--list"}, {});
    EXPECT_EQ(list.exit_code, 0) << list.err;
    EXPECT_NE(list.out.find("ends the process with signal 11"), std::string::npos) << list.out;
    EXPECT_NE(list.out.find("org.tessera.gradient"), std::string::npos) << list.out;
    const Outcome chosen =
        run_program(TESSERA_GENERATE, {"--plugin", (folder.path() / "crashing.so").string()}, {});
    EXPECT_EQ(chosen.exit_code, 1);
    EXPECT_NE(chosen.err.find("crashing.so"), std::string::npos) << chosen.err;
    EXPECT_NE(chosen.err.find("signal 11"), std::string::npos) << chosen.err;
}

TEST(Validate, SaysWhatIsNoPlugin) {
    const Outcome missing = run_program(TESSERA_VALIDATE, {"/nonexistent/plugin.so"}, {});
    EXPECT_EQ(missing.exit_code, 2);
    EXPECT_NE(missing.err.find("No such file"), std::string::npos) << missing.err;
    const Report text = validate(TESSERA_SOURCE_DIR "/README.md", {});
    EXPECT_EQ(text.bad, std::set<std::string>{"library.opens"}) << text.text;
}

TEST(Validate, RunsOnlyWhatIsAskedFor) {
    const Outcome some = run_program(
        TESSERA_VALIDATE, {TESSERA_BAD_PLUGIN, "--id", "bad.none", "--include", "frames."}, {});
    EXPECT_EQ(some.exit_code, 0) << some.out;
    EXPECT_EQ(some.out.find("library.opens"), std::string::npos) << some.out;
    EXPECT_NE(some.out.find("frames.own"), std::string::npos) << some.out;
    const Outcome none =
        run_program(TESSERA_VALIDATE, {TESSERA_BAD_PLUGIN, "--include", "no-such-check"}, {});
    EXPECT_EQ(none.exit_code, 2);
    EXPECT_EQ(
        run_program(TESSERA_VALIDATE, {TESSERA_BAD_PLUGIN, "--set", "strength"}, {}).exit_code, 2);
}

TEST(Validate, AParameterThatIsNotThereIsNoSilentPass) {
    const Outcome outcome = run_program(
        TESSERA_VALIDATE, {TESSERA_BAD_PLUGIN, "--id", "bad.none", "--set", "nothing=1"}, {});
    EXPECT_NE(outcome.exit_code, 0) << outcome.out;
}

} // namespace
} // namespace tessera::test
