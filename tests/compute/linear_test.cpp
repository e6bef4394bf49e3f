// linear against the reference, and what it promises about rows, threads and places.
#include "devices.hpp"
#include "harness.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::testing {
namespace {

struct LinearCase {
    std::int64_t rows, in, out;
    tessera_activation_kind activation = TESSERA_ACTIVATION_NONE;
    bool bias = true, gate = false, residual = false;
    std::int64_t gap = 0;       // between rows of x and out
    std::int64_t gate_rows = 1; // that one row of gates holds for
    bool normed = false;        // the norm of the rows as well
};

// Odd widths, single rows, more rows than any register tile, wide and narrow panels.
const LinearCase kCases[] = {
    {1, 1, 1},
    {1, 7, 5, TESSERA_ACTIVATION_NONE, false},
    {1, 256, 768},
    {2, 33, 65, TESSERA_ACTIVATION_SILU},
    {3, 64, 32, TESSERA_ACTIVATION_GELU_ERF, true, false, true},
    {4, 1024, 48, TESSERA_ACTIVATION_NONE, true, true, true},
    {7, 20, 3, TESSERA_ACTIVATION_GELU_TANH, true, true, false, 5},
    {13, 48, 144, TESSERA_ACTIVATION_NONE, true, false, false, 3},
    {14, 129, 127, TESSERA_ACTIVATION_SILU, true, true, true, 1},
    {64, 16, 256},
    {131, 96, 40, TESSERA_ACTIVATION_GELU_ERF, true, true, true},
    {300, 80, 33, TESSERA_ACTIVATION_NONE, false, false, true, 2},
    {30, 24, 40, TESSERA_ACTIVATION_GELU_TANH, true, true, true, 1, 30}, // one gate for all
    {28, 33, 65, TESSERA_ACTIVATION_NONE, true, true, false, 0, 7},
    {17, 40, 48, TESSERA_ACTIVATION_NONE, true, false, true, 3}, // gaps that move rows off 16 bytes
    {17, 40, 48, TESSERA_ACTIVATION_NONE, true, false, true, 4},
    {5, 96, 64, TESSERA_ACTIVATION_NONE, true, false, true, 0, 1, true},
    {33, 70, 45, TESSERA_ACTIVATION_GELU_ERF, true, true, true, 3, 1, true},
    {150, 200, 130, TESSERA_ACTIVATION_NONE, true, false, true, 0, 1, true},
    {200, 130, 300, TESSERA_ACTIVATION_SILU, false, false, false, 4, 1, true},
    {2, 24, 1601, TESSERA_ACTIVATION_NONE, true, false, false, 0, 1,
     true}, // wider than a warp holds
};

class LinearTest : public DeviceTest {};
TESSERA_ON_DEVICES(LinearTest, linear_device_configs());

struct LinearOperands {
    explicit LinearOperands(const LinearCase &c)
        : x(random_array({c.rows, c.in}, 1)), weight(random_array({c.out, c.in}, 2, 0.2)),
          bias(random_array({c.out}, 3)), gate(random_array({c.rows / c.gate_rows, c.out}, 4)),
          residual(random_array({c.rows, c.out}, 5)) {}
    Array x, weight, bias, gate, residual;
};

Array run_linear(const tessera_compute &compute, const LinearCase &c, const LinearOperands &given,
                 tessera_dtype precision, bool residual_in_place = false) {
    const PackedWeight weight(compute, given.weight, precision);
    const DeviceTensor x(compute, given.x, c.gap);
    const OptionalTensor bias = optional_tensor(compute, c.bias ? &given.bias : nullptr);
    const OptionalTensor gate = optional_tensor(compute, c.gate ? &given.gate : nullptr);
    const OptionalTensor residual =
        optional_tensor(compute, c.residual ? &given.residual : nullptr);
    const DeviceTensor separate(compute, {c.rows, c.out}, c.gap);
    const DeviceTensor &out = residual_in_place ? *residual : separate;
    tessera_linear options{};
    options.struct_size = sizeof options;
    options.activation = c.activation;
    options.bias = view_of(bias);
    options.gate = view_of(gate);
    options.residual = view_of(residual);
    const DeviceTensor gamma(compute, random_array({c.out}, 6, 0.1, 1));
    const DeviceTensor beta(compute, random_array({c.out}, 7, 0.1));
    const DeviceTensor normed(compute, {c.rows, c.out}, c.gap);
    constexpr float kEpsilon = 1e-5F;
    if (c.normed) {
        options.normed = normed.view();
        options.norm_gamma = gamma.view();
        options.norm_beta = beta.view();
        options.norm_epsilon = kEpsilon;
    }
    compute.linear(&compute, x.view(), weight.view(), &options, out.view());
    Array result = out.download();
    EXPECT_TRUE(out.gaps_untouched());
    if (!c.normed) return result;
    const Array with_product = normed.download();
    EXPECT_TRUE(normed.gaps_untouched());
    compute.layer_norm(&compute, out.view(), gamma.view(), beta.view(), kEpsilon, normed.view());
    expect_identical(with_product, normed.download(), "the norm of a product");
    return result;
}

Product want_linear(const LinearCase &c, const LinearOperands &given, tessera_dtype precision) {
    reference::LinearOptions options;
    options.activation = c.activation;
    options.bias = c.bias ? &given.bias : nullptr;
    options.gate = c.gate ? &given.gate : nullptr;
    options.residual = c.residual ? &given.residual : nullptr;
    return reference::linear(given.x, rounded(given.weight, precision), options);
}

TEST_P(LinearTest, EqualsReference) {
    for (const LinearCase &c : kCases) {
        const LinearOperands given(c);
        for (const tessera_dtype precision : kPrecisions) {
            const Product want = want_linear(c, given, precision);
            const Array got = run_linear(device(), c, given, precision);
            // Activations are within 1e-6 of their argument's size, which the magnitude covers.
            expect_close(got, want.value, &want.magnitude,
                         product_tolerance(precision, c.in) + 1e-6, 1e-7, "linear");
        }
    }
}

TEST_P(LinearTest, PacksEveryWeightType) {
    const LinearCase c{5, 40, 24};
    const LinearOperands given(c);
    for (const tessera_dtype source : {TESSERA_DTYPE_F16, TESSERA_DTYPE_BF16}) {
        const PackedWeight weight(device(), given.weight, TESSERA_DTYPE_F32, source);
        ASSERT_EQ(weight.status(), TESSERA_OK);
        EXPECT_EQ(weight.view()->layout, TESSERA_LAYOUT_PACKED);
        EXPECT_EQ(weight.view()->shape[0], 24);
        EXPECT_EQ(weight.view()->shape[1], 40);
        const DeviceTensor x(device(), given.x);
        const DeviceTensor out(device(), Shape{5, 24});
        device().linear(&device(), x.view(), weight.view(), nullptr, out.view());
        const Product want = reference::linear(given.x, rounded(given.weight, source));
        expect_close(out.download(), want.value, &want.magnitude,
                     product_tolerance(TESSERA_DTYPE_F32, 40), 0, "linear of converted weights");
    }
}

// With x = 1 a product is its weight.
Array held_weight(const tessera_compute &compute, const Array &weight, tessera_dtype source) {
    const PackedWeight packed(compute, weight, TESSERA_DTYPE_F16, source);
    EXPECT_EQ(packed.status(), TESSERA_OK);
    const DeviceTensor x(compute, Array({1, 1}, 1.0));
    const DeviceTensor out(compute, Shape{1, weight.shape[0]});
    compute.linear(&compute, x.view(), packed.view(), nullptr, out.view());
    return out.download();
}

TEST_P(LinearTest, HoldsEveryF16Number) {
    Array all({1, 2 * 0x7c00 - 1}); // finite, of both signs; 0 once
    for (std::int64_t half = 0; half < 0x7c00; ++half) {
        const std::int64_t exponent = std::max<std::int64_t>(half >> 10, 1) - 1;
        const std::int64_t units = (half & 0x3ff) + (half >= 0x400 ? 0x400 : 0);
        all[half] = std::ldexp(static_cast<double>(units), static_cast<int>(exponent) - 24);
        if (half > 0) all[0x7c00 + half - 1] = -all[half];
    }
    Array column = all;
    column.shape = {all.size(), 1};
    for (const tessera_dtype source : {TESSERA_DTYPE_F16, TESSERA_DTYPE_F32})
        expect_identical(held_weight(device(), column, source), all, "all numbers of f16");
}

TEST_P(LinearTest, F16IsRoundedWhereItIsHeld) {
    const Array weight = random_array({500, 1}, 4, 1e-3); // some are below 2^-14
    const PackedWeight packed(device(), weight, TESSERA_DTYPE_F16, TESSERA_DTYPE_F32);
    const std::string backend = device().info->backend;
    const bool holds = backend == "vulkan" || backend == "reference";
    ASSERT_EQ(packed.view()->dtype, holds ? TESSERA_DTYPE_F16 : TESSERA_DTYPE_F32);
    Array want = rounded(weight, packed.view()->dtype);
    want.shape = {1, weight.size()};
    expect_identical(held_weight(device(), weight, TESSERA_DTYPE_F32), want, "rounded to f16");
}

// What costs half of the memory costs no bit.
TEST_P(LinearTest, F16WeightsGiveTheBytesOfFloat32) {
    for (const LinearCase &c : kCases) {
        LinearOperands given(c);
        given.weight = rounded(given.weight, TESSERA_DTYPE_F16);
        expect_identical(run_linear(device(), c, given, TESSERA_DTYPE_F16),
                         run_linear(device(), c, given, TESSERA_DTYPE_F32), "f16 weights");
    }
}

TEST_P(LinearTest, RowsDoNotDependOnEachOther) {
    const LinearCase all{29, 70, 90, TESSERA_ACTIVATION_SILU};
    const LinearOperands given(all);
    for (const tessera_dtype precision : {TESSERA_DTYPE_F32, TESSERA_DTYPE_BF16}) {
        const Array together = run_linear(device(), all, given, precision);
        for (std::int64_t row = 0; row < all.rows; ++row) {
            LinearCase one = all;
            one.rows = 1;
            LinearOperands alone = given;
            alone.x = Array({1, all.in});
            Array want({1, all.out});
            for (std::int64_t i = 0; i < all.in; ++i) alone.x[i] = given.x.at(row, i);
            for (std::int64_t i = 0; i < all.out; ++i) want[i] = together.at(row, i);
            expect_identical(run_linear(device(), one, alone, precision), want, "one row alone");
        }
    }
}

TEST_P(LinearTest, ThreadsAndPlaceDoNotMatter) {
    const tessera_compute &single = device_with_threads(1);
    for (const LinearCase &c : kCases) {
        const LinearOperands given(c);
        for (const tessera_dtype precision : {TESSERA_DTYPE_F32, TESSERA_DTYPE_BF16}) {
            const Array want = run_linear(device(), c, given, precision);
            expect_identical(run_linear(single, c, given, precision), want, "one thread");
            if (!c.residual) continue;
            LinearCase gapless = c;
            gapless.gap = 0;
            expect_identical(run_linear(device(), gapless, given, precision, true), want,
                             "residual in place");
        }
    }
}

// What a product takes over from the operation before it must be what it would read itself: the
// second of two equal products has nothing to take over.
class HandOver {
  public:
    explicit HandOver(const tessera_compute &compute)
        : compute_(compute), weight_(compute, random_array({24, 32}, 1), TESSERA_DTYPE_BF16),
          wide_(compute, random_array({32, 32}, 2), TESSERA_DTYPE_BF16),
          x(compute, random_array({1, 6, 32}, 3)), between(compute, Shape{1, 6, 32}),
          out_(compute, Shape{1, 6, 24}) {}
    Array product() const {
        compute_.linear(&compute_, between.view(), weight_.view(), nullptr, out_.view());
        return out_.download();
    }
    void activate() const {
        tessera_linear options{};
        options.struct_size = sizeof options;
        options.activation = TESSERA_ACTIVATION_GELU_ERF;
        compute_.linear(&compute_, x.view(), wide_.view(), &options, between.view());
    }
    void normalise() const {
        compute_.layer_norm(&compute_, x.view(), nullptr, nullptr, 1e-6F, between.view());
    }
    void attend() const {
        const auto heads = [](const tessera_tensor &tensor) {
            tessera_tensor split = tensor;
            split.rank = 4;
            split.shape[2] = 2;
            split.shape[3] = 16;
            split.stride[2] = 16;
            split.stride[3] = 1;
            return split;
        };
        const tessera_tensor from = heads(*x.view());
        const tessera_tensor to = heads(*between.view());
        compute_.attention(&compute_, &from, &from, &from, nullptr, &to);
    }

