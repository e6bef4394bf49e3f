// What tessera-generate reports of a deadline makes the same image again.
#include "tests/cli/program.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace tessera {
namespace {

namespace fs = std::filesystem;

TEST(GenerateDeadline, TheReportMakesTheImageAgain) {
    const fs::path model = fs::path(TESSERA_SOURCE_DIR) / "plugins/models/materials";
    if (!fs::exists(model / "generator.safetensors")) GTEST_SKIP() << "no bundled model";
    const test::TemporaryFolder folder;
    test::ProgramOptions options;
    options.folder = folder.path();
    const auto with = [&](const std::vector<std::string> &more) {
        std::vector<std::string> arguments = {"-m", model.string(),    "--class", "bark", "--steps",
                                              "6",  "--denoise-steps", "10"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return test::run_program(TESSERA_GENERATE, arguments, options).exit_code;
    };
    const auto bytes = [&](const char *name) { return test::read_text(folder.path() / name); };

    ASSERT_EQ(with({"-o", "whole.png", "--json", "whole.json"}), 0);
    const auto whole = nlohmann::json::parse(bytes("whole.json"));
    EXPECT_FALSE(whole["jobs"][0].contains("values"));
    ASSERT_EQ(with({"-o", "late.png", "--set", "deadline=0.0001", "--json", "late.json"}), 0);
    EXPECT_NE(bytes("late.png"), bytes("whole.png"));

    const auto report = nlohmann::json::parse(bytes("late.json"));
    std::vector<std::string> settings = {"-o", "again.png"};
    for (const auto &[key, value] : report["jobs"][0]["values"].items()) {
        settings.emplace_back("--set");
        settings.push_back(fmt::format("{}={}", key, value.get<int>()));
    }
    EXPECT_EQ(settings.size(), 16U); // the deadline and six levels
    ASSERT_EQ(with(settings), 0);
    EXPECT_EQ(bytes("again.png"), bytes("late.png"));
}

} // namespace
} // namespace tessera
