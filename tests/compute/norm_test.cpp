// layer_norm and group_norm against the reference, with rows that break careless statistics.
#include "devices.hpp"
#include "harness.hpp"

#include <array>
#include <cmath>

namespace tessera::testing {
namespace {

constexpr double kEpsilon = 1e-6;

struct NormCase {
    Shape shape;
    double scale, mean; // of the numbers
    double tolerance;   // relative to the largest result
    std::int64_t gap = 0;
};

class NormTest : public DeviceTest {};
TESSERA_ON_ALL_DEVICES(NormTest);

// Float32 statistics of x lose eps |mean| / deviation, whatever the method: the tolerance follows
// it.
const NormCase kLayerCases[] = {
    {{1, 1}, 1, 0, 2e-6},        {{1, 7}, 1, 0, 2e-6},      {{13, 48}, 1, 0, 2e-6},
    {{2, 3, 65}, 2, 1, 2e-6, 3}, {{300, 1024}, 1, 0, 2e-6}, {{5, 768}, 1, 1000, 3e-4},
    {{4, 100}, 1e-3, 10, 3e-3},  {{3, 33}, 1e-5, 0, 2e-6}, // variance far below epsilon
    {{3, 256}, 1e4, 0, 2e-6},
};

Array run_layer_norm(const tessera_compute &compute, const NormCase &c, bool affine,
                     bool in_place) {
    const Array given = random_array(c.shape, 1, c.scale, c.mean);
    const Array gamma_values = random_array({c.shape.back()}, 2, 0.1, 1);
    const Array beta_values = random_array({c.shape.back()}, 3, 0.1);
    const DeviceTensor x(compute, given, c.gap);
    const DeviceTensor separate(compute, c.shape, c.gap);
    const DeviceTensor gamma(compute, gamma_values);
    const DeviceTensor beta(compute, beta_values);
    const DeviceTensor &out = in_place ? x : separate;
    compute.layer_norm(&compute, x.view(), affine ? gamma.view() : nullptr,
                       affine ? beta.view() : nullptr, static_cast<float>(kEpsilon), out.view());
    Array got = out.download();
    EXPECT_TRUE(out.gaps_untouched());
    const Array want = reference::layer_norm(given, affine ? &gamma_values : nullptr,
                                             affine ? &beta_values : nullptr,
                                             static_cast<double>(static_cast<float>(kEpsilon)));
    expect_close(got, want, nullptr, c.tolerance, 1e-7, "layer_norm");
    return got;
}

TEST_P(NormTest, LayerNormEqualsReference) {
    for (const NormCase &c : kLayerCases) {
        for (const bool affine : {true, false}) {
            const Array apart = run_layer_norm(device(), c, affine, false);
            expect_identical(run_layer_norm(device(), c, affine, true), apart, "in place");
        }
    }
}

TEST_P(NormTest, LayerNormOfConstantRowIsBeta) {
    for (const std::int64_t width : {1, 8, 37, 768}) {
        const Array given({2, width}, 1234.5678955078125);
        const Array gamma_values = random_array({width}, 2);
        const Array beta_values = random_array({width}, 3);
        const DeviceTensor x(device(), given);
        const DeviceTensor gamma(device(), gamma_values);
        const DeviceTensor beta(device(), beta_values);
        const DeviceTensor out(device(), given.shape);
        device().layer_norm(&device(), x.view(), gamma.view(), beta.view(), 1e-6F, out.view());
        const Array got = out.download();
        for (std::int64_t i = 0; i < got.size(); ++i)
            EXPECT_EQ(got[i], beta_values[i % width]) << "width " << width << ", element " << i;
    }
}

TEST_P(NormTest, LayerNormRowsDoNotDependOnEachOtherOrThreads) {
    const Array given = random_array({41, 100}, 1);
    const tessera_compute &single = device_with_threads(1);
    const DeviceTensor x(device(), given);
    const DeviceTensor out(device(), given.shape);
    device().layer_norm(&device(), x.view(), nullptr, nullptr, 1e-6F, out.view());
    const Array want = out.download();
    const DeviceTensor single_x(single, given);
    const DeviceTensor single_out(single, given.shape);
    single.layer_norm(&single, single_x.view(), nullptr, nullptr, 1e-6F, single_out.view());
    expect_identical(single_out.download(), want, "one thread");
    for (std::int64_t row = 0; row < 41; row += 8) {
        Array one({1, 100});
        Array expected({1, 100});
        for (std::int64_t i = 0; i < 100; ++i) {
            one[i] = given.at(row, i);
            expected[i] = want.at(row, i);
        }
        const DeviceTensor alone(device(), one);
        device().layer_norm(&device(), alone.view(), nullptr, nullptr, 1e-6F, alone.view());
        expect_identical(alone.download(), expected, "one row alone");
    }
}

TEST_P(NormTest, RmsNormEqualsReference) {
    const tessera_compute &single = device_with_threads(1);
    for (const Shape &shape :
         {Shape{1, 1}, Shape{13, 7}, Shape{2, 3, 4, 32}, Shape{5, 65}, Shape{40, 1024}}) {
        const Array given = random_array(shape, 1, 3.0, 0.5);
        const Array gamma_values = random_array({shape.back()}, 2, 0.1, 1);
        const DeviceTensor gamma(device(), gamma_values);
        for (const bool scaled : {true, false}) {
            const auto run = [&](const tessera_compute &compute, const tessera_tensor *factors) {
                const DeviceTensor x(compute, given, 3);
                const DeviceTensor out(compute, shape, 1);
                compute.rms_norm(&compute, x.view(), factors, 1e-6F, out.view());
                Array got = out.download();
                EXPECT_TRUE(out.gaps_untouched());
                compute.rms_norm(&compute, x.view(), factors, 1e-6F, x.view());
                expect_identical(x.download(), got, "in place");
                return got;
            };
            const Array got = run(device(), scaled ? gamma.view() : nullptr);
            expect_close(got,
                         reference::rms_norm(given, scaled ? &gamma_values : nullptr,
                                             static_cast<double>(1e-6F)),
                         nullptr, 2e-6, 1e-7, "rms_norm");
            const DeviceTensor other_gamma(single, gamma_values);
            expect_identical(run(single, scaled ? other_gamma.view() : nullptr), got, "one thread");
        }
    }
}

TEST_P(NormTest, RmsNormOfZerosAndOfWhatIsNoNumber) {
    Array given({3, 16}, 0.0);
    given.at(1, 4) = NAN;
    given.at(2, 0) = 4;
    const DeviceTensor x(device(), given);
    device().rms_norm(&device(), x.view(), nullptr, 1e-12F, x.view());
    const Array got = x.download();
    for (std::int64_t i = 0; i < 16; ++i) {
        EXPECT_EQ(got.at(0, i), 0.0);
        EXPECT_TRUE(std::isnan(got.at(1, i)));
        EXPECT_NEAR(got.at(2, i), i == 0 ? 4.0 : 0.0, 1e-6);
    }
}

struct GroupCase {
    Shape shape;
    std::int64_t groups;
    double scale, mean, tolerance;
    std::int64_t gap = 0;
};

const GroupCase kGroupCases[] = {
    {{1, 1, 1, 32}, 32, 1, 0, 2e-6}, // one number a group: the result is beta
    {{2, 3, 5, 64}, 32, 1, 0, 3e-6},       {{1, 9, 7, 96}, 3, 1, 1, 3e-6},
    {{2, 16, 16, 40}, 8, 1, 0, 3e-6, 4},   {{1, 33, 65, 128}, 32, 1, 0, 3e-6},
    {{1, 20, 20, 64}, 32, 1, 1000, 3e-4},  {{1, 8, 8, 32}, 1, 1e-5, 0, 3e-6},
    {{3, 12, 12, 20}, 20, 1e-3, 10, 3e-3},
};

Array run_group_norm(const tessera_compute &compute, const GroupCase &c,
                     tessera_activation_kind kind, bool in_place) {
    const Array given = random_array(c.shape, 1, c.scale, c.mean);
    const Array gamma_values = random_array({c.shape.back()}, 2, 0.1, 1);
    const Array beta_values = random_array({c.shape.back()}, 3, 0.1);
    const DeviceTensor x(compute, given, c.gap);
    const DeviceTensor separate(compute, c.shape, c.gap);
    const DeviceTensor gamma(compute, gamma_values);
    const DeviceTensor beta(compute, beta_values);
    const DeviceTensor &out = in_place ? x : separate;
    compute.group_norm(&compute, x.view(), static_cast<std::uint32_t>(c.groups), gamma.view(),
                       beta.view(), static_cast<float>(kEpsilon), kind, out.view());
    Array got = out.download();
    EXPECT_TRUE(out.gaps_untouched());
    const Array want =
        reference::group_norm(given, c.groups, gamma_values, beta_values,
                              static_cast<double>(static_cast<float>(kEpsilon)), kind);
    expect_close(got, want, nullptr, c.tolerance, 1e-7, "group_norm");
    return got;
}

TEST_P(NormTest, GroupNormEqualsReference) {
    const tessera_compute &single = device_with_threads(1);
    for (const GroupCase &c : kGroupCases) {
        for (const tessera_activation_kind kind :
             {TESSERA_ACTIVATION_NONE, TESSERA_ACTIVATION_SILU}) {
            const Array apart = run_group_norm(device(), c, kind, false);
            expect_identical(run_group_norm(device(), c, kind, true), apart, "in place");
            expect_identical(run_group_norm(single, c, kind, false), apart, "one thread");
        }
    }
}

TEST_P(NormTest, GroupNormImagesDoNotDependOnEachOther) {
    const Array both = random_array({2, 11, 13, 32}, 1);
    const Array gamma_values = random_array({32}, 2, 0.1, 1);
    const Array beta_values = random_array({32}, 3);
    const DeviceTensor gamma(device(), gamma_values);
    const DeviceTensor beta(device(), beta_values);
    const auto run = [&](const Array &given) {
        const DeviceTensor x(device(), given);
        device().group_norm(&device(), x.view(), 8, gamma.view(), beta.view(), 1e-6F,
                            TESSERA_ACTIVATION_SILU, x.view());
        return x.download();
    };
    const Array together = run(both);
    Array second({1, 11, 13, 32});
    Array want = second;
    for (std::int64_t i = 0; i < second.size(); ++i) {
        second[i] = both[second.size() + i];
        want[i] = together[second.size() + i];
    }
    expect_identical(run(second), want, "one image alone");
}

} // namespace
} // namespace tessera::testing
