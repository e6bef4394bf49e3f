// depthwise_conv2d against the reference: borders, odd sizes, kernels larger than the grid.
#include "devices.hpp"
#include "harness.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tessera::testing {
namespace {

struct DepthwiseCase {
    std::int64_t batch, height, width, channels, kernel_height, kernel_width;
    bool circular = false;
    tessera_activation_kind activation = TESSERA_ACTIVATION_NONE;
    bool bias = true;
    std::int64_t gap = 0;
};

const DepthwiseCase kCases[] = {
    {1, 1, 1, 1, 1, 1},
    {1, 1, 1, 3, 3, 3, true, TESSERA_ACTIVATION_NONE, false}, // a torus of one place
    {2, 5, 7, 16, 3, 3},
    {2, 5, 7, 16, 3, 3, true, TESSERA_ACTIVATION_SILU, true, 3},
    {1, 16, 16, 40, 7, 7, true},
    {1, 9, 13, 33, 7, 7, false, TESSERA_ACTIVATION_GELU_TANH, false, 1},
    {1, 8, 6, 20, 5, 5, true},
    {1, 3, 4, 24, 7, 7, true}, // the kernel goes round the torus
    {1, 2, 3, 8, 9, 11, true},
    {3, 6, 5, 17, 1, 9, false},
    {1, 4, 31, 8, 5, 3, true},
};

struct DepthwiseOperands {
    explicit DepthwiseOperands(const DepthwiseCase &c)
        : x(random_array({c.batch, c.height, c.width, c.channels}, 1)),
          kernel(random_array({c.kernel_height, c.kernel_width, c.channels}, 2, 0.3)),
          bias(random_array({c.channels}, 3)) {}
    Array x, kernel, bias;
};

Array run_depthwise(const tessera_compute &compute, const DepthwiseCase &c,
                    const DepthwiseOperands &given) {
    const DeviceTensor x(compute, given.x, c.gap);
    const DeviceTensor kernel(compute, given.kernel, c.gap);
    const OptionalTensor bias = optional_tensor(compute, c.bias ? &given.bias : nullptr);
    const DeviceTensor out(compute, given.x.shape, 2 * c.gap);
    tessera_depthwise_conv2d options{};
    options.struct_size = sizeof options;
    options.circular = c.circular ? 1 : 0;
    options.activation = c.activation;
    options.bias = view_of(bias);
    compute.depthwise_conv2d(&compute, x.view(), kernel.view(), &options, out.view());
    Array result = out.download();
    EXPECT_TRUE(out.gaps_untouched());
    return result;
}

class DepthwiseTest : public DeviceTest {};
TESSERA_ON_ALL_DEVICES(DepthwiseTest);

TEST_P(DepthwiseTest, EqualsReference) {
    for (const DepthwiseCase &c : kCases) {
        const DepthwiseOperands given(c);
        const Product want = reference::depthwise_conv2d(given.x, given.kernel,
                                                         {.circular = c.circular,
                                                          .activation = c.activation,
                                                          .bias = c.bias ? &given.bias : nullptr});
        expect_close(run_depthwise(device(), c, given), want.value, &want.magnitude,
                     product_tolerance(TESSERA_DTYPE_F32, c.kernel_height * c.kernel_width) + 1e-6,
                     1e-7, "depthwise_conv2d");
    }
}

TEST_P(DepthwiseTest, WithoutOptionsTheGridEndsInZeros) {
    const DepthwiseCase c{1, 4, 5, 6, 3, 3, false, TESSERA_ACTIVATION_NONE, false};
    const DepthwiseOperands given(c);
    const DeviceTensor x(device(), given.x);
    const DeviceTensor kernel(device(), given.kernel);
    const DeviceTensor out(device(), given.x.shape);
    device().depthwise_conv2d(&device(), x.view(), kernel.view(), nullptr, out.view());
    expect_identical(out.download(), run_depthwise(device(), c, given), "no options");
}

TEST_P(DepthwiseTest, ThreadsAndImagesDoNotMatter) {
    const tessera_compute &single = device_with_threads(1);
    for (const DepthwiseCase &c : kCases) {
        const DepthwiseOperands given(c);
        const Array want = run_depthwise(device(), c, given);
        expect_identical(run_depthwise(single, c, given), want, "one thread");
        DepthwiseCase one = c;
        one.batch = 1;
        for (std::int64_t b = 0; b < c.batch; ++b) {
            DepthwiseOperands alone = given;
            alone.x = Array({1, c.height, c.width, c.channels});
            Array expected(alone.x.shape);
            for (std::int64_t i = 0; i < alone.x.size(); ++i) {
                alone.x[i] = given.x[b * alone.x.size() + i];
                expected[i] = want[b * expected.size() + i];
            }
            expect_identical(run_depthwise(device(), one, alone), expected, "one image alone");
        }
    }
}

TEST_P(DepthwiseTest, PartsHaveTheBytesOfTheWhole) {
    for (const DepthwiseCase &c : kCases) {
        const DepthwiseOperands given(c);
        const Array want = run_depthwise(device(), c, given);
        const DeviceTensor x(device(), given.x);
        const DeviceTensor kernel(device(), given.kernel);
        const DeviceTensor bias(device(), given.bias);
        const DeviceTensor out(device(), given.x.shape);
        for (std::int64_t first = 0; first < c.height; first += 3) {
            tessera_depthwise_conv2d options{};
            options.struct_size = sizeof options;
            options.circular = c.circular ? 1 : 0;
            options.activation = c.activation;
            options.bias = c.bias ? bias.view() : nullptr;
            options.first_row = static_cast<std::uint32_t>(first);
            options.row_count =
                static_cast<std::uint32_t>(std::min<std::int64_t>(3, c.height - first));
            tessera_tensor part = *out.view();
            part.data = static_cast<float *>(part.data) + first * part.stride[1];
            part.shape[1] = options.row_count;
            device().depthwise_conv2d(&device(), x.view(), kernel.view(), &options, &part);
        }
        expect_identical(out.download(), want, "in parts");
    }
}

// On a torus the picture may begin anywhere: its result begins there too, bit for bit.
TEST_P(DepthwiseTest, RollsWithTheTorus) {
    const DepthwiseCase c{1, 6, 11, 9, 5, 5, true};
    const DepthwiseOperands given(c);
    const auto rolled = [&](const Array &x) {
        Array result(x.shape);
        for (std::int64_t y = 0; y < c.height; ++y)
            for (std::int64_t at = 0; at < c.width; ++at)
                for (std::int64_t i = 0; i < c.channels; ++i)
                    result.at(0, (y + 4) % c.height, (at + 7) % c.width, i) = x.at(0, y, at, i);
        return result;
    };
    DepthwiseOperands moved = given;
    moved.x = rolled(given.x);
    expect_identical(run_depthwise(device(), c, moved), rolled(run_depthwise(device(), c, given)),
                     "rolled");
}

// What is not a number reaches the places around it and no other.
TEST_P(DepthwiseTest, NotANumberStaysNearby) {
    const DepthwiseCase c{1, 9, 12, 20, 3, 3, true};
    DepthwiseOperands given(c);
    const Array before = run_depthwise(device(), c, given);
    given.x.at(0, 0, 5, 7) = std::numeric_limits<double>::quiet_NaN();
    const Array after = run_depthwise(device(), c, given);
    for (std::int64_t i = 0; i < after.size(); ++i) {
        const std::int64_t channel = i % c.channels;
        const std::int64_t column = i / c.channels % c.width;
        const std::int64_t row = i / c.channels / c.width;
        const bool near = channel == 7 && column >= 4 && column <= 6 && (row <= 1 || row == 8);
        ASSERT_EQ(std::isnan(after[i]), near) << i;
        if (!near) {
            ASSERT_EQ(after[i], before[i]) << i;
        }
    }
}

} // namespace
} // namespace tessera::testing
