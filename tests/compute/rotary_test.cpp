// rotary against the reference: both layouts of pairs, positions by row and by index, views in
// place.
#include "devices.hpp"
#include "harness.hpp"

#include <cmath>

namespace tessera::testing {
namespace {

struct RotaryCase {
    std::int64_t batch, rows, heads, width, pairs;
    tessera_rotary_pairs layout = TESSERA_ROTARY_ADJACENT;
    enum Positions { kByRow, kShared, kPerBatch } positions = kByRow;
    bool on_host = false;
    std::uint32_t first = 0;
};

const RotaryCase kCases[] = {
    {1, 1, 1, 2, 1},
    {2, 5, 3, 16, 8},
    {1, 9, 2, 32, 16, TESSERA_ROTARY_HALVES},
    {2, 7, 2, 20, 5, TESSERA_ROTARY_HALVES, RotaryCase::kByRow, false, 3}, // columns that stay
    {2, 7, 2, 21, 9, TESSERA_ROTARY_ADJACENT, RotaryCase::kShared},
    {3, 11, 1, 64, 32, TESSERA_ROTARY_HALVES, RotaryCase::kPerBatch},
    {3, 11, 2, 6, 3, TESSERA_ROTARY_ADJACENT, RotaryCase::kPerBatch, true},
    {1, 300, 4, 64, 32, TESSERA_ROTARY_ADJACENT, RotaryCase::kShared, true},
};

constexpr std::int64_t kPositions = 310;

// Positions of a sequence: the angle of pair k is p 10000^(-k / pairs).
Array turns_of(std::int64_t pairs) {
    Array turns({kPositions, 2 * pairs});
    for (std::int64_t p = 0; p < kPositions; ++p) {
        for (std::int64_t k = 0; k < pairs; ++k) {
            const double angle =
                static_cast<double>(p) *
                std::pow(10000.0, -static_cast<double>(k) / static_cast<double>(pairs));
            turns.at(p, k) = static_cast<double>(static_cast<float>(std::cos(angle)));
            turns.at(p, pairs + k) = static_cast<double>(static_cast<float>(std::sin(angle)));
        }
    }
    return turns;
}

Indices positions_of(const RotaryCase &c) {
    Indices all;
    if (c.positions == RotaryCase::kByRow) {
        for (std::int64_t i = 0; i < c.rows; ++i)
            all.push_back(static_cast<std::int32_t>(c.first + i));
        return all;
    }
    for (std::int64_t b = 0; b < (c.positions == RotaryCase::kPerBatch ? c.batch : 1); ++b) {
        const Indices one =
            distinct_indices(c.rows, kPositions, static_cast<std::uint64_t>(40 + b));
        all.insert(all.end(), one.begin(), one.end());
    }
    return all;
}

Array run_rotary(const tessera_compute &compute, const RotaryCase &c, const Array &given,
                 bool in_place) {
    const Indices positions = positions_of(c);
    const Shape shape =
        c.positions == RotaryCase::kPerBatch ? Shape{c.batch, c.rows} : Shape{c.rows};
    const HostTensor on_host(positions, shape);
    const DeviceTensor on_device(compute, positions, shape);
    const DeviceTensor turns(compute, turns_of(c.pairs), 1);
    const DeviceTensor x(compute, given, 2);
    const DeviceTensor separate(compute, given.shape, 3);
    const DeviceTensor &out = in_place ? x : separate;
    tessera_rotary options{};
    options.struct_size = sizeof options;
    options.pairs = c.layout;
    options.first_position = c.first;
    if (c.positions != RotaryCase::kByRow)
        options.position = c.on_host ? on_host.view() : on_device.view();
    compute.rotary(&compute, x.view(), turns.view(), &options, out.view());
    Array result = out.download();
    EXPECT_TRUE(out.gaps_untouched());
    return result;
}

class RotaryTest : public DeviceTest {};
TESSERA_ON_ALL_DEVICES(RotaryTest);

TEST_P(RotaryTest, EqualsReference) {
    const tessera_compute &single = device_with_threads(1);
    for (const RotaryCase &c : kCases) {
        const Array given = random_array({c.batch, c.rows, c.heads, c.width}, 1);
        const Array want = reference::rotary(given, turns_of(c.pairs), c.layout, positions_of(c));
        const Array got = run_rotary(device(), c, given, false);
        expect_close(got, want, nullptr, 2e-7, 1e-7, "rotary");
        expect_identical(run_rotary(device(), c, given, true), got, "in place");
        expect_identical(run_rotary(single, c, given, false), got, "one thread");
    }
}

// Heads that are views into one product, turned where they lie; their neighbours stay.
TEST_P(RotaryTest, TurnsViewsInPlace) {
    const Array qkv = random_array({2, 6, 9, 8}, 1); // 3 heads each
    const DeviceTensor fused(device(), qkv);
    tessera_tensor keys = *fused.view();
    keys.shape[2] = 3;
    keys.data = static_cast<float *>(keys.data) + 3 * 8;
    const DeviceTensor turns(device(), turns_of(4));
    device().rotary(&device(), &keys, turns.view(), nullptr, &keys);
    const Array turned =
        reference::rotary(qkv, turns_of(4), TESSERA_ROTARY_ADJACENT, {0, 1, 2, 3, 4, 5});
    Array want = qkv;
    for (std::int64_t row = 0; row < 12; ++row)
        for (std::int64_t i = 24; i < 48; ++i) want[row * 72 + i] = turned[row * 72 + i];
    expect_close(fused.download(), want, nullptr, 2e-7, 1e-7, "rotary of views");
}

// What rotary is for: scores depend on how far apart two rows are.
TEST_P(RotaryTest, ScoresDependOnDistancesOnly) {
    RotaryCase c{1, 10, 1, 16, 8, TESSERA_ROTARY_HALVES};
    const Array one = random_array({1, 1, 1, 16}, 1);
    const Array two = random_array({1, 1, 1, 16}, 2);
    Array rows({1, 10, 1, 16});
    for (std::int64_t i = 0; i < rows.size(); ++i) rows[i] = i < 80 ? one[i % 16] : two[i % 16];
    const auto score = [&](std::uint32_t first, std::int64_t a, std::int64_t b) {
        c.first = first;
        const Array turned = run_rotary(device(), c, rows, false);
        double sum = 0;
        for (std::int64_t i = 0; i < 16; ++i) sum += turned[a * 16 + i] * turned[b * 16 + i];
        return sum;
    };
    EXPECT_NEAR(score(0, 1, 7), score(0, 3, 9), 1e-4);
    EXPECT_NEAR(score(0, 1, 7), score(200, 1, 7), 1e-4);
}

} // namespace
} // namespace tessera::testing
