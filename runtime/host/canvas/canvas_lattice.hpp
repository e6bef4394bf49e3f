// The plan of an endless canvas: which window of the generator makes which token of the plane, and
// what has to be finished before it. Arithmetic only.
//
// With n tokens along a window and a margin m = n / 4 the plane repeats every p = n + g tokens,
// g = n - 2 m, in four passes; each token of the plane comes from one of them:
//
//   free       n x n tokens, p apart
//   across     the g columns between two free windows, which it sees m columns of on both sides
//   down       the g rows between two free windows, likewise
//   crossing   the g x g tokens that are left; all round them are finished
//
// Free windows know nothing of each other, so they share a theme, the picture that the seed makes
// alone: a sketch is a window round some of the theme's tokens, its anchors, which the free window
// then makes again. So all have the look of the theme, and none of its tokens.
//
// A window depends on finished windows of earlier passes and on nothing else, so it is the same
// whatever was made before it. Pictures are decoded from windows of their own, g tokens apart, and
// tiles of g x g tokens are put together from a picture and its eight neighbours.
//
// Local tokens make it cheaper: they bring their look with them, and what they show ends within 4
// tokens. Then m is 2, enough to go on from; free windows take the theme's look without any of its
// tokens, so there are no sketches, and the theme itself is the free window in the middle of the
// plane; and a tile, n / 2 tokens along, is cut from its own picture.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <vector>

namespace tessera {

enum class CanvasPass : std::uint8_t {
    kTheme,
    kSketch,
    kFree,
    kAcross,
    kDown,
    kCrossing,
    kPicture,
    kTile
};

// One window, picture or tile; rows and columns count parts of the same pass. There is one theme.
struct CanvasPart {
    CanvasPass pass = CanvasPass::kTheme;
    std::int32_t row = 0;
    std::int32_t column = 0;
    // The check takes the comparison's own 0 for a null pointer.
    // NOLINTNEXTLINE(modernize-use-nullptr)
    auto operator<=>(const CanvasPart &) const = default;
};

// A token of the plane.
struct CanvasToken {
    std::int64_t y = 0;
    std::int64_t x = 0;
    bool operator==(const CanvasToken &) const = default;
};

class CanvasLattice {
  public:
    static constexpr int kSmallestWindow = 4; // tokens: below it there is no margin

    // Of local tokens: how far what one shows can be seen, and how many finished ones a window has
    // to see to go on with them.
    static constexpr int kReach = 4;
    static constexpr int kLocalMargin = 2;

    explicit CanvasLattice(int window, bool local = false)
        : window_(window), margin_(local ? std::min(window / 4, kLocalMargin) : window / 4),
          local_(local) {}

    [[nodiscard]] int window() const { return window_; }            // n
    [[nodiscard]] int margin() const { return margin_; }            // m
    [[nodiscard]] int gap() const { return window_ - 2 * margin_; } // g
    [[nodiscard]] int pitch() const { return window_ + gap(); }     // p
    [[nodiscard]] int tile() const { return local_ ? window_ / 2 : gap(); }
    // The first token of a picture that can be seen in its tile.
    [[nodiscard]] int first_seen() const {
        return local_ ? std::max((window_ - tile()) / 2 - kReach, 0) : 0;
    }
    [[nodiscard]] bool local() const { return local_; }

    // The first token of a part: windows and pictures are n x n, tiles as they are.
    [[nodiscard]] CanvasToken origin(const CanvasPart &part) const;
    // Whether the token (y, x) of a sketch is an anchor: every second one of every second row.
    [[nodiscard]] static bool is_anchor(int y, int x) { return y % 2 == 1 && x % 2 == 1; }
    // The window that makes a token.
    [[nodiscard]] CanvasPart maker(CanvasToken token) const;
    // What a part is made from: windows for windows and pictures, pictures for tiles.
    [[nodiscard]] std::vector<CanvasPart> needs(const CanvasPart &part) const;

  private:
    // Tokens along one axis that the same kind of window makes: `cell` repeats every p tokens and
    // begins with n tokens of free windows (`between` false).
    struct Stretch {
        std::int32_t cell;
        bool between;
    };
    [[nodiscard]] Stretch stretch_of(std::int64_t position) const;
    [[nodiscard]] std::vector<Stretch> stretches(std::int64_t first, std::int64_t count) const;
    [[nodiscard]] CanvasPart window_of(const Stretch &rows, const Stretch &columns) const;
    // Where the free window (0, 0) begins.
    [[nodiscard]] std::int64_t start() const { return local_ ? -window_ / 2 : 0; }

    int window_;
    int margin_;
    bool local_;
};

// The seed of a window; the theme's is the canvas's own. Of the others it is the first two words of
// Philox 4x32-10, low word first, with the canvas's seed as key and the counter
// (pass, row, column, 0x63616E76).
[[nodiscard]] std::uint64_t window_seed(std::uint64_t seed, const CanvasPart &part);

// "free", "across", ..., for messages.
[[nodiscard]] const char *pass_name(CanvasPass pass);

// Rounded down, for any sign.
[[nodiscard]] constexpr std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
    return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

} // namespace tessera
