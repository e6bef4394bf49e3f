// Element-by-element operations against the reference.
#include "devices.hpp"
#include "harness.hpp"

#include <cmath>
#include <limits>

namespace tessera::testing {
namespace {

class ElementwiseTest : public DeviceTest {};
TESSERA_ON_ALL_DEVICES(ElementwiseTest);

const Shape kShapes[] = {{1}, {17}, {3, 1}, {5, 33}, {2, 3, 40}, {2, 3, 4, 9}, {70, 300}};

constexpr double kOneRounding = 0x1p-23; // one or two float32 roundings of the result's size

TEST_P(ElementwiseTest, FillWritesTheViewOnly) {
    for (const Shape &shape : kShapes) {
        for (const std::int64_t gap : {0, 3}) {
            const DeviceTensor out(device(), shape, gap);
            device().fill(&device(), -2.5F, out.view());
            expect_identical(out.download(), Array(shape, -2.5), "fill");
            EXPECT_TRUE(out.gaps_untouched());
        }
    }
}

TEST_P(ElementwiseTest, CopyTakesAnyStrides) {
    for (const Shape &shape : kShapes) {
        const Array given = random_array(shape, 1);
        const DeviceTensor x(device(), given, 2);
        const DeviceTensor out(device(), shape, 5);
        device().copy(&device(), x.view(), out.view());
        expect_identical(out.download(), given, "copy");
        EXPECT_TRUE(out.gaps_untouched());
    }
    // Channels first to channels last, as models do with latents: (2, 5, 3, 4) read as (2, 3, 4,
    // 5).
    const Array given = random_array({2, 5, 3, 4}, 1);
    const DeviceTensor x(device(), given);
    tessera_tensor permuted = *x.view();
    const int order[] = {0, 2, 3, 1};
    for (int i = 0; i < 4; ++i) {
        permuted.shape[i] = x.view()->shape[order[i]];
        permuted.stride[i] = x.view()->stride[order[i]];
    }
    const DeviceTensor out(device(), Shape{2, 3, 4, 5});
    device().copy(&device(), &permuted, out.view());
    const Array got = out.download();
    for (std::int64_t b = 0; b < 2; ++b)
        for (std::int64_t c = 0; c < 5; ++c)
            for (std::int64_t y = 0; y < 3; ++y)
                for (std::int64_t i = 0; i < 4; ++i)
                    EXPECT_EQ(got.at(b, y, i, c), given.at(b, c, y, i));
    // And back.
    const DeviceTensor back(device(), given.shape);
    tessera_tensor target = *back.view();
    for (int i = 0; i < 4; ++i) {
        target.shape[i] = back.view()->shape[order[i]];
        target.stride[i] = back.view()->stride[order[i]];
    }
    device().copy(&device(), out.view(), &target);
    expect_identical(back.download(), given, "copy back");
}

TEST_P(ElementwiseTest, ScaleOffsetEqualsReference) {
    for (const Shape &shape : kShapes) {
        const Array given = random_array(shape, 1);
        const DeviceTensor x(device(), given, 1);
        const DeviceTensor out(device(), shape);
        device().scale_offset(&device(), x.view(), 0.2325F, -1.5F, out.view());
        const Array want = reference::scale_offset(given, static_cast<double>(0.2325F), -1.5);
        expect_close(out.download(), want, nullptr, kOneRounding, 0, "scale_offset");
        device().scale_offset(&device(), x.view(), 0.2325F, -1.5F, x.view());
        expect_identical(x.download(), out.download(), "scale_offset in place");
    }
}

// What each operand's shape may be when it is repeated over (2, 3, 4, 9).
const Shape kRepeated[] = {{9},          {4, 9},       {1, 9},       {3, 4, 9},    {3, 1, 9},
                           {2, 3, 4, 9}, {1, 3, 4, 9}, {2, 1, 4, 9}, {2, 1, 1, 9}, {1, 1, 1, 9}};

TEST_P(ElementwiseTest, AddRepeatsItsSecondOperand) {
    const Array a_values = random_array({2, 3, 4, 9}, 1);
    const DeviceTensor a(device(), a_values, 2);
    for (const Shape &shape : kRepeated) {
        const Array b_values = random_array(shape, 2);
        const DeviceTensor b(device(), b_values, 1);
        const DeviceTensor out(device(), a_values.shape, 3);
        device().add(&device(), a.view(), b.view(), out.view());
        expect_close(out.download(), reference::add(a_values, b_values), nullptr, kOneRounding, 0,
                     "add of " + describe(shape));
        EXPECT_TRUE(out.gaps_untouched());
    }
}

TEST_P(ElementwiseTest, AddWorksInPlaceOnBothOperands) {
    for (const Shape &shape : kShapes) {
        const Array a_values = random_array(shape, 1);
        const Array b_values = random_array(shape, 2);
        const Array want = rounded(reference::add(a_values, b_values), TESSERA_DTYPE_F32);
        const DeviceTensor a(device(), a_values);
        const DeviceTensor b(device(), b_values);
        device().add(&device(), a.view(), b.view(), a.view());
        expect_identical(a.download(), want, "add in place of a");
        const DeviceTensor again(device(), a_values);
        device().add(&device(), again.view(), b.view(), b.view());
        expect_identical(b.download(), want, "add in place of b");
    }
}

TEST_P(ElementwiseTest, ModulateRepeatsShiftAndScale) {
    const Array x_values = random_array({2, 3, 4, 9}, 1);
    for (const Shape &shape : kRepeated) {
        const Array shift_values = random_array(shape, 2);
        const Array scale_values = random_array(shape, 3, 0.3);
        const DeviceTensor x(device(), x_values);
        const DeviceTensor shift(device(), shift_values);
        const DeviceTensor scale(device(), scale_values, 4);
        device().modulate(&device(), x.view(), shift.view(), scale.view(), x.view());
        expect_close(x.download(), reference::modulate(x_values, shift_values, scale_values),
                     nullptr, 2 * kOneRounding, 0, "modulate of " + describe(shape));
    }
}

TEST_P(ElementwiseTest, ActivationsEqualReference) {
    // Dense where the functions bend, and out to where they are 0 or x.
    Array given({1, 4001});
    for (std::int64_t i = 0; i < given.size(); ++i) {
        const double t = static_cast<double>(i - 2000) / 2000;
        given[i] = static_cast<double>(static_cast<float>(t * t * t * 100));
    }
    for (const auto kind : {TESSERA_ACTIVATION_NONE, TESSERA_ACTIVATION_GELU_ERF,
                            TESSERA_ACTIVATION_GELU_TANH, TESSERA_ACTIVATION_SILU}) {
        const DeviceTensor x(device(), given);
        const DeviceTensor out(device(), given.shape);
        device().activate(&device(), x.view(), kind, out.view());
        const Array want = reference::activate(given, kind);
        Array size = given; // errors are relative to |x|, as the other factor is in [0, 1]
        for (double &value : size.values) value = std::abs(value);
        expect_close(out.download(), want, &size, 6e-7, 1e-30, "activate");
        device().activate(&device(), x.view(), kind, x.view());
        expect_identical(x.download(), out.download(), "activate in place");
    }
}

TEST_P(ElementwiseTest, ActivationsOfExtremes) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const double values[] = {3e38, -3e38, kInfinity, 1e-30, -1e-30, 0.0, NAN};
    Array given({1, 7});
    for (std::int64_t i = 0; i < 7; ++i) given[i] = values[i];
    for (const auto kind :
         {TESSERA_ACTIVATION_GELU_ERF, TESSERA_ACTIVATION_GELU_TANH, TESSERA_ACTIVATION_SILU}) {
        const DeviceTensor x(device(), given);
        device().activate(&device(), x.view(), kind, x.view());
        const Array got = x.download();
        EXPECT_FLOAT_EQ(static_cast<float>(got[0]), 3e38F) << kind;
        EXPECT_LE(std::abs(got[1]), 1e-30) << kind;
        EXPECT_EQ(got[2], kInfinity) << kind;
        EXPECT_NEAR(got[3], 0.5e-30, 1e-36) << kind;
        EXPECT_NEAR(got[4], -0.5e-30, 1e-36) << kind;
        EXPECT_EQ(got[5], 0.0) << kind;
        EXPECT_TRUE(std::isnan(got[6])) << kind;
    }
}

} // namespace
} // namespace tessera::testing
