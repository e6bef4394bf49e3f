// Faster sampling from the command line: what is reported of a deadline makes the same image again,
// and the presets of the bundled model say nothing that it does not know.
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
    const fs::path model = fs::path(TESSERA_SOURCE_DIR) / "plugins/models/materials_mar_latents";
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
        const auto text = value.is_string() ? value.get<std::string>() : value.dump();
        settings.push_back(key + "=" + text);
    }
    EXPECT_EQ(settings.size(), 6U); // the deadline, and what it did
    ASSERT_EQ(with(settings), 0);
    EXPECT_EQ(bytes("again.png"), bytes("late.png"));
}

void check_presets(const std::string &model) {
    const fs::path presets = fs::path(TESSERA_SOURCE_DIR) / "plugins/models" / model / "presets";
    if (!fs::exists(presets.parent_path() / "generator.safetensors")) {
        GTEST_SKIP() << "no bundled model";
    }
    const test::TemporaryFolder folder;
    test::ProgramOptions options;
    options.folder = folder.path();
    int count = 0;
    for (const fs::directory_entry &preset : fs::directory_iterator(presets)) {
        const std::string name = preset.path().stem().string();
        const auto outcome = test::run_program(
            TESSERA_GENERATE,
            {"--preset", preset.path().string(), "-m", presets.parent_path().string(), "--steps",
             "2", "-q", "-o", name + ".png", "--json", name + ".json"},
            options);
        EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
        EXPECT_EQ(outcome.err, "") << name;
        const auto given = nlohmann::json::parse(test::read_text(preset.path()))["values"];
        const auto used =
            nlohmann::json::parse(test::read_text(folder.path() / (name + ".json")))["values"];
        for (const auto &[key, value] : given.items()) {
            EXPECT_TRUE(key == "steps" || used[key] == value) << name << ": " << key;
        }
        ++count;
    }
    EXPECT_GE(count, 2);
}

TEST(ModelPresets, AreUnderstoodAsAWhole) { check_presets("materials"); }
TEST(ModelPresets, OfMarAreUnderstoodAsAWhole) { check_presets("materials_mar"); }
TEST(ModelPresets, OfMarOnLatentsAreUnderstoodAsAWhole) { check_presets("materials_mar_latents"); }

} // namespace
} // namespace tessera
