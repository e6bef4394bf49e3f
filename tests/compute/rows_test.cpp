// Rows picked by index, pixels rearranged, images made into bytes: exact operations.
#include "devices.hpp"
#include "harness.hpp"

#include <cmath>

namespace tessera::testing {
namespace {

class RowsTest : public DeviceTest {};
TESSERA_ON_ALL_DEVICES(RowsTest);

Indices indices_per_batch(std::int64_t batch, std::int64_t count, std::int64_t limit) {
    Indices all;
    for (std::int64_t b = 0; b < batch; ++b) {
        const Indices one = distinct_indices(count, limit, static_cast<std::uint64_t>(b + 7));
        all.insert(all.end(), one.begin(), one.end());
    }
    return all;
}

TEST_P(RowsTest, GatherAndScatterEqualReference) {
    for (const Shape &shape :
         {Shape{1, 1, 1}, Shape{2, 9, 48}, Shape{3, 20, 7}, Shape{1, 320, 256}}) {
        const std::int64_t count = (shape[1] + 1) / 2;
        for (const bool shared : {true, false}) {
            const std::int64_t sets = shared ? 1 : shape[0];
            const Indices index = indices_per_batch(sets, count, shape[1]);
            const HostTensor host(index, shared ? Shape{count} : Shape{shape[0], count});
            const Array x_values = random_array(shape, 1);
            const DeviceTensor x(device(), x_values, 2);
            const DeviceTensor picked(device(), Shape{shape[0], count, shape[2]}, 1);
            device().gather_rows(&device(), x.view(), host.view(), picked.view());
            const Array want = reference::gather_rows(x_values, index, count);
            expect_identical(picked.download(), want, "gather_rows");
            EXPECT_TRUE(picked.gaps_untouched());

            const Array into_values = random_array(shape, 2);
            const DeviceTensor into(device(), into_values, 3);
            device().scatter_rows(&device(), picked.view(), host.view(), into.view());
            expect_identical(into.download(), reference::scatter_rows(want, index, into_values),
                             "scatter_rows");
            EXPECT_TRUE(into.gaps_untouched());
        }
    }
}

TEST_P(RowsTest, IndicesMayLieOnTheDevice) {
    const Array x_values = random_array({2, 9, 7}, 1);
    const DeviceTensor x(device(), x_values, 1);
    const Indices index = indices_per_batch(2, 5, 9);
    const DeviceTensor per_batch(device(), index, Shape{2, 5});
    const DeviceTensor picked(device(), Shape{2, 5, 7}, 2);
    device().gather_rows(&device(), x.view(), per_batch.view(), picked.view());
    const Array want = reference::gather_rows(x_values, index, 5);
    expect_identical(picked.download(), want, "gather_rows");
    const Array into_values = random_array({2, 9, 7}, 2);
    const DeviceTensor into(device(), into_values);
    device().scatter_rows(&device(), picked.view(), per_batch.view(), into.view());
    expect_identical(into.download(), reference::scatter_rows(want, index, into_values),
                     "scatter_rows");
    const Indices shared{8, 0, 3};
    const DeviceTensor one(device(), shared, Shape{3});
    const DeviceTensor few(device(), Shape{2, 3, 7});
    device().gather_rows(&device(), x.view(), one.view(), few.view());
    expect_identical(few.download(), reference::gather_rows(x_values, shared, 3), "shared");
}

// At once where the host can look, else when it waits; then all goes on.
TEST_P(RowsTest, IndicesOutOfRangeAreNoticed) {
    const DeviceTensor x(device(), random_array({1, 4, 8}, 1));
    const DeviceTensor out(device(), Shape{1, 3, 8});
    for (const std::int32_t bad : {-1, 4, 1 << 30}) {
        const DeviceTensor index(device(), Indices{1, bad, 2}, Shape{3});
        device().gather_rows(&device(), x.view(), index.view(), out.view());
        EXPECT_EQ(device().synchronize(&device()), TESSERA_ERROR_INVALID_ARGUMENT) << bad;
        device().scatter_rows(&device(), out.view(), index.view(), x.view());
        EXPECT_EQ(device().synchronize(&device()), TESSERA_ERROR_INVALID_ARGUMENT) << bad;
        EXPECT_EQ(device().synchronize(&device()), TESSERA_OK);
    }
}

TEST_P(RowsTest, GatherRepeatsRows) {
    const Array x_values = random_array({1, 4, 8}, 1);
    const Indices index{3, 3, 0, 3, 1};
    const HostTensor host(index, {5});
    const DeviceTensor x(device(), x_values);
    const DeviceTensor out(device(), Shape{1, 5, 8});
    device().gather_rows(&device(), x.view(), host.view(), out.view());
    expect_identical(out.download(), reference::gather_rows(x_values, index, 5), "gather_rows");
}

TEST_P(RowsTest, PixelShuffleEqualsReferenceAndComesBack) {
    for (const std::int64_t factor : {1, 2, 3}) {
        const Array packed = random_array({2, 3, 5, 4 * factor * factor}, 1);
        const DeviceTensor x(device(), packed, 2);
        const DeviceTensor spread(device(), Shape{2, 3 * factor, 5 * factor, 4}, 1);
        const auto r = static_cast<std::uint32_t>(factor);
        device().pixel_shuffle(&device(), x.view(), r, spread.view());
        expect_identical(spread.download(), reference::pixel_shuffle(packed, factor),
                         "pixel_shuffle");
        EXPECT_TRUE(spread.gaps_untouched());
        const DeviceTensor back(device(), packed.shape, 3);
        device().pixel_unshuffle(&device(), spread.view(), r, back.view());
        expect_identical(back.download(), packed, "pixel_unshuffle");
        expect_identical(packed, reference::pixel_unshuffle(spread.download(), factor),
                         "reference");
    }
}

TEST_P(RowsTest, BytesEqualReference) {
    for (const std::int64_t channels : {1, 3}) {
        Array image = uniform_array({13, 17, channels}, 1, 1.2);
        image[0] = NAN;
        image[1] = INFINITY;
        image[2] = -INFINITY;
        image[3] = -1;
        image[4] = 1;
        const DeviceTensor x(device(), image, 2);
        const DeviceTensor out(device(), Shape{13, 17, 4}, 0, TESSERA_DTYPE_U8);
        device().to_rgba8(&device(), x.view(), out.view());
        const std::vector<std::uint8_t> got = out.download_bytes();
        const std::vector<std::uint8_t> want = reference::to_rgba8(image);
        for (size_t i = 0; i < got.size(); ++i) {
            const auto pixel = static_cast<std::int64_t>(i / 4);
            const auto channel = static_cast<std::int64_t>(i % 4);
            if (got[i] == want[i] || channel == 3) {
                ASSERT_EQ(got[i], want[i]) << i;
                continue;
            }
            // Float32 may fall on the other side of a half.
            const double value = (image.at(pixel, channels == 1 ? 0 : channel) + 1) / 2 * 255;
            ASSERT_NEAR(value - std::floor(value), 0.5, 1e-4) << i;
            ASSERT_LE(std::abs(got[i] - want[i]), 1) << i;
        }
    }
}

// Values whose byte is exactly halfway: to the even neighbour.
TEST_P(RowsTest, BytesRoundHalvesToEven) {
    Array image({1, 255, 1});
    std::int64_t exact = 0;
    for (std::int64_t i = 0; i < 255; ++i) {
        const auto value = static_cast<float>((static_cast<double>(i) + 0.5) / 255 * 2 - 1);
        image[i] = static_cast<double>(value);
    }
    const DeviceTensor x(device(), image);
    const DeviceTensor out(device(), Shape{1, 255, 4}, 0, TESSERA_DTYPE_U8);
    device().to_rgba8(&device(), x.view(), out.view());
    const std::vector<std::uint8_t> got = out.download_bytes();
    for (std::int64_t i = 0; i < 255; ++i) {
        const double scaled =
            GetParam().in_double
                ? (image[i] + 1.0) / 2.0 * 255.0
                : static_cast<double>((static_cast<float>(image[i]) + 1.0F) / 2.0F * 255.0F);
        if (scaled != static_cast<double>(i) + 0.5) continue;
        ++exact;
        EXPECT_EQ(got[static_cast<size_t>(4 * i)] % 2, 0) << i;
    }
    EXPECT_GE(exact, GetParam().in_double ? 1 : 20); // 0 is exact in both
}

} // namespace
} // namespace tessera::testing
