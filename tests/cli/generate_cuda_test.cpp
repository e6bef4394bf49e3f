// tessera-generate --backend cuda: a picture where there is a device, else one line that says why
// not.
#include "program.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace tessera {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

test::Outcome run_on_cuda(const std::string &module) {
    test::ProgramOptions options;
    options.environment["TESSERA_CUDA_MODULE"] = module;
    return test::run_program(TESSERA_GENERATE,
                             {"--plugin", "org.tessera.gradient", "--backend", "cuda", "--set",
                              "size=64", "-o", ::testing::TempDir() + "tessera_cuda_test.png"},
                             options);
}

void expect_one_line(const test::Outcome &outcome) {
    EXPECT_EQ(outcome.signal, 0);
    EXPECT_NE(outcome.exit_code, 0);
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("compute backend \"cuda\": "));
}

TEST(GenerateOnCuda, RunsOrSaysInOneLineWhyNot) {
    const auto outcome = run_on_cuda(""); // the module of this build, if it has one
    if (outcome.exit_code == 0) return;
    expect_one_line(outcome);
    EXPECT_THAT(outcome.err,
                AnyOf(HasSubstr("this build has no CUDA backend"), HasSubstr("no NVIDIA driver"),
                      HasSubstr("the NVIDIA driver is for CUDA"), HasSubstr("no CUDA device"),
                      HasSubstr("expected 7.5 or newer"), HasSubstr("CUDA does not start")));
}

TEST(GenerateOnCuda, SaysWhatIsWrongWithAModule) {
    const auto absent = run_on_cuda("/nowhere/tessera_cuda.so");
    expect_one_line(absent);
    EXPECT_THAT(absent.err, HasSubstr("/nowhere/tessera_cuda.so, which does not exist"));
    const auto text = run_on_cuda(TESSERA_SOURCE_DIR "/CMakeLists.txt");
    expect_one_line(text);
    EXPECT_THAT(text.err, HasSubstr("cannot be loaded"));
    const auto other = run_on_cuda(TESSERA_TEST_PLUGINS "/not_a_plugin.so");
    expect_one_line(other);
    EXPECT_THAT(other.err, HasSubstr("expected the module of this build"));
}

TEST(GenerateOnCuda, DrawsOnTheDouble) {
    const auto outcome = run_on_cuda(TESSERA_CUDA_DOUBLE);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

} // namespace
} // namespace tessera
