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

struct ReverseCase {
    float clean_x, clean_model, clean_second, low, high, state_scale, clean_scale, kept_scale;
    float noise_scale, logvar_base, logvar_slope;
    bool second, state, kept, noise, columns, clean; // which tensors are there

    [[nodiscard]] tessera_reverse options() const {
        tessera_reverse options{};
        options.struct_size = sizeof options;
        options.clean_x = clean_x;
        options.clean_model = clean_model;
        options.clean_second = clean_second;
        options.clean_low = low;
        options.clean_high = high;
        options.state_scale = state_scale;
        options.clean_scale = clean_scale;
        options.kept_scale = kept_scale;
        options.noise_scale = noise_scale;
        options.logvar_base = logvar_base;
        options.logvar_slope = logvar_slope;
        return options;
    }
};

const ReverseCase kReverses[] = {
    {0, 1, 0, 0, 0, 0.3F, 0.7F, 0, 0, 0, 0, false, false, false, false, false, false}, // x0
    {1.5F, -0.7F, 0, -1, 1, 0.3F, 0.7F, 0, 0, 0, 0, false, false, false, false, false, true},
    {0.8F, -0.6F, 0, 0, 0, 0.5F, 0.4F, -0.3F, 0.9F, 0, 0, false, false, true, true, false, true},
    {0.6F, 0.4F, -0.5F, -0.5F, 0.7F, 0.3F, 0.7F, 0, 1, 0, 0, true, false, false, true, false, true},
    {1.2F, -0.7F, 0, 0, 0, 0.4F, 0.6F, 0, 1, -3, 1.2F, true, false, false, true, false, false},
    {0.6F, -0.8F, 0, -2, 2, 0.2F, 0.5F, 0.3F, 0, 0, 0, false, true, true, false, false, true},
    {1, 1, 1, -1, 1, 1, 1, 1, 1, 0, 0, true, true, true, true, true, true},
    {1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, false, false, true, true, true, true},
};

TEST_P(SamplingTest, ReverseStepEqualsReference) {
    for (const Shape &shape : {Shape{1, 1}, Shape{13, 16}, Shape{6, 19}}) {
        for (const ReverseCase &c : kReverses) {
            const std::int64_t d = shape[1];
            const Array x_values = random_array(shape, 1);
            const Array model_values = random_array({shape[0], c.second ? 2 * d : d}, 2);
            const Array state_values = random_array(shape, 3);
            const Array kept_values = random_array(shape, 4);
            const Array noise_values = random_array(shape, 5);
            const Array column_values = random_array({7, d}, 6);
            const DeviceTensor x(device(), x_values, 1);
            const DeviceTensor model(device(), model_values, 2);
            const DeviceTensor state(device(), state_values, 3);
            const DeviceTensor kept(device(), kept_values, 1);
            const DeviceTensor noise(device(), noise_values);
            const DeviceTensor columns(device(), column_values, 1);
            const DeviceTensor out(device(), shape, 3);
            tessera_reverse options = c.options();
            options.state = c.state ? state.view() : nullptr;
            options.kept = c.kept ? kept.view() : nullptr;
            options.noise = c.noise ? noise.view() : nullptr;
            options.columns = c.columns ? columns.view() : nullptr;
            options.clean = c.clean ? kept.view() : nullptr; // in place of what was kept
            Array clean;
            const Array want = reference::clean_step(
                x_values, model_values, options,
                {c.state ? &state_values : nullptr, c.kept ? &kept_values : nullptr,
                 c.noise ? &noise_values : nullptr, c.columns ? &column_values : nullptr, &clean});
            device().reverse_step(&device(), x.view(), model.view(), &options, out.view());
            expect_close(out.download(), want, nullptr, 2e-6, 1e-7, "reverse_step");
            EXPECT_TRUE(out.gaps_untouched());
            if (c.clean) {
                expect_close(kept.download(), clean, nullptr, 1e-6, 1e-7, "the clean estimate");
                EXPECT_TRUE(kept.gaps_untouched());
            }
            options.clean = nullptr;
            const DeviceTensor before(device(), kept_values);
            if (c.kept) options.kept = before.view();
            const Array apart = out.download();
            device().reverse_step(&device(), x.view(), model.view(), &options, x.view());
            expect_identical(x.download(), apart, "reverse_step in place");
        }
    }
}

// Clipping bounds what was infinite, and hides nothing that is not a number.
TEST_P(SamplingTest, ReverseStepClipsTheCleanEstimate) {
    Array model_values({3, 8}, 0.5);
    model_values.at(0, 1) = INFINITY;
    model_values.at(1, 2) = NAN;
    model_values.at(2, 3) = -1e30;
    const DeviceTensor x(device(), Array({3, 8}, 0.25));
    const DeviceTensor model(device(), model_values);
    const DeviceTensor out(device(), Shape{3, 8});
    tessera_reverse options{};
    options.struct_size = sizeof options;
    options.clean_model = 1;
    options.clean_low = -1;
    options.clean_high = 2;
    options.clean_scale = 1;
    device().reverse_step(&device(), x.view(), model.view(), &options, out.view());
    const Array got = out.download();
    for (std::int64_t row = 0; row < 3; ++row) {
        for (std::int64_t i = 0; i < 8; ++i) {
            if (row == 1 && i == 2)
                EXPECT_TRUE(std::isnan(got.at(row, i)));
            else
                EXPECT_EQ(got.at(row, i), i != row + 1 ? 0.5 : row == 0 ? 2.0 : -1.0);
        }
    }
}

// dx/dt = -x by two evaluations a step: Heun's factor 1 - h + h^2 / 2, where one gives 1 - h.
TEST_P(SamplingTest, ReverseStepEvaluatesTwice) {
    const Array start = random_array({4, 6}, 1);
    const DeviceTensor x(device(), start);
    const DeviceTensor model(device(), Shape{4, 6});
    const DeviceTensor slope(device(), Shape{4, 6});
    const DeviceTensor between(device(), Shape{4, 6});
    const DeviceTensor out(device(), Shape{4, 6});
    constexpr float kH = 0.25F;
    tessera_reverse first{};
    first.struct_size = sizeof first;
    first.clean_model = 1;
    first.state_scale = 1;
    first.clean_scale = kH;
    first.clean = slope.view();
    tessera_reverse second = first;
    second.clean_scale = kH / 2;
    second.kept_scale = kH / 2;
    second.state = x.view();
    second.kept = slope.view();
    second.clean = nullptr;
    device().scale_offset(&device(), x.view(), -1.0F, 0.0F, model.view());
    device().reverse_step(&device(), x.view(), model.view(), &first, between.view());
    device().scale_offset(&device(), between.view(), -1.0F, 0.0F, model.view());
    device().reverse_step(&device(), between.view(), model.view(), &second, out.view());
    expect_close(out.download(), reference::scale_offset(start, 1 - 0.25 + 0.25 * 0.25 / 2, 0),
                 nullptr, 1e-6, 0, "two evaluations");
}

} // namespace
} // namespace tessera::testing
