// conv2d against the reference: kernels, strides, paddings, upsampling, wrapping, epilogues,
// places.
#include "devices.hpp"
#include "harness.hpp"

namespace tessera::testing {
namespace {

struct ConvCase {
    const char *name;
    std::int64_t batch, height, width, in, out;
    std::int64_t kernel = 3;
    std::int64_t pad[4] = {1, 1, 1, 1}; // top, left, bottom, right
    std::int64_t stride = 1, upsample = 1;
    bool circular = false;
    tessera_activation_kind input_activation = TESSERA_ACTIVATION_NONE;
    tessera_activation_kind activation = TESSERA_ACTIVATION_NONE;
    bool bias = true, residual = false;
    std::int64_t gap = 0; // after the channels of x and out
    bool exact = false;
};

constexpr auto kNone = TESSERA_ACTIVATION_NONE;
constexpr auto kSilu = TESSERA_ACTIVATION_SILU;
constexpr auto kGelu = TESSERA_ACTIVATION_GELU_ERF;

const ConvCase kCases[] = {
    {"pointwise", 1, 4, 5, 8, 7, 1, {0, 0, 0, 0}},
    {"one pixel", 1, 1, 1, 3, 5},
    {"3x3", 2, 6, 8, 32, 32},
    {"odd sizes", 1, 7, 5, 13, 9},
    {"no padding", 1, 6, 6, 8, 16, 3, {0, 0, 0, 0}},
    {"downsample", 1, 6, 8, 32, 32, 3, {0, 0, 1, 1}, 2},
    {"odd downsample", 2, 7, 9, 5, 6, 3, {0, 0, 1, 1}, 2},
    {"asymmetric", 1, 5, 6, 8, 8, 3, {2, 0, 1, 3}},
    {"upsample", 1, 6, 8, 32, 32, 3, {1, 1, 1, 1}, 1, 2},
    {"upsample by 3, stride 2", 1, 3, 4, 6, 5, 3, {1, 1, 1, 1}, 2, 3},
    {"circular", 1, 6, 6, 8, 8, 3, {1, 1, 1, 1}, 1, 1, true},
    {"circular upsample", 2, 4, 5, 16, 16, 3, {1, 1, 1, 1}, 1, 2, true},
    {"silu input", 1, 6, 6, 12, 8, 3, {1, 1, 1, 1}, 1, 1, false, kSilu},
    {"all at once", 2, 8, 6, 16, 24, 3, {1, 1, 1, 1}, 1, 1, false, kSilu, kGelu, true, true, 3},
    {"even kernel", 1, 8, 8, 4, 6, 4, {1, 1, 2, 2}, 2},
    {"5x5", 1, 9, 7, 6, 10, 5, {2, 2, 2, 2}, 1, 1, false, kNone, kSilu, false},
    {"tiles", 1, 16, 16, 32, 48, 3, {1, 1, 1, 1}, 1, 1, false, kNone, kNone, true, true},
    {"ragged tiles", 2, 19, 22, 24, 40, 3, {1, 1, 1, 1}, 1, 1, false, kNone, kSilu, true, true, 5},
    {"tiles, circular", 1, 20, 17, 16, 33, 3, {1, 1, 1, 1}, 1, 1, true, kSilu},
    {"tiles, upsampled", 1, 12, 10, 16, 16, 3, {1, 1, 1, 1}, 1, 2, false, kNone, kNone, true, true},
    {"tiles, no padding", 1, 22, 21, 16, 16, 3, {0, 0, 0, 0}},
    {"tiles, asymmetric", 1, 18, 18, 16, 20, 3, {0, 2, 3, 1}},
    {"to three channels", 1, 20, 20, 32, 3},
    {"from three channels", 1, 20, 20, 3, 32},
    {"wide", 1, 8, 8, 160, 136, 3, {1, 1, 1, 1}, 1, 1, false, kNone, kNone, true, true},
};

struct ConvOperands {
    explicit ConvOperands(const ConvCase &c)
        : x(random_array({c.batch, c.height, c.width, c.in}, 1)),
          weight(random_array({c.out, c.in, c.kernel, c.kernel}, 2, 0.2)),
          bias(random_array({c.out}, 3)) {
        const std::int64_t height =
            (c.height * c.upsample + c.pad[0] + c.pad[2] - c.kernel) / c.stride + 1;
        const std::int64_t width =
            (c.width * c.upsample + c.pad[1] + c.pad[3] - c.kernel) / c.stride + 1;
        residual = random_array({c.batch, height, width, c.out}, 4);
    }

