// How long a unit of work takes, the least that a step can be asked for: the frame waits for that
// much where generation shares its thread. For every bundled model at the size it is bundled at,
// against a product of matrices, since machines differ and are shared: 10 ms on two cores of 40
// billion operations a second are a product of 800 million.
#include "tests/invariants/instance.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include <ctime>

namespace tessera::invariants {

void PrintTo(const Model &model, std::ostream *out) { *out << model.name; }

namespace {

constexpr int kRuns = 2; // the least of them counts: cores are shared

double thread_cpu_ms() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return 1e3 * static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_nsec);
}

// CPU time of a product of 800 million operations on one core.
double yardstick_ms() {
    const blocks::TestDevice device;
    const std::vector<float> numbers(1024 * 1024, 0.5F);
    const auto weight =
        device.compute.pack_linear(sdk::host_view(numbers.data(), {1024, 1024}), TESSERA_DTYPE_F32);
    const auto x = device.compute.allocate({381, 1024}), y = device.compute.allocate({381, 1024});
    device.compute.fill(0.5F, x);
    double least = 1e9;
    for (int i = 0; i < 6; ++i) {
        const double start = thread_cpu_ms();
        device.compute.linear(x, weight, {}, y);
        least = std::min(least, thread_cpu_ms() - start);
    }
    return least;
}

// CPU time of each unit of a run.
std::vector<double> unit_times(Instance &instance) {
    RecordingSink sink;
    std::string problem;
    std::vector<double> times;
    tessera_job *const job = instance.begin({}, sink, problem);
    EXPECT_NE(job, nullptr) << problem;
    if (job == nullptr) return times;
    for (tessera_status status = TESSERA_MORE; status == TESSERA_MORE;) {
        const double start = thread_cpu_ms();
        status = instance.step(job, 1);
        times.push_back(thread_cpu_ms() - start);
    }
    instance.end(job);
    return times;
}

class Units : public testing::TestWithParam<Model> {};

TEST_P(Units, AreShort) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
    GTEST_SKIP() << "a build for finding faults is slow";
#endif
    const blocks::TemporaryDirectory folder;
    Instance instance(GetParam());
    ASSERT_EQ(instance.open(GetParam().write_model(folder / "")), "");
    std::vector<double> least = unit_times(instance);
    for (int run = 1; run < kRuns; ++run) {
        const std::vector<double> times = unit_times(instance);
        ASSERT_EQ(times.size(), least.size());
        for (std::size_t i = 0; i < times.size(); ++i) least[i] = std::min(least[i], times[i]);
    }
    const double longest = *std::max_element(least.begin(), least.end()), most = yardstick_ms();
    std::printf("%s: %zu units, the longest %.2f ms of one core; a product %.2f ms\n",
                GetParam().name.c_str(), least.size(), longest, most);
    EXPECT_GT(least.size(), 3U);
    EXPECT_LT(longest, most);
}

constexpr const char *kTokenizer = "materials_mar_latents"; // small models share it
INSTANTIATE_TEST_SUITE_P(
    Of, Units,
    testing::Values(bundled_model("texture", "materials", {{"steps", 3}}),
                    bundled_model("mar", "materials_mar", {}),
                    bundled_model("mar", "materials_mar_latents", {}, kTokenizer),
                    bundled_model("mar", "materials_mar_raster", {}, kTokenizer),
                    bundled_model("mar", "materials_mar_random", {}, kTokenizer),
                    bundled_model("mar", "materials_mar_codes", {}, "materials_mar_codes"),
                    bundled_model("darl", "materials_darl", {}, kTokenizer),
                    bundled_model("saim", "materials_saim", {}, kTokenizer),
                    bundled_model("umd", "materials_umd", {}, kTokenizer)),
    [](const auto &tested) { return tested.param.name; });

} // namespace
} // namespace tessera::invariants
