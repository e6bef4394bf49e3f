// softmax, argmax, choose and first_not_finite against the reference.
#include "devices.hpp"
#include "harness.hpp"

#include <cmath>
#include <limits>

namespace tessera::testing {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class ChoiceTest : public DeviceTest {};
TESSERA_ON_ALL_DEVICES(ChoiceTest);

TEST_P(ChoiceTest, SoftmaxEqualsReference) {
    for (const Shape &shape : {Shape{1, 1}, Shape{3, 7}, Shape{2, 5, 33}, Shape{4, 1024}}) {
        Array given = random_array(shape, 1, 4.0);
        if (shape.back() > 1) given[0] = -kInfinity;
        for (const double scale : {1.0, 0.25, -2.0}) {
            if (scale < 0) given[0] = 3;
            const DeviceTensor x(device(), given, 2);
            const DeviceTensor out(device(), shape, 1);
            device().softmax(&device(), x.view(), static_cast<float>(scale), out.view());
            const Array got = out.download();
            EXPECT_TRUE(out.gaps_untouched());
            expect_close(got, reference::softmax(given, scale), nullptr, 2e-6, 1e-9, "softmax");
            device().softmax(&device(), x.view(), static_cast<float>(scale), x.view());
            expect_identical(x.download(), got, "softmax in place");
        }
    }
}

TEST_P(ChoiceTest, SoftmaxOfStrangeRows) {
    Array given({4, 5}, 1.0);
    for (std::int64_t i = 0; i < 5; ++i) given.at(0, i) = -kInfinity;
    given.at(1, 2) = kNan;
    given.at(2, 3) = 1e30;
    const DeviceTensor x(device(), given);
    device().softmax(&device(), x.view(), 1.0F, x.view());
    const Array got = x.download();
    for (std::int64_t i = 0; i < 5; ++i) {
        EXPECT_EQ(got.at(0, i), 0.0);
        EXPECT_TRUE(std::isnan(got.at(1, i)));
        EXPECT_EQ(got.at(2, i), i == 3 ? 1.0 : 0.0);
        EXPECT_NEAR(got.at(3, i), 0.2, 1e-7);
    }
}

TEST_P(ChoiceTest, ArgmaxEqualsReference) {
    for (const Shape &shape : {Shape{1, 1}, Shape{5, 3}, Shape{2, 3, 300}, Shape{7, 1025}}) {
        Array given = random_array(shape, 1);
        for (double &value : given.values) value = std::round(value * 2); // many equals
        if (given.rows() > 2) {
            given.at(1, shape.back() - 1) = kNan;
            given.at(2, 1) = kInfinity;
        }
        const DeviceTensor x(device(), given, 3);
        const DeviceTensor out(device(), Shape{given.rows()}, 0, TESSERA_DTYPE_I32);
        device().argmax(&device(), x.view(), out.view());
        EXPECT_EQ(out.download_indices(), reference::argmax(given));
    }
}

struct ChoiceCase {
    std::int64_t rows, width;
    float temperature;
    std::uint32_t top_k;
    float top_p;
    bool equals = false; // logits of few values
};

const ChoiceCase kCases[] = {
    {40, 16, 1.0F, 0, 0.0F},        {40, 16, 0.0F, 0, 0.0F},  {64, 300, 0.7F, 0, 0.0F},
    {64, 300, 1.5F, 10, 0.0F},      {64, 300, 1.0F, 0, 0.5F}, {64, 300, 2.0F, 40, 0.9F},
    {64, 257, 1.0F, 5, 0.8F, true}, {3, 1, 1.0F, 7, 0.3F},    {32, 1024, 1.0F, 1, 1.0F},
    {6, 4096, 1.0F, 100, 0.95F},
};

Array logits_of(const ChoiceCase &c) {
    Array logits = random_array({c.rows, c.width}, 9, 2.0);
    if (c.equals)
        for (double &value : logits.values) value = std::round(value);
    return logits;
}

Indices rows_of(std::int64_t rows) {
    Indices index;
    for (std::int32_t i = 0; i < rows; ++i) index.insert(index.end(), {i % 3, 100 + i});
    return index;
}

Indices run_choose(const tessera_compute &compute, const ChoiceCase &c, const Array &logits,
                   const Indices &index, std::uint32_t draw = 5) {
    const HostTensor on_host(index, {c.rows, 2});
    tessera_random random{};
    random.struct_size = sizeof random;
    random.stream = TESSERA_STREAM_OTHER;
    random.seed = 0x123456789abcdef0;
    random.first_draw = draw;
    random.index = on_host.view();
    tessera_choice options{};
    options.struct_size = sizeof options;
    options.temperature = c.temperature;
    options.top_k = c.top_k;
    options.top_p = c.top_p;
    options.random = &random;
    const DeviceTensor x(compute, logits, 2);
    const DeviceTensor out(compute, Shape{c.rows}, 0, TESSERA_DTYPE_I32);
    compute.choose(&compute, x.view(), &options, out.view());
    return out.download_indices();
}

tessera_choice options_of(const ChoiceCase &c) {
    tessera_choice options{};
    options.temperature = c.temperature;
    options.top_k = c.top_k;
    options.top_p = c.top_p;
    return options;
}

TEST_P(ChoiceTest, ChoosesAsTheReference) {
    const tessera_compute &single = device_with_threads(1);
    for (const ChoiceCase &c : kCases) {
        const Array logits = logits_of(c);
        const Indices index = rows_of(c.rows);
        const auto want = reference::choose(logits, options_of(c), 0x123456789abcdef0,
                                            TESSERA_STREAM_OTHER, 5, index);
        const Indices got = run_choose(device(), c, logits, index);
        std::int64_t clear = 0;
        for (std::size_t row = 0; row < got.size(); ++row) {
            if (want[row].margin < 1e-5) continue; // rounding may choose the neighbour
            ++clear;
            EXPECT_EQ(got[row], want[row].at) << "row " << row << " of " << c.width;
        }
        EXPECT_GT(clear, c.rows * 9 / 10);
        EXPECT_EQ(run_choose(single, c, logits, index), got) << "one thread";
    }
}

TEST_P(ChoiceTest, ARowChoosesAlike) {
    const ChoiceCase all{30, 200, 1.2F, 50, 0.9F};
    const Array logits = logits_of(all);
    const Indices index = rows_of(all.rows);
    const Indices together = run_choose(device(), all, logits, index);
    for (std::int64_t row = 0; row < all.rows; row += 7) {
        ChoiceCase one = all;
        one.rows = 1;
        Array alone({1, all.width});
        for (std::int64_t i = 0; i < all.width; ++i) alone[i] = logits.at(row, i);
        const auto at = static_cast<std::size_t>(row);
        EXPECT_EQ(run_choose(device(), one, alone, {index[2 * at], index[2 * at + 1]}),
                  Indices{together[at]});
    }
}

// Each as often as its probability says, within five standard errors.
TEST_P(ChoiceTest, ChoosesByProbability) {
    const ChoiceCase c{GetParam().name == "vulkan" ? 600 : 3000, 4, 1.0F, 3, 0.0F};
    Array logits({c.rows, 4});
    Indices index;
    for (std::int64_t row = 0; row < c.rows; ++row) {
        const double shares[] = {0.2, 0.05, 0.5, 0.3}; // the second is left out
        for (std::int64_t i = 0; i < 4; ++i)
            logits.at(row, i) = static_cast<double>(static_cast<float>(std::log(shares[i])));
        index.insert(index.end(), {0, static_cast<std::int32_t>(row)});
    }
    std::int64_t counts[4] = {};
    for (const std::int32_t chosen : run_choose(device(), c, logits, index)) {
        ASSERT_GE(chosen, 0);
        ++counts[chosen];
    }
    EXPECT_EQ(counts[1], 0);
    const auto rows = static_cast<double>(c.rows);
    for (const auto &[at, share] : {std::pair(0, 0.2), std::pair(2, 0.5), std::pair(3, 0.3)}) {
        EXPECT_NEAR(static_cast<double>(counts[at]) / rows, share,
                    5 * std::sqrt(share * (1 - share) / rows));
    }
}

TEST_P(ChoiceTest, StrangeRowsChooseNothing) {
    const ChoiceCase c{4, 6, 1.0F, 0, 0.0F};
    Array logits({4, 6}, 0.5);
    logits.at(0, 3) = kNan;
    logits.at(1, 2) = kInfinity;
    for (std::int64_t i = 0; i < 6; ++i) logits.at(2, i) = -kInfinity;
    for (std::int64_t i = 0; i < 6; ++i) logits.at(3, i) = i == 4 ? 1.0 : -kInfinity;
    const Indices want{-1, -1, -1, 4};
    EXPECT_EQ(run_choose(device(), c, logits, rows_of(4)), want);
}

TEST_P(ChoiceTest, FindsTheFirstRowThatIsNotFinite) {
    for (const Shape &shape : {Shape{1, 1}, Shape{6, 9}, Shape{3, 40, 65}}) {
        const std::int64_t rows = random_array(shape, 1).rows();
        for (const double poison : {0.0, kNan, kInfinity, -kInfinity}) {
            Array given = random_array(shape, 1, 1e30);
            const std::int64_t at = rows / 2;
            if (poison != 0.0) {
                given.at(at, shape.back() - 1) = poison;
                given.at(rows - 1, 0) = poison;
            }
            const DeviceTensor x(device(), given, 2); // gaps are not numbers
            const DeviceTensor out(device(), Shape{1}, 0, TESSERA_DTYPE_I32);
            device().first_not_finite(&device(), x.view(), out.view());
            const auto want = static_cast<std::int32_t>(poison == 0.0 ? rows : at);
            EXPECT_EQ(out.download_indices(), Indices{want});
        }
    }
}

// What was chosen picks the next rows without the host in between; -1 is noticed when it waits.
TEST_P(ChoiceTest, ChosenRowsAreGathered) {
    const Array table_values = random_array({1, 50, 8}, 1);
    const DeviceTensor table(device(), table_values);
    Array logits = random_array({6, 50}, 2);
    const DeviceTensor out(device(), Shape{1, 6, 8});
    const DeviceTensor chosen(device(), Shape{6}, 0, TESSERA_DTYPE_I32);
    const DeviceTensor x(device(), logits);
    device().argmax(&device(), x.view(), chosen.view());
    device().gather_rows(&device(), table.view(), chosen.view(), out.view());
    expect_identical(out.download(),
                     reference::gather_rows(table_values, reference::argmax(logits), 6),
                     "gathered");

    logits.at(4, 7) = kNan;
    const DeviceTensor bad(device(), logits);
    device().argmax(&device(), bad.view(), chosen.view());
    device().gather_rows(&device(), table.view(), chosen.view(), out.view());
    EXPECT_EQ(device().synchronize(&device()), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(device().synchronize(&device()), TESSERA_OK);
}

} // namespace
} // namespace tessera::testing