    [[nodiscard]] reference::ConvOptions options_of(const ConvCase &c) const {
        reference::ConvOptions options;
        options.stride = c.stride;
        options.upsample = c.upsample;
        options.circular = c.circular;
        options.pad_top = c.pad[0];
        options.pad_left = c.pad[1];
        options.pad_bottom = c.pad[2];
        options.pad_right = c.pad[3];
        options.input_activation = c.input_activation;
        options.activation = c.activation;
        options.bias = c.bias ? &bias : nullptr;
        options.residual = c.residual ? &residual : nullptr;
        return options;
    }
    Array x, weight, bias, residual;
};

tessera_conv2d options_of(const ConvCase &c) {
    tessera_conv2d options{};
    options.struct_size = sizeof options;
    options.stride = static_cast<std::uint32_t>(c.stride == 1 ? 0 : c.stride); // 0 means 1
    options.upsample = static_cast<std::uint32_t>(c.upsample == 1 ? 0 : c.upsample);
    options.circular = c.circular ? 1 : 0;
    options.pad_top = static_cast<std::uint32_t>(c.pad[0]);
    options.pad_left = static_cast<std::uint32_t>(c.pad[1]);
    options.pad_bottom = static_cast<std::uint32_t>(c.pad[2]);
    options.pad_right = static_cast<std::uint32_t>(c.pad[3]);
    options.input_activation = c.input_activation;
    options.activation = c.activation;
    options.exact = c.exact ? 1 : 0;
    return options;
}

// Rows [first, first + count) of an image tensor.
tessera_tensor rows_of(const tessera_tensor &tensor, std::int64_t first, std::int64_t count) {
    tessera_tensor rows = tensor;
    rows.data = static_cast<float *>(tensor.data) + first * tensor.stride[1];
    rows.shape[1] = count;
    return rows;
}

// In one call, or in parts of `part_rows` rows when that is not 0.
Array run_conv(const tessera_compute &compute, const ConvCase &c, const ConvOperands &given,
               tessera_dtype precision, bool residual_in_place = false,
               std::int64_t part_rows = 0) {
    const PackedWeight weight(compute, given.weight, precision);
    const DeviceTensor x(compute, given.x, c.gap);
    const OptionalTensor bias = optional_tensor(compute, c.bias ? &given.bias : nullptr);
    const OptionalTensor residual =
        optional_tensor(compute, c.residual ? &given.residual : nullptr);
    const DeviceTensor separate(compute, given.residual.shape, c.gap);
    const DeviceTensor &out = residual_in_place ? *residual : separate;
    tessera_conv2d options = options_of(c);
    options.bias = view_of(bias);
    options.residual = view_of(residual);
    if (part_rows == 0) compute.conv2d(&compute, x.view(), weight.view(), &options, out.view());
    const std::int64_t height = given.residual.shape[1];
    for (std::int64_t first = 0; part_rows != 0 && first < height; first += part_rows) {
        const std::int64_t count = std::min(part_rows, height - first);
        options.first_row = static_cast<std::uint32_t>(first);
        options.row_count = static_cast<std::uint32_t>(count);
        const tessera_tensor part = rows_of(*out.view(), first, count);
        const tessera_tensor part_residual =
            residual ? rows_of(*residual->view(), first, count) : tessera_tensor{};
        options.residual = residual ? &part_residual : nullptr;
        compute.conv2d(&compute, x.view(), weight.view(), &options, &part);
    }
    Array result = out.download();
    EXPECT_TRUE(out.gaps_untouched()) << c.name;
    return result;
}

class ConvTest : public DeviceTest {};
TESSERA_ON_ALL_DEVICES(ConvTest);

TEST_P(ConvTest, EqualsReference) {
    for (const ConvCase &c : kCases) {
        const ConvOperands given(c);
        for (const tessera_dtype precision : kPrecisions) {
            const Product want =
                reference::conv2d(given.x, rounded(given.weight, precision), given.options_of(c));
            // Winograd transforms mix up to 36 inputs with factors up to 8 before the product and
            // cancel them after it: errors are relative to the largest magnitude of the tile, at
            // some twenty times that of the direct sum.
            double largest = 0;
            for (const double m : want.magnitude.values) largest = std::max(largest, m);
            const double relative = product_tolerance(precision, c.in * c.kernel * c.kernel) + 1e-6;
            expect_close(run_conv(device(), c, given, precision), want.value, &want.magnitude,
                         relative, largest * 2e-6, c.name);
        }
    }
}

TEST_P(ConvTest, F16WeightsGiveTheBytesOfFloat32) {
    for (const ConvCase &c : kCases) {
        ConvOperands given(c);
        given.weight = rounded(given.weight, TESSERA_DTYPE_F16);
        expect_identical(run_conv(device(), c, given, TESSERA_DTYPE_F16),
                         run_conv(device(), c, given, TESSERA_DTYPE_F32), c.name);
    }
}

// The error of a plain sum is relative to the magnitude of its own terms.
TEST_P(ConvTest, ExactSumsArePlain) {
    for (ConvCase c : kCases) {
        c.exact = true;
        const ConvOperands given(c);
        const Product want = reference::conv2d(given.x, given.weight, given.options_of(c));
        const double relative =
            product_tolerance(TESSERA_DTYPE_F32, c.in * c.kernel * c.kernel) + 1e-7;
        expect_close(run_conv(device(), c, given, TESSERA_DTYPE_F32), want.value, &want.magnitude,
                     relative, 0, c.name);
    }
}

TEST_P(ConvTest, PartsHaveTheBytesOfTheWhole) {
    for (ConvCase c : kCases) {
        const ConvOperands given(c);
        for (const bool exact : {true, false}) {
            if (!exact && GetParam().name == "vulkan") continue; // says nothing there
            c.exact = exact;
            const Array want = run_conv(device(), c, given, TESSERA_DTYPE_F32);
            for (const std::int64_t part_rows : {1, 3, 8}) {
                expect_identical(
                    run_conv(device(), c, given, TESSERA_DTYPE_F32, c.residual, part_rows), want,
                    c.name);
            }
        }
        expect_identical(run_conv(device(), c, given, TESSERA_DTYPE_BF16, false, 5),
                         run_conv(device(), c, given, TESSERA_DTYPE_BF16), c.name);
    }
}

TEST_P(ConvTest, ImagesDoNotDependOnEachOther) {
    for (const ConvCase &c : kCases) {
        if (c.batch == 1) continue;
        const ConvOperands given(c);
        const Array together = run_conv(device(), c, given, TESSERA_DTYPE_F32);
        ConvCase one = c;
        one.batch = 1;
        for (std::int64_t b = 0; b < c.batch; ++b) {
            ConvOperands alone(one);
            for (std::int64_t i = 0; i < alone.x.size(); ++i)
                alone.x[i] = given.x[b * alone.x.size() + i];
            Array want = alone.residual;
            for (std::int64_t i = 0; i < want.size(); ++i) {
                alone.residual[i] = given.residual[b * want.size() + i];
                want[i] = together[b * want.size() + i];
            }
            expect_identical(run_conv(device(), one, alone, TESSERA_DTYPE_F32), want, c.name);
        }
    }
}

TEST_P(ConvTest, ThreadsAndPlaceDoNotMatter) {
    const tessera_compute &single = device_with_threads(1);
    for (const ConvCase &c : kCases) {
        const ConvOperands given(c);
        for (const tessera_dtype precision : {TESSERA_DTYPE_F32, TESSERA_DTYPE_BF16}) {
            const Array want = run_conv(device(), c, given, precision);
            expect_identical(run_conv(single, c, given, precision), want, c.name);
            ConvCase gapless = c;
            gapless.gap = 0;
            if (c.gap != 0)
                expect_identical(run_conv(device(), gapless, given, precision), want, c.name);
            if (c.residual)
                expect_identical(run_conv(device(), gapless, given, precision, true), want, c.name);
        }
    }
}

// A window of a larger image: rows of pixels that do not join.
TEST_P(ConvTest, ReadsAndWritesWindows) {
    const ConvCase c{"window", 1, 10, 12, 16, 16};
    const ConvOperands given(c);
    const Array want = run_conv(device(), c, given, TESSERA_DTYPE_F32);
    const PackedWeight weight(device(), given.weight, TESSERA_DTYPE_F32);
    const DeviceTensor bias(device(), given.bias);
    const DeviceTensor frame(device(), Shape{1, 14, 20, 16});
    const DeviceTensor target(device(), Shape{1, 11, 18, 16});
    const auto window = [](const DeviceTensor &whole) {
        tessera_tensor view = *whole.view();
        view.shape[1] = 10;
        view.shape[2] = 12;
        view.data = static_cast<float *>(view.data) + view.stride[1] + 3 * view.stride[2];
        return view;
    };
    const tessera_tensor x = window(frame);
    const tessera_tensor out = window(target);
    const HostTensor source(given.x);
    device().upload(&device(), source.view(), &x);
    tessera_conv2d options{};
    options.struct_size = sizeof options;
    options.pad_top = options.pad_left = options.pad_bottom = options.pad_right = 1;
    options.bias = bias.view();
    device().conv2d(&device(), &x, weight.view(), &options, &out);
    const DeviceTensor copied(device(), want.shape);
    device().copy(&device(), &out, copied.view());
    expect_identical(copied.download(), want, "a window");
}

} // namespace
} // namespace tessera::testing