  private:
    const tessera_compute &compute_;
    PackedWeight weight_, wide_;

  public:
    DeviceTensor x, between;

  private:
    DeviceTensor out_;
};

TEST_P(LinearTest, TakesOverWhatTheCallBeforeItMade) {
    const HandOver network(device());
    for (const auto make : {&HandOver::activate, &HandOver::normalise, &HandOver::attend}) {
        (network.*make)();
        const Array first = network.product();
        expect_identical(network.product(), first, "the second product");
    }
}

TEST_P(LinearTest, ReadsWhatWasWrittenInBetween) {
    const HandOver network(device());
    const Array other = random_array({1, 6, 32}, 9);
    const HostTensor source(other);
    const auto put = [&] { device().upload(&device(), source.view(), network.between.view()); };
    put();
    const Array want = network.product();
    network.normalise();
    put();
    expect_identical(network.product(), want, "after an upload");
}

TEST_P(LinearTest, FlattensLeadingDimensions) {
    const Array x = random_array({2, 3, 16}, 1);
    const Array weight = random_array({8, 16}, 2);
    const PackedWeight packed(device(), weight, TESSERA_DTYPE_F32);
    const DeviceTensor input(device(), x, 4);
    const DeviceTensor out(device(), Shape{2, 3, 8}, 1);
    device().linear(&device(), input.view(), packed.view(), nullptr, out.view());
    const Product want = reference::linear(x, weight);
    expect_close(out.download(), want.value, &want.magnitude,
                 product_tolerance(TESSERA_DTYPE_F32, 16), 0, "linear of rank 3");
}

} // namespace
} // namespace tessera::testing
