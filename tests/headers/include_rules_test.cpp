// Who may include what (architecture guide, section 6): scans the sources.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct Rule {
    std::string folder;
    std::string forbidden; // a regular expression on the included path
    std::string why;
};

const Rule kRules[] = {
    {"runtime/abi", R"(^(core|vulkan|compute|assets|host|interop|sandbox)/|\.hpp$)",
     "the contract is C alone"},
    {"runtime/values",
     R"(^(core|vulkan|compute|assets|host|interop|sandbox|blocks)/|tessera/sdk|fmt)",
     "values stand on the contract and the standard library alone"},
    {"runtime/core", R"(^(compute|assets|host|interop|sandbox)/|^vulkan/|volk)",
     "core is below everything"},
    {"runtime/vulkan", R"(^(compute|assets|host|interop|sandbox)/|GLFW|imgui)",
     "the Vulkan base knows core only"},
    {"runtime/maps", R"(^(compute|assets|host|api|interop|sandbox)/|vulkan|volk)",
     "maps know core only"},
    {"runtime/compute", R"(^(assets|host|interop|sandbox)/)", "compute knows core only"},
    {"runtime/assets", R"(^(compute|host|interop|sandbox)/|vulkan|volk)", "assets know core only"},
    {"runtime/host", R"(^(api|interop|sandbox)/|^vulkan/|volk)", "the host knows no window"},
    {"runtime/api", R"(^(interop|sandbox)/|volk)", "the library draws nothing"},
    {"runtime", R"(GLFW|imgui)", "windows are the sandbox's"},
    {"interop", R"(^(host|compute|assets|sandbox)/|GLFW|imgui|tessera/sdk)",
     "interop knows no plugins"},
    {"plugins/sdk", R"(^(core|vulkan|compute|assets|host|interop|sandbox|blocks)/)",
     "plugins link nothing of the runtime"},
    {"plugins/blocks", R"(^(core|vulkan|compute|assets|host|interop|sandbox)/)",
     "plugins link nothing of the runtime"},
    {"plugins/gradient", "^blocks/", "a sample stands alone"},
    {"plugins/gradient_c", R"(^blocks/|\.hpp$)", "a sample in plain C stands alone"},
    {"sandbox", R"(^(blocks|mar)/|tessera/sdk/generator)", "programs name no plugin"},
};

// A generator's folder includes nothing of the runtime and nothing of another generator.
std::vector<Rule> rules_of_generators() {
    std::vector<std::string> names;
    for (const auto &entry : fs::directory_iterator(fs::path(TESSERA_SOURCE_DIR) / "plugins")) {
        const std::string name = entry.path().filename().string();
        if (name == "sdk" || name == "blocks") continue;
        if (fs::exists(entry.path() / "CMakeLists.txt")) names.push_back(name);
    }
    std::vector<Rule> rules;
    for (const std::string &name : names) {
        std::string others = "core|vulkan|compute|assets|host|interop|sandbox";
        for (const std::string &other : names) others += other != name ? "|" + other : "";
        rules.push_back({"plugins/" + name, "^(" + others + ")/",
                         "plugins link nothing of the runtime or of each other"});
    }
    return rules;
}

std::vector<std::string> violations(const Rule &rule) {
    static const std::regex include(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"])");
    static const std::regex source(R"(.*\.(h|hpp|c|cpp|cu|cuh)$)");
    const std::regex forbidden(rule.forbidden);
    std::vector<std::string> found;
    const fs::path root = TESSERA_SOURCE_DIR;
    for (const auto &entry : fs::recursive_directory_iterator(root / rule.folder)) {
        if (!std::regex_match(entry.path().filename().string(), source)) continue;
        std::ifstream file(entry.path());
        std::string line;
        for (int number = 1; std::getline(file, line); ++number) {
            std::smatch match;
            if (!std::regex_search(line, match, include)) continue;
            if (std::regex_search(match[1].str(), forbidden)) {
                found.push_back(fs::relative(entry.path(), root).string() + ":" +
                                std::to_string(number) + " includes " + match[1].str());
            }
        }
    }
    return found;
}

TEST(IncludeRules, EveryFolderIncludesOnlyWhatItMay) {
    std::vector<Rule> rules = rules_of_generators();
    ASSERT_GE(rules.size(), 3u);
    rules.insert(rules.end(), std::begin(kRules), std::end(kRules));
    for (const Rule &rule : rules) {
        for (const std::string &line : violations(rule))
            ADD_FAILURE() << line << " (" << rule.why << ")";
    }
}

TEST(IncludeRules, TheScanSeesIncludes) {
    const Rule everything{"runtime/abi", ".", "any include at all"};
    EXPECT_GT(violations(everything).size(), 10u);
}

} // namespace
