// normal, guide and reverse_step against the reference.
#include "devices.hpp"
#include "harness.hpp"

#include <cmath>

namespace tessera::testing {
namespace {

class SamplingTest : public DeviceTest {};
TESSERA_ON_ALL_DEVICES(SamplingTest);

Array run_normal(const tessera_compute &compute, std::uint64_t seed, std::uint32_t stream,
                 std::uint32_t first_draw, const Indices &index, std::int64_t width) {
    const auto rows = static_cast<std::int64_t>(index.size() / 2);
    const HostTensor host(index, {rows, 2});
    const DeviceTensor out(compute, Shape{rows, width}, 3);
    tessera_random random{};
    random.struct_size = sizeof random;
    random.seed = seed;
    random.stream = stream;
    random.first_draw = first_draw;
    random.index = host.view();
    compute.normal(&compute, &random, out.view());
    EXPECT_TRUE(out.gaps_untouched());
    return out.download();
}

TEST_P(SamplingTest, NormalEqualsReference) {
    const Indices index{0, 0, 0, 1, 3, 255, 7, 4000, 2147483647, 2147483647};
    for (const std::int64_t width : {1, 4, 16, 21}) {
        const Array got = run_normal(device(), 0x123456789abcdef0, 2, 77, index, width);
        const Array want = reference::normal(0x123456789abcdef0, 2, 77, index, width);
        // Box-Muller in float32: logarithm, root and angle each within a few units of 2^-24,
        // numbers up to 6.
        expect_close(got, want, nullptr, 0, 4e-6, "normal");
    }
}

TEST_P(SamplingTest, NormalRowsDoNotDependOnEachOther) {
    const Indices index{5, 1, 5, 2, 5, 3};
    const Array together = run_normal(device(), 42, 1, 0, index, 19);
    for (std::int64_t row = 0; row < 3; ++row) {
        Array want({1, 19});
        for (std::int64_t i = 0; i < 19; ++i) want[i] = together.at(row, i);
        expect_identical(
            run_normal(device(), 42, 1, 0, {5, static_cast<std::int32_t>(row + 1)}, 19), want,
            "one row alone");
    }
    // The numbers of a wider row begin with those of a narrower one; later draws follow.
    const Array wide = run_normal(device(), 42, 1, 0, {5, 1}, 32);
    const Array later = run_normal(device(), 42, 1, 2, {5, 1}, 8);
    for (std::int64_t i = 0; i < 8; ++i) EXPECT_EQ(wide[8 + i], later[i]);
}

TEST_P(SamplingTest, NormalNumbersAreNormal) {
    Indices index;
    for (std::int32_t i = 0; i < 4000; ++i) index.insert(index.end(), {0, i});
    const Array got = run_normal(device(), 9, 1, 0, index, 16);
    double mean = 0;
    double square = 0;
    double fourth = 0;
    for (const double value : got.values) {
        mean += value;
        square += value * value;
        fourth += std::pow(value, 4);
    }
    const auto count = static_cast<double>(got.size());
    // Five standard errors of 64000 numbers.
    EXPECT_NEAR(mean / count, 0, 5 / std::sqrt(count));
    EXPECT_NEAR(square / count, 1, 5 * std::sqrt(2 / count));
    EXPECT_NEAR(fourth / count, 3, 5 * std::sqrt(96 / count));
}

TEST_P(SamplingTest, GuideEqualsReference) {
    for (const Shape &shape : {Shape{1, 2}, Shape{13, 32}, Shape{5, 33}}) {
        const Array c_values = random_array(shape, 1);
        const Array u_values = random_array(shape, 2);
        for (const std::int64_t width : {std::int64_t{0}, shape[1] / 2, shape[1]}) {
            const DeviceTensor c(device(), c_values, 1);
            const DeviceTensor u(device(), u_values, 2);
            const DeviceTensor out(device(), shape, 3);
            device().guide(&device(), c.view(), u.view(), 3.25F, static_cast<std::uint32_t>(width),
                           out.view());
            expect_close(out.download(), reference::guide(c_values, u_values, 3.25, width), nullptr,
                         4e-7, 0, "guide");
            EXPECT_TRUE(out.gaps_untouched());
        }
    }
}

TEST_P(SamplingTest, ReverseStepEqualsReference) {
    const tessera_reverse_step steps[] = {
        {1.5F, -0.7F, -3.0F, 1.2F, 1.0F},
        {0.4F, 0.6F, 0.0F, 0.0F, 0.9F},
        {2.0F, -1.0F, -5.0F, 2.0F, 0.0F}, // no noise is read
    };
    for (const Shape &shape : {Shape{1, 4}, Shape{13, 16}, Shape{6, 19}}) {
        for (const tessera_reverse_step &step : steps) {
            for (const std::int64_t parts : {1, 2}) {
                const Array x_values = random_array(shape, 1);
                const Array model_values = random_array({shape[0], parts * shape[1]}, 2);
                const Array noise_values = random_array(shape, 3);
                const DeviceTensor x(device(), x_values, 1);
                const DeviceTensor model(device(), model_values, 2);
                const DeviceTensor noise(device(), noise_values);
                const DeviceTensor out(device(), shape, 3);
                const bool noisy = step.noise_scale != 0.0F;
                device().reverse_step(&device(), x.view(), model.view(),
                                      noisy ? noise.view() : nullptr, &step, out.view());
                const Array want =
                    reference::reverse_step(x_values, model_values, &noise_values, step);
                expect_close(out.download(), want, nullptr, 1e-6, 0, "reverse_step");
                EXPECT_TRUE(out.gaps_untouched());
                device().reverse_step(&device(), x.view(), model.view(),
                                      noisy ? noise.view() : nullptr, &step, x.view());
                expect_identical(x.download(), out.download(), "reverse_step in place");
            }
        }
    }
}

} // namespace
} // namespace tessera::testing
