// tessera-generate --backend vulkan: by the index and the name that --list tells.
#include "program.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tessera {
namespace {

using ::testing::HasSubstr;

test::Outcome run(const std::vector<std::string> &arguments) {
    return test::run_program(TESSERA_GENERATE, arguments, {});
}
test::Outcome run_on(const std::string &backend) {
    return run({"--plugin", "org.tessera.gradient", "--backend", backend, "--set", "size=64", "-o",
                ::testing::TempDir() + "tessera_vulkan_test.png"});
}

TEST(GenerateOnVulkan, TakesTheDevicesThatAreListed) {
    const std::string list = run({"--list"}).out;
    const std::string head = "\n  vulkan\n      0: ";
    const std::size_t at = list.find(head);
    if (at == std::string::npos) {
        EXPECT_THAT(list, HasSubstr("\n  vulkan  missing: "));
        GTEST_SKIP() << "no Vulkan device here";
    }
    const std::string line = list.substr(at + head.size(), list.find('\n', at + head.size()));
    EXPECT_THAT(line, HasSubstr("Vulkan 1."));
    EXPECT_THAT(line, HasSubstr("cooperative matrices"));
    const std::string name = line.substr(0, line.find(' '));
    for (const std::string &backend :
         {std::string("vulkan"), std::string("vulkan:0"), "vulkan:" + name}) {
        const auto outcome = run_on(backend);
        EXPECT_EQ(outcome.exit_code, 0) << backend << ": " << outcome.err;
    }
    const auto none = run_on("vulkan:abacus");
    EXPECT_NE(none.exit_code, 0);
    EXPECT_THAT(none.err, HasSubstr("compute backend \"vulkan\": Vulkan device 'abacus'"));
    EXPECT_THAT(none.err, HasSubstr(name));
}

} // namespace
} // namespace tessera
