// One whole run of tessera-generate in which one allocation, read, write, map or thread start
// fails: it ends well or with a message, and leaves a whole picture or none. CTest tries a sample
// of the allocations; TESSERA_FAULTS=all tries every one.
#include "tests/cli/program.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>

namespace tessera {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kModel =
    TESSERA_SOURCE_DIR "/plugins/models/materials_mar_latents/generator.safetensors";
constexpr long kSample = 25;
constexpr long kLeakBytes = 65536; // what messages and caches may keep until the end

struct FaultyRun {
    test::Outcome outcome;
    std::map<std::string, long> counts; // of calls of each kind, and bytes still allocated
    std::string picture;                // empty: none was written
    std::vector<std::string> others;    // files that have no business there
};

// `fault` as the injector takes it; empty: nothing fails.
FaultyRun run_with(const std::string &fault) {
    const test::TemporaryFolder folder;
    const test::TemporaryFolder reports;
    test::ProgramOptions options;
    options.folder = folder.path();
    options.environment = {{"LD_PRELOAD", TESSERA_FAULT_INJECTOR},
                           {"TESSERA_FAULT", fault},
                           {"TESSERA_FAULT_REPORT", (reports.path() / "report").string()}};
    FaultyRun run;
    run.outcome = test::run_program(TESSERA_GENERATE,
                                    {"--plugin", "org.tessera.mar", "-m", kModel.string(),
                                     "--steps", "1", "--threads", "2", "-o", "out.png",
                                     // The CUDA runtime's own constructors cannot fail.
                                     "--backend", "cpu"},
                                    options);
    std::istringstream report(test::read_text(reports.path() / "report"));
    std::string name;
    for (long count = 0; report >> name >> count;) run.counts[name] = count;
    for (const auto &entry : fs::recursive_directory_iterator(folder.path())) {
        if (entry.path().filename() == "out.png") {
            run.picture = test::read_text(entry.path());
        } else {
            run.others.push_back(entry.path().filename().string());
        }
    }
    return run;
}

class Faults : public testing::TestWithParam<const char *> {};

TEST_P(Faults, EndWithAMessageAndWithoutAPieceOfAFile) {
    const FaultyRun whole = run_with("");
    ASSERT_EQ(whole.outcome.exit_code, 0) << whole.outcome.err;
    ASSERT_FALSE(whole.picture.empty());
    const long count = whole.counts.at(GetParam());
    ASSERT_GT(count, 0) << "the injector was not loaded";
    const char *const wish = std::getenv("TESSERA_FAULTS");
    const bool all = wish != nullptr && std::string_view(wish) == "all";
    const long tries = all ? count : std::min(count, kSample);
    for (long i = 0; i < tries; ++i) {
        const long number = tries == 1 ? 1 : 1 + i * (count - 1) / (tries - 1);
        const std::string fault = std::string(GetParam()) + ":" + std::to_string(number);
        const FaultyRun run = run_with(fault);
        SCOPED_TRACE(fault + ": " + run.outcome.err);
        EXPECT_EQ(run.outcome.signal, 0);
        EXPECT_THAT(run.others, testing::IsEmpty());
        EXPECT_TRUE(run.picture.empty() || run.picture == whole.picture) << "a partial picture";
        if (run.outcome.exit_code == 0) {
            EXPECT_EQ(run.picture.size(), whole.picture.size());
        } else {
            EXPECT_EQ(run.outcome.exit_code, 1);
            EXPECT_THAT(run.outcome.err, HasSubstr("tessera-generate: "));
            EXPECT_THAT(run.outcome.err, Not(HasSubstr("std::")));
        }
        if (run.outcome.signal == 0) {
            EXPECT_LE(run.counts.at("outstanding"), whole.counts.at("outstanding") + kLeakBytes);
        }
        if (HasFailure()) break; // one is enough to work on
    }
}
INSTANTIATE_TEST_SUITE_P(OfEach, Faults,
                         testing::Values("allocation", "read", "write", "map", "thread"),
                         [](const auto &test) { return test.param; });

} // namespace
} // namespace tessera
