// One scenario of an engine (fault_scenario.c) in which one allocation, read, write, map, thread
// start, opening of a file, other call about files, Vulkan or CUDA call fails: a status and a text,
// no leak, and the next round works. CTest tries a sample of them; TESSERA_FAULTS=all tries every
// one.
#include "tests/cli/program.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <sstream>

namespace tessera {
namespace {

constexpr long kSample = 6;
constexpr int kRounds = 3;         // counts vary: the last calls of one may come in the next round
constexpr long kNone = 0;          // calls count from 1
constexpr long kLeakBytes = 65536; // what messages and caches may keep until the end

struct Scenario {
    test::Outcome outcome;
    std::map<std::string, long> counts; // of calls of each kind, and what was not given back
};

Scenario run_with(const std::string &kind, long number, int rounds) {
    const test::TemporaryFolder folder;
    const auto report_path = folder.path() / "report";
    test::ProgramOptions options;
    options.folder = folder.path();
    options.environment = {{"LD_PRELOAD", TESSERA_FAULT_INJECTOR},
                           {"TESSERA_FAULT", kind + ":" + std::to_string(number)},
                           {"TESSERA_FAULT_REPORT", report_path.string()}};
    if (kind == "cuda") options.environment["TESSERA_CUDA_MODULE"] = TESSERA_CUDA_DOUBLE;
    Scenario scenario;
    scenario.outcome = test::run_program(
        TESSERA_FAULT_SCENARIO, {TESSERA_API_PLUGINS, "out.png", std::to_string(rounds)}, options);
    std::istringstream report(test::read_text(report_path) +
                              test::read_text(report_path.string() + ".devices"));
    std::string name;
    for (long count = 0; report >> name >> count;) scenario.counts[name] = count;
    return scenario;
}

class ApiFaults : public testing::TestWithParam<const char *> {};

TEST_P(ApiFaults, AreAnsweredAndTheNextRoundWorks) {
    const Scenario once = run_with(GetParam(), kNone, 1),
                   whole = run_with(GetParam(), kNone, kRounds);
    ASSERT_EQ(whole.outcome.exit_code, 0) << whole.outcome.err;
    EXPECT_EQ(whole.counts.at("objects"), 0);
    const long count = once.counts.at(GetParam());
    ASSERT_GT(count, 0);
    const char *const wish = std::getenv("TESSERA_FAULTS");
    const bool all = wish != nullptr && std::string_view(wish) == "all";
    const long tries = all ? count : std::min(count, kSample);
    for (long i = 0; i < tries; ++i) {
        const long number = tries == 1 ? 1 : 1 + i * (count - 1) / (tries - 1);
        const Scenario run = run_with(GetParam(), number, kRounds);
        SCOPED_TRACE(testing::Message() << GetParam() << " " << number << ": " << run.outcome.err);
        EXPECT_EQ(run.outcome.signal, 0);
        EXPECT_THAT(run.outcome.exit_code, testing::AnyOf(0, 1));
        EXPECT_THAT(run.outcome.err, Not(testing::HasSubstr("std::")));
        if (run.outcome.signal == 0) {
            EXPECT_EQ(run.counts.at("objects"), 0);
            EXPECT_LE(run.counts.at("outstanding"), whole.counts.at("outstanding") + kLeakBytes);
        }
        if (HasFailure()) break; // one is enough to work on
    }
}
INSTANTIATE_TEST_SUITE_P(OfEach, ApiFaults,
                         testing::Values("allocation", "read", "write", "map", "thread", "open",
                                         "file", "vulkan", "cuda"),
                         [](const auto &each) { return each.param; });

} // namespace
} // namespace tessera
