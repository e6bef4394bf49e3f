// linear and conv2d against oneDNN at the sizes models have, where the double reference is too
// slow.
#include "onednn.hpp"
#include "tests/compute/devices.hpp"
#include "tests/compute/harness.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::testing {
namespace {

class OneDnnTest : public DeviceTest {};
TESSERA_ON_ALL_DEVICES(OneDnnTest);

std::vector<float> floats(const Array &array) { return {array.values.begin(), array.values.end()}; }

Array array_of(const Shape &shape, const std::vector<float> &values) {
    Array result(shape);
    std::copy(values.begin(), values.end(), result.values.begin());
    return result;
}

TEST_P(OneDnnTest, LinearAgrees) {
    const std::int64_t shapes[][3] = {{8, 1024, 1024}, {64, 768, 3072}, {1, 3072, 768}};
    for (const auto &[rows, in, out] : shapes) {
        const Array x = random_array({rows, in}, 1);
        const Array weight = random_array({out, in}, 2, 1 / std::sqrt(static_cast<double>(in)));
        const Array bias = random_array({out}, 3);
        const Array want = array_of(
            {rows, out}, onednn_linear(rows, in, out, floats(x), floats(weight), floats(bias)));
        const DeviceTensor input(device(), x);
        const DeviceTensor bias_tensor(device(), bias);
        const DeviceTensor result(device(), Shape{rows, out});
        const PackedWeight packed(device(), weight, TESSERA_DTYPE_F32);
        tessera_linear options{};
        options.struct_size = sizeof options;
        options.bias = bias_tensor.view();
        device().linear(&device(), input.view(), packed.view(), &options, result.view());
        // Two float32 sums of the same terms in different orders; results are of size 1 to 5.
        expect_close(result.download(), want, nullptr, 5e-6, 0, "linear");
    }
}

TEST_P(OneDnnTest, Conv2dAgrees) {
    const OneDnnConvShape shapes[] = {
        {1, 16, 16, 128, 128, 3, 1, 1, 1, 1, 1}, {1, 64, 64, 32, 64, 3, 1, 1, 1, 1, 1},
        {2, 33, 31, 64, 48, 3, 1, 1, 1, 1, 1},   {1, 64, 64, 64, 64, 3, 2, 0, 0, 1, 1},
        {1, 32, 32, 128, 64, 1, 1, 0, 0, 0, 0},
    };
    for (const OneDnnConvShape &s : shapes) {
        const Array x = random_array({s.batch, s.height, s.width, s.in}, 1);
        const Array weight =
            random_array({s.out, s.in, s.kernel, s.kernel}, 2,
                         1 / std::sqrt(static_cast<double>(s.in * s.kernel * s.kernel)));
        const Array bias = random_array({s.out}, 3);
        const auto oracle = OneDnnConv::create(s, OneDnnAlgorithm::kDirect, 1, floats(x),
                                               floats(weight), floats(bias));
        ASSERT_NE(oracle, nullptr);
        oracle->run();
        const Shape shape{s.batch, (s.height + s.pad_top + s.pad_bottom - s.kernel) / s.stride + 1,
                          (s.width + s.pad_left + s.pad_right - s.kernel) / s.stride + 1, s.out};
        const DeviceTensor input(device(), x);
        const DeviceTensor bias_tensor(device(), bias);
        const DeviceTensor result(device(), shape);
        const PackedWeight packed(device(), weight, TESSERA_DTYPE_F32);
        tessera_conv2d options{};
        options.struct_size = sizeof options;
        options.stride = static_cast<std::uint32_t>(s.stride);
        options.pad_top = static_cast<std::uint32_t>(s.pad_top);
        options.pad_left = static_cast<std::uint32_t>(s.pad_left);
        options.pad_bottom = static_cast<std::uint32_t>(s.pad_bottom);
        options.pad_right = static_cast<std::uint32_t>(s.pad_right);
        options.bias = bias_tensor.view();
        device().conv2d(&device(), input.view(), packed.view(), &options, result.view());
        // Winograd on our side, direct on theirs: 1.2e-6 relative error was measured for the
        // former.
        expect_close(result.download(), array_of(shape, oracle->result()), nullptr, 1e-5, 0,
                     "conv2d");
    }
}

} // namespace
} // namespace tessera::testing
