// The endless canvas: its lattice against counting, and its tiles against the order they are asked
// for in, on a stand-in for a generator whose tokens depend on every byte that it was given.
#include "host/canvas/canvas.hpp"

#include <tessera/ext/features.h>

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <set>

namespace tessera {
namespace {

constexpr int kSizes[] = {4, 5, 6, 7, 8, 12, 16, 32};

std::set<CanvasPart> as_set(const std::vector<CanvasPart> &parts) {
    return {parts.begin(), parts.end()};
}

TEST(CanvasLattice, EveryTokenIsMadeOnceByTheWindowThatHoldsIt) {
    for (const int n : kSizes) {
        const CanvasLattice lattice(n);
        EXPECT_EQ(lattice.pitch(), 2 * (n - n / 4));
        std::map<CanvasPart, int> made;
        const int p = lattice.pitch();
        for (std::int64_t y = -2 * p; y < 2 * p; ++y) {
            for (std::int64_t x = -2 * p; x < 2 * p; ++x) {
                const CanvasPart part = lattice.maker({y, x});
                const CanvasToken first = lattice.origin(part);
                ASSERT_TRUE(y >= first.y && y < first.y + n && x >= first.x && x < first.x + n);
                ++made[part];
            }
        }
        const int g = lattice.tile();
        const int counts[] = {n * n, n * g, g * n, g * g};
        EXPECT_EQ(made.size(), 64u);
        for (const auto &[part, count] : made) {
            EXPECT_EQ(count,
                      counts[static_cast<int>(part.pass) - static_cast<int>(CanvasPass::kFree)])
                << n << " " << pass_name(part.pass);
        }
    }
}

// What a window needs is what made the tokens that it does not make, all of earlier passes; and
// round what it makes it sees a margin of them.
TEST(CanvasLattice, WindowsNeedWhatTheySeeAndSeeAMarginAllRound) {
    for (const int n : kSizes) {
        const CanvasLattice lattice(n);
        for (const CanvasPass pass : {CanvasPass::kAcross, CanvasPass::kDown, CanvasPass::kCrossing,
                                      CanvasPass::kPicture}) {
            const CanvasPart part{pass, -3, 2};
            const CanvasToken first = lattice.origin(part);
            std::set<CanvasPart> makers;
            for (std::int64_t y = first.y; y < first.y + n; ++y) {
                for (std::int64_t x = first.x; x < first.x + n; ++x) {
                    const CanvasPart maker = lattice.maker({y, x});
                    if (maker == part) {
                        const bool down = part.pass == CanvasPass::kDown;
                        const bool across = part.pass == CanvasPass::kAcross;
                        const std::int64_t m = lattice.margin();
                        EXPECT_TRUE(down || (x - first.x >= m && first.x + n - x > m));
                        EXPECT_TRUE(across || (y - first.y >= m && first.y + n - y > m));
                    } else {
                        EXPECT_LT(maker.pass, part.pass);
                        makers.insert(maker);
                    }
                }
            }
            EXPECT_EQ(as_set(lattice.needs(part)), makers) << n << " " << pass_name(part.pass);
            EXPECT_EQ(lattice.needs(part).size(), makers.size());
        }
    }
}

TEST(CanvasLattice, TilesNeedTheirPictureAndItsNeighbours) {
    const CanvasLattice lattice(8);
    EXPECT_EQ(lattice.tile(), 4);
    EXPECT_EQ(lattice.origin({CanvasPass::kTile, -1, 3}), (CanvasToken{-4, 12}));
    EXPECT_EQ(lattice.origin({CanvasPass::kPicture, -1, 3}), (CanvasToken{-6, 10}));
    const auto needs = lattice.needs({CanvasPass::kTile, -1, 3});
    EXPECT_EQ(needs.size(), 9u);
    EXPECT_THAT(needs, testing::Contains(CanvasPart{CanvasPass::kPicture, -2, 4}));
}

// Of local tokens: the theme in the middle, no sketches, tiles of one picture each.
TEST(CanvasLattice, LocalTokensNeedLess) {
    for (const int n : kSizes) {
        const CanvasLattice lattice(n, true);
        EXPECT_EQ(lattice.margin(), std::min(n / 4, CanvasLattice::kLocalMargin));
        EXPECT_EQ(lattice.origin({CanvasPass::kTheme, 0, 0}), (CanvasToken{-(n / 2), -(n / 2)}));
        EXPECT_EQ(lattice.maker({0, 0}), (CanvasPart{CanvasPass::kTheme, 0, 0}));
        EXPECT_EQ(lattice.needs({CanvasPass::kFree, 1, -2}),
                  (std::vector<CanvasPart>{{CanvasPass::kTheme, 0, 0}}));
        EXPECT_EQ(lattice.needs({CanvasPass::kTile, -1, 3}),
                  (std::vector<CanvasPart>{{CanvasPass::kPicture, -1, 3}}));
        const int p = lattice.pitch();
        for (std::int64_t y = -p; y < p; ++y) {
            for (std::int64_t x = -p; x < p; ++x) {
                const CanvasPart part = lattice.maker({y, x});
                const CanvasToken first = lattice.origin(part);
                ASSERT_TRUE(y >= first.y && y < first.y + n && x >= first.x && x < first.x + n);
            }
        }
        // A picture needs what makes its tile and what reaches into it.
        const CanvasToken tile = lattice.origin({CanvasPass::kTile, -1, 3});
        const std::int64_t r = std::min((n - lattice.tile()) / 2, CanvasLattice::kReach);
        std::set<CanvasPart> makers;
        for (std::int64_t y = tile.y - r; y < tile.y + lattice.tile() + r; ++y) {
            for (std::int64_t x = tile.x - r; x < tile.x + lattice.tile() + r; ++x) {
                makers.insert(lattice.maker({y, x}));
            }
        }
        if (n % 4 == 0) {
            EXPECT_EQ(as_set(lattice.needs({CanvasPass::kPicture, -1, 3})), makers) << n;
        }
    }
}

TEST(CanvasLattice, FreeWindowsShareATheme) {
    const CanvasLattice lattice(8);
    EXPECT_EQ(lattice.needs({CanvasPass::kFree, 4, -2}),
              (std::vector<CanvasPart>{{CanvasPass::kSketch, 4, -2}}));
    EXPECT_EQ(lattice.needs({CanvasPass::kSketch, 4, -2}),
              (std::vector<CanvasPart>{{CanvasPass::kTheme, 0, 0}}));
    EXPECT_TRUE(lattice.needs({CanvasPass::kTheme, 0, 0}).empty());
    EXPECT_EQ(window_seed(7, {CanvasPass::kTheme, 0, 0}), 7u);
}

TEST(CanvasLattice, SeedsTellWindowsApartAndAreWrittenDown) {
    std::set<std::uint64_t> seeds;
    for (int pass = 1; pass < 6; ++pass) {
        for (int row = -8; row < 8; ++row) {
            for (int column = -8; column < 8; ++column) {
                seeds.insert(window_seed(7, {static_cast<CanvasPass>(pass), row, column}));
            }
        }
    }
    EXPECT_EQ(seeds.size(), 5u * 16 * 16);
    EXPECT_NE(window_seed(7, {CanvasPass::kFree, 0, 0}), window_seed(8, {CanvasPass::kFree, 0, 0}));
    // Of another implementation of Philox.
    EXPECT_EQ(window_seed(7, {CanvasPass::kDown, 5, -1}), 1070357103861214787u);
}

// A generator of 8 x 8 tokens of 2 x 2 cells of 2 numbers, 2 pixels a token.
constexpr int kWindow = 8, kCells = 16, kChannels = 2, kPixels = 16;

std::vector<InputSlot> slots() {
    return {
        {TESSERA_INPUT_TYPE_MASK8, TESSERA_INPUT_MASK, "", "", kPixels, kPixels, kWindow, kWindow},
        {TESSERA_INPUT_TYPE_F32, TESSERA_INPUT_LATENTS, "", "", kCells, kCells, kWindow, kWindow}};
}

std::vector<FeatureTap> taps() {
    return {{TESSERA_FEATURE_LATENTS, "", {kCells, kCells, kChannels}}};
}

std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) {
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    return hash ^ (hash >> 29);
}

struct Made {
    std::vector<float> latents;
    Image picture;
};

// New tokens depend on the seed, the place in the window and every given number; pixels on all of
// the window's numbers.
Made generate(const PlayRequest &request) {
    std::vector<std::uint8_t> mask(kWindow * kWindow, 255);
    Made result{std::vector<float>(kCells * kCells * kChannels), {kPixels, kPixels, 4, {}}};
    std::uint64_t hash = request.seed;
    if (!request.inputs.empty()) {
        mask = request.inputs[0].image.pixels;
        result.latents = request.inputs[1].numbers;
        for (const float number : result.latents) {
            std::uint32_t bits = 0;
            std::memcpy(&bits, &number, sizeof bits);
            hash = mixed(hash, bits);
        }
    }
    for (std::size_t i = 0; i < result.latents.size(); ++i) {
        const std::size_t cell = i / kChannels;
        const std::size_t token = cell / kCells / 2 * kWindow + cell % kCells / 2;
        if (mask[token] != 0) {
            result.latents[i] = static_cast<float>(mixed(hash, i) >> 40) / 16777216.0f;
        }
    }
    hash = 0;
    for (const float number : result.latents) {
        hash = mixed(hash, static_cast<std::uint64_t>(number * 16777216.0f));
    }
    for (std::uint64_t i = 0; i < kPixels * kPixels * 4; ++i) {
        result.picture.pixels.push_back(static_cast<std::uint8_t>(mixed(hash, i) >> 32));
    }
    return result;
}

// What part i of a wave is asked for, as if it were asked for alone.
PlayRequest request_of(const CanvasWork &work, std::size_t i) {
    PlayRequest request = work.request;
    if (request.images.empty()) return request;
    request.seed = request.images[i].seed;
    for (const RequestInput &input : request.images[i].inputs) request.inputs.push_back(input);
    request.images.clear();
    return request;
}

class CanvasTest : public testing::Test {
  protected:
    static Canvas canvas(std::size_t max_bytes, bool local = false) {
        auto inputs = slots();
        for (InputSlot &slot : inputs) slot.follows_size = local;
        if (local) inputs.push_back({TESSERA_INPUT_TYPE_RGBA8, std::string(kStyleInput), "", ""});
        auto made = Canvas::create(inputs, taps(), max_bytes);
        EXPECT_TRUE(made) << made.error().message;
        made->reset(42);
        return std::move(*made);
    }
    static CanvasArea view_of(std::int32_t row, std::int32_t column) {
        const double side = 8; // 4 tokens
        return {column * side + 1, row * side + 1, column * side + 7, row * side + 7, 0, 0};
    }
    static void make(Canvas &canvas, const CanvasWork &work) {
        for (std::size_t i = 0; i < work.parts.size(); ++i) {
            Made result = generate(request_of(work, i));
            const auto taken =
                canvas.take(work.parts[i], std::move(result.latents), std::move(result.picture));
            EXPECT_TRUE(taken) << taken.error().message;
        }
    }
    // Makes what the view wants until the tile is there, so many windows at a time.
    static Image tile(Canvas &canvas, std::int32_t row, std::int32_t column, std::size_t most = 1) {
        while (canvas.tile(row, column) == nullptr) {
            const auto work = canvas.next(view_of(row, column), most);
            if (!work) {
                const Image *now = canvas.tile(row, column);
                if (now != nullptr) return *now;
                ADD_FAILURE() << "nothing to make for " << row << ", " << column;
                return {};
            }
            make(canvas, *work);
        }
        return *canvas.tile(row, column);
    }
};

TEST_F(CanvasTest, TenThousandTilesInAnyOrderAreThoseInRasterOrder) {
    constexpr std::int32_t kFirst = -10, kSide = 20;
    Canvas raster = canvas(std::size_t{1} << 30);
    std::vector<std::vector<std::uint8_t>> expected;
    std::set<std::uint64_t> different;
    for (std::int32_t row = 0; row < kSide; ++row) {
        for (std::int32_t column = 0; column < kSide; ++column) {
            expected.push_back(tile(raster, kFirst + row, kFirst + column).pixels);
            std::uint64_t hash = 0;
            for (const std::uint8_t byte : expected.back()) hash = mixed(hash, byte);
            different.insert(hash);
        }
    }
    EXPECT_EQ(different.size(), expected.size());
    EXPECT_EQ(raster.stats().evicted, 0u);

    constexpr std::size_t kBytes = 400'000;
    Canvas random = canvas(kBytes);
    std::mt19937 engine(1);
    std::size_t most = 0;
    for (int i = 0; i < 10'000; ++i) {
        const auto row = static_cast<std::int32_t>(engine() % kSide);
        const auto column = static_cast<std::int32_t>(engine() % kSide);
        ASSERT_EQ(tile(random, kFirst + row, kFirst + column, 1 + engine() % 6).pixels,
                  expected[static_cast<std::size_t>(row * kSide + column)])
            << "request " << i << ": tile " << row << ", " << column;
        most = std::max(most, random.bytes());
    }
    EXPECT_GT(random.stats().evicted, 10'000u);
    EXPECT_LE(most, kBytes);
}

// Pixels of which depend on their own token alone.
Image local_picture(const std::vector<float> &latents) {
    Image picture{kPixels, kPixels, 4, {}};
    for (std::size_t pixel = 0; pixel < std::size_t{kPixels} * kPixels; ++pixel) {
        const auto number = static_cast<std::uint64_t>(latents[pixel * kChannels] * 16777216.0f);
        for (std::uint64_t c = 0; c < 4; ++c) {
            picture.pixels.push_back(static_cast<std::uint8_t>(mixed(number, c) >> 32));
        }
    }
    return picture;
}

TEST_F(CanvasTest, LocalTokensShowRoughlyUntilTheirTilesAreThereInAnyOrder) {
    std::map<std::pair<int, int>, std::vector<std::uint8_t>> expected;
    for (const bool forth : {true, false}) {
        Canvas made = canvas(1 << 20, true);
        std::set<CanvasPass> passes;
        for (int i = 0; i < 36; ++i) {
            const int at = forth ? i : 35 - i;
            const int row = at / 6 - 3, column = at % 6 - 3;
            const double side = made.tile_pixels();
            const CanvasArea view{column * side + 1,
                                  row * side + 1,
                                  (column + 1) * side - 1,
                                  (row + 1) * side - 1,
                                  0,
                                  0};
            const CanvasToken first = made.lattice().origin({CanvasPass::kTile, row, column});
            while (made.tile(row, column) == nullptr) {
                const auto work = made.next(view);
                if (!work) continue;
                passes.insert(work->parts[0].pass);
                const CanvasToken token = made.lattice().origin(work->parts[0]);
                const bool makes_first = made.lattice().maker(token) == work->parts[0];
                Made result = generate(work->request);
                result.picture = local_picture(result.latents);
                const std::uint64_t before = made.version();
                made.preview(work->parts[0], {1, 1, 4, {1, 2, 3, 4}}); // of a wrong size
                EXPECT_EQ(made.version(), before);
                made.preview(work->parts[0], result.picture);
                EXPECT_GT(made.version(), before);
                if (makes_first) {
                    EXPECT_EQ(made.rough(token)[0], result.picture.pixels[0]);
                }
                const auto pixels = result.picture.pixels;
                ASSERT_TRUE(made.take(work->parts[0], std::move(result.latents),
                                      std::move(result.picture)));
                if (makes_first) {
                    EXPECT_EQ(made.rough(token)[1], pixels[1]);
                }
            }
            const Image &tile = *made.tile(row, column);
            const std::uint8_t *const rough = made.rough(first);
            ASSERT_NE(rough, nullptr);
            EXPECT_TRUE(std::equal(rough, rough + 8, tile.pixels.begin()));
            if (forth) expected[{row, column}] = tile.pixels;
            EXPECT_EQ((expected[{row, column}]), tile.pixels) << row << " " << column;
        }
        EXPECT_EQ(passes.count(CanvasPass::kSketch), 0u);
        EXPECT_EQ(passes.count(CanvasPass::kCrossing), 1u);
    }
}

// Parts of one pass, none twice and none that waits for another; what is seen before what is not.
TEST_F(CanvasTest, AWaveIsOfPartsThatWaitForNothing) {
    constexpr std::size_t kMost = 3;
    for (const bool local : {false, true}) {
        Canvas alone = canvas(1 << 24, local), waves = canvas(1 << 24, local);
        const double side = alone.tile_pixels();
        const CanvasArea view{0.5, 0.5, 5 * side - 0.5, 5 * side - 0.5, 0, 0}; // 5 x 5 tiles
        std::set<CanvasPart> made;
        std::size_t largest = 0, pictures = 0;
        while (const auto work = waves.next(view, kMost)) {
            EXPECT_FALSE(waves.next(view, kMost)) << "a wave is under way";
            const CanvasPass pass = work->parts[0].pass;
            for (const CanvasPart &part : work->parts) {
                EXPECT_EQ(part.pass, pass);
                EXPECT_TRUE(made.insert(part).second);
                for (const CanvasPart &need : waves.lattice().needs(part)) {
                    EXPECT_TRUE(made.contains(need)) << pass_name(part.pass);
                }
            }
            std::size_t &most = pass == CanvasPass::kPicture ? pictures : largest;
            most = std::max(most, work->parts.size());
            if (work->parts.size() > 1) {
                EXPECT_EQ(work->request.images.size(), work->parts.size());
            } else {
                EXPECT_TRUE(work->request.images.empty());
            }
            make(waves, *work);
        }
        EXPECT_EQ(largest, kMost);
        EXPECT_EQ(pictures, 4 * kMost);
        std::set<CanvasPart> one_by_one;
        while (const auto work = alone.next(view)) {
            ASSERT_EQ(work->parts.size(), 1U);
            one_by_one.insert(work->parts[0]);
            make(alone, *work);
        }
        EXPECT_EQ(made, one_by_one);
        for (std::int32_t i = 0; i < 25; ++i) {
            ASSERT_NE(waves.tile(i / 5, i % 5), nullptr);
            EXPECT_EQ(waves.tile(i / 5, i % 5)->pixels, alone.tile(i / 5, i % 5)->pixels);
        }
    }
}

TEST_F(CanvasTest, WhatIsMissingOfAWaveIsAskedForAgain) {
    Canvas made = canvas(1 << 24, true);
    const CanvasArea view{-40, -40, 40, 40, 0, 0};
    make(made, *made.next(view, 4)); // the theme
    const auto work = made.next(view, 4);
    ASSERT_TRUE(work);
    ASSERT_EQ(work->parts.size(), 4U);
    Made result = generate(request_of(*work, 1));
    ASSERT_TRUE(made.take(work->parts[1], result.latents, result.picture));
    EXPECT_FALSE(made.take(work->parts[1], result.latents, result.picture)) << "twice";
    EXPECT_FALSE(made.next(view, 4)) << "three are awaited";
    made.give_up();
    const auto again = made.next(view, 3);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->parts, (std::vector{work->parts[0], work->parts[2], work->parts[3]}));
}

TEST_F(CanvasTest, OtherSeedsMakeOtherPlanesAndResetForgets) {
    Canvas one = canvas(1 << 20);
    const Image first = tile(one, 0, 0);
    one.reset(43);
    EXPECT_EQ(one.tile(0, 0), nullptr);
    EXPECT_EQ(one.bytes(), 0u);
    EXPECT_NE(tile(one, 0, 0).pixels, first.pixels);
    one.reset(42);
    EXPECT_EQ(tile(one, 0, 0).pixels, first.pixels);
}

// Even when nothing may be kept, what a view needs is, and it comes to an end.
TEST_F(CanvasTest, AViewIsCompletedBeyondAnyLimit) {
    Canvas small = canvas(1);
    const CanvasArea view{-20, -20, 20, 20, 0, 0};
    int steps = 0;
    while (const auto work = small.next(view)) {
        Made result = generate(work->request);
        ASSERT_TRUE(
            small.take(work->parts[0], std::move(result.latents), std::move(result.picture)));
        ASSERT_LT(++steps, 20'000);
    }
    const Canvas::TileRange range = small.tiles_in(view);
    EXPECT_EQ(range.top, -3);
    EXPECT_EQ(range.right, 2);
    for (std::int32_t row = range.top; row <= range.bottom; ++row) {
        for (std::int32_t column = range.left; column <= range.right; ++column) {
            EXPECT_NE(small.tile(row, column), nullptr);
        }
    }
}

TEST_F(CanvasTest, TheMiddleComesFirstThenWhatLiesAhead) {
    Canvas made = canvas(1 << 24);
    CanvasArea view{0, 0, 40, 40, 1, 0}; // 5 x 5 tiles
    std::vector<std::pair<int, int>> order;
    const auto note_tiles = [&] {
        for (int row = -8; row < 12; ++row) {
            for (int column = -8; column < 12; ++column) {
                const std::pair<int, int> at{row, column};
                if (made.tile(row, column) != nullptr &&
                    std::find(order.begin(), order.end(), at) == order.end()) {
                    order.push_back(at);
                }
            }
        }
    };
    while (const auto work = made.next(view)) {
        note_tiles();
        Made result = generate(work->request);
        ASSERT_TRUE(
            made.take(work->parts[0], std::move(result.latents), std::move(result.picture)));
    }
    note_tiles();
    EXPECT_EQ(order.front(), std::pair(2, 2));
    EXPECT_NE(made.tile(2, 7), nullptr);  // half a view ahead
    EXPECT_EQ(made.tile(2, -3), nullptr); // behind only one
    EXPECT_NE(made.tile(2, -1), nullptr);
    for (std::size_t i = 0; i < 25; ++i) { // what is seen before what is not
        EXPECT_TRUE(order[i].first >= 0 && order[i].first < 5 && order[i].second >= 0 &&
                    order[i].second < 5)
            << order[i].first << ", " << order[i].second;
    }
}

TEST_F(CanvasTest, WrongResultsAreNamedAndAskedForAgain) {
    Canvas made = canvas(1 << 20);
    const CanvasArea view = view_of(0, 0);
    const auto work = made.next(view);
    ASSERT_TRUE(work);
    EXPECT_FALSE(made.next(view)); // one at a time
    Made result = generate(work->request);
    auto wrong = result.latents;
    wrong.pop_back();
    const auto failed = made.take(work->parts[0], wrong, result.picture);
    ASSERT_FALSE(failed);
    EXPECT_THAT(failed.error().message, testing::HasSubstr("canvas: theme ("));
    EXPECT_THAT(failed.error().message, testing::HasSubstr("511 numbers, expected 512"));
    ASSERT_TRUE(made.next(view));
    EXPECT_FALSE(made.take({CanvasPass::kCrossing, 5, 5}, result.latents, result.picture));
    made.give_up();
    const auto again = made.next(view);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->parts, work->parts);
    made.give_up();

    // A generator that does not keep what it was given, and one with pictures of another size.
    bool changed = false, small = false;
    while (const auto next = made.next(view)) {
        Made now = generate(next->request);
        if (!changed && next->parts[0].pass == CanvasPass::kAcross) {
            changed = true;
            now.latents[0] += 1;
            const auto error = made.take(next->parts[0], now.latents, now.picture);
            ASSERT_FALSE(error);
            EXPECT_THAT(error.error().message, testing::HasSubstr("changed token 0"));
        } else if (!small && next->parts[0].pass == CanvasPass::kPicture) {
            small = true;
            const auto error = made.take(next->parts[0], now.latents, {8, 8, 4, {}});
            ASSERT_FALSE(error);
            EXPECT_THAT(error.error().message, testing::HasSubstr("8 x 8, expected 16 x 16"));
        } else {
            ASSERT_TRUE(made.take(next->parts[0], now.latents, now.picture));
        }
    }
    EXPECT_TRUE(changed && small);
    EXPECT_NE(made.tile(0, 0), nullptr);
}

TEST_F(CanvasTest, WindowsAreAsLongAsAskedWhereTheGeneratorHasNoSize) {
    for (const bool any_size : {true, false}) {
        auto inputs = slots();
        for (InputSlot &slot : inputs) slot.follows_size = any_size;
        auto made = Canvas::create(inputs, taps(), 1, 2 * kWindow);
        ASSERT_TRUE(made) << made.error().message;
        made->reset(42);
        const auto work = made->next(view_of(0, 0));
        ASSERT_TRUE(work);
        EXPECT_EQ(made->lattice().window(), any_size ? 2 * kWindow : kWindow);
        EXPECT_EQ(made->row_bytes(), (any_size ? 2 : 1) * std::size_t{kPixels} * 4);
        EXPECT_EQ(work->request.width, any_size ? 2 * kPixels : 0);
        EXPECT_EQ(work->request.height, any_size ? 2 * kPixels : 0);
    }
}

TEST_F(CanvasTest, SaysWhatAGeneratorLacks) {
    const auto message = [](std::vector<InputSlot> inputs, std::vector<FeatureTap> features) {
        const auto made = Canvas::create(inputs, features, 1);
        return made ? std::string() : made.error().message;
    };
    EXPECT_EQ(message(slots(), taps()), "");
    EXPECT_THAT(message({}, taps()), testing::HasSubstr("no input 'mask'"));
    EXPECT_THAT(message({slots()[0]}, taps()), testing::HasSubstr("no input 'latents'"));
    EXPECT_THAT(message(slots(), {}), testing::HasSubstr("no feature 'latents'"));
    auto other = slots();
    other[0].cell_columns = 3;
    EXPECT_THAT(message(other, taps()), testing::HasSubstr("3 x 8"));
    other = slots();
    other[0].width = other[0].height = 0;
    EXPECT_THAT(message(other, taps()), testing::HasSubstr("0 x 0 pixels"));
    other = slots();
    other[1].width = 17;
    EXPECT_THAT(message(other, taps()), testing::HasSubstr("latents are 17 x 16"));
    auto wide = taps();
    wide[0].shape = {kCells, kCells, 0};
    EXPECT_THAT(message(slots(), wide), testing::HasSubstr("with channels"));
}

// Pictures that agree are faded into themselves.
TEST_F(CanvasTest, FadingKeepsWhatPicturesAgreeOn) {
    Canvas made = canvas(1 << 20);
    while (const auto work = made.next(view_of(0, 0))) {
        Made result = generate(work->request);
        if (work->parts[0].pass == CanvasPass::kPicture) {
            std::fill(result.picture.pixels.begin(), result.picture.pixels.end(), 201);
            if (work->parts[0].column == 1)
                std::fill(result.picture.pixels.begin(), result.picture.pixels.end(), 1);
        }
        ASSERT_TRUE(made.take(work->parts[0], result.latents, result.picture));
    }
    const Image *const image = made.tile(0, 0);
    ASSERT_NE(image, nullptr);
    // Half a margin of 4 pixels: the last two of 8 columns hold 1/8 and 3/8 of the right neighbour.
    for (int y = 0; y < 8; ++y) {
        for (int x = 0; x < 6; ++x) EXPECT_EQ(image->pixels[(y * 8 + x) * 4], 201);
        EXPECT_EQ(image->pixels[(y * 8 + 6) * 4], 176);
        EXPECT_EQ(image->pixels[(y * 8 + 7) * 4], 126);
    }
}

TEST_F(CanvasTest, AnyViewIsSafe) {
    Canvas made = canvas(1 << 20);
    for (const double far :
         {1e300, -1e300, static_cast<double>(INFINITY), static_cast<double>(NAN)}) {
        const Canvas::TileRange range = made.tiles_in({-far, far, far, -far, 0, 0});
        EXPECT_LE(range.bottom - range.top, 63);
        EXPECT_LE(range.right - range.left, 63);
        EXPECT_TRUE(made.next({far, far, far, far, far, far}));
        made.give_up();
    }
}

} // namespace
} // namespace tessera
