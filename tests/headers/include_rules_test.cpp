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
    const char *folder;
    const char *forbidden; // a regular expression on the included path
    const char *why;
};

const Rule kRules[] = {
    {"runtime/abi", R"(^(core|vulkan|compute|assets|host|interop|sandbox)/|\.hpp$)",
     "the contract is C alone"},
    {"runtime/core", R"(^(compute|assets|host|interop|sandbox)/|vulkan|volk)",
     "core is below everything"},
    {"runtime/vulkan", R"(^(compute|assets|host|interop|sandbox)/|GLFW|imgui)",
     "the Vulkan base knows core only"},
    {"runtime/compute", R"(^(assets|host|interop|sandbox)/)", "compute knows core only"},
    {"runtime/assets", R"(^(compute|host|interop|sandbox)/|vulkan|volk)", "assets know core only"},
    {"runtime/host", R"(^(interop|sandbox)/|vulkan|volk)", "the host knows no window"},
    {"runtime", R"(GLFW|imgui)", "windows are the sandbox's"},
    {"interop", R"(^(host|compute|assets|sandbox)/|GLFW|imgui|tessera/sdk)",
     "interop knows no plugins"},
    {"plugins/sdk", R"(^(core|vulkan|compute|assets|host|interop|sandbox|blocks)/)",
     "plugins link nothing of the runtime"},
    {"plugins/blocks", R"(^(core|vulkan|compute|assets|host|interop|sandbox)/)",
     "plugins link nothing of the runtime"},
    {"plugins/mar", R"(^(core|vulkan|compute|assets|host|interop|sandbox)/)",
     "plugins link nothing of the runtime"},
    {"plugins/gradient", R"(^(core|vulkan|compute|assets|host|interop|sandbox|blocks)/)",
     "a sample stands alone"},
};

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
    for (const Rule &rule : kRules) {
        for (const std::string &line : violations(rule))
            ADD_FAILURE() << line << " (" << rule.why << ")";
    }
}

TEST(IncludeRules, TheScanSeesIncludes) {
    const Rule everything{"runtime/abi", ".", "any include at all"};
    EXPECT_GT(violations(everything).size(), 10u);
}

} // namespace
