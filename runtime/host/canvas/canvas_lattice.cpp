#include "host/canvas/canvas_lattice.hpp"

#include <tessera/values/philox.hpp>

namespace tessera {
namespace {

constexpr std::uint32_t kCanvasStream = 0x63616E76; // "canv"

} // namespace

CanvasToken CanvasLattice::origin(const CanvasPart &part) const {
    const std::int64_t row = part.row, column = part.column;
    if (part.pass == CanvasPass::kTile) return {row * tile(), column * tile()};
    if (part.pass == CanvasPass::kPicture) {
        const std::int64_t before = (window_ - tile()) / 2;
        return {row * tile() - before, column * tile() - before};
    }
    if (part.pass == CanvasPass::kTheme) return {start(), start()};
    const bool down = part.pass == CanvasPass::kDown || part.pass == CanvasPass::kCrossing;
    const bool across = part.pass == CanvasPass::kAcross || part.pass == CanvasPass::kCrossing;
    const std::int64_t shift = window_ - margin_;
    return {start() + row * pitch() + (down ? shift : 0),
            start() + column * pitch() + (across ? shift : 0)};
}

CanvasLattice::Stretch CanvasLattice::stretch_of(std::int64_t position) const {
    position -= start();
    const std::int64_t cell = floor_divide(position, pitch());
    return {static_cast<std::int32_t>(cell), position - cell * pitch() >= window_};
}

// The stretches that `count` tokens from `first` on lie in.
std::vector<CanvasLattice::Stretch> CanvasLattice::stretches(std::int64_t first,
                                                             std::int64_t count) const {
    std::vector<Stretch> result;
    const std::int64_t end = first + count;
    while (first < end) {
        const Stretch stretch = stretch_of(first);
        result.push_back(stretch);
        first =
            start() + std::int64_t{stretch.cell} * pitch() + (stretch.between ? pitch() : window_);
    }
    return result;
}

CanvasPart CanvasLattice::window_of(const Stretch &rows, const Stretch &columns) const {
    const bool middle = rows.cell == 0 && columns.cell == 0 && !rows.between && !columns.between;
    if (local_ && middle) return {CanvasPass::kTheme, 0, 0};
    const CanvasPass pass = rows.between
                                ? (columns.between ? CanvasPass::kCrossing : CanvasPass::kDown)
                                : (columns.between ? CanvasPass::kAcross : CanvasPass::kFree);
    return {pass, rows.cell, columns.cell};
}

CanvasPart CanvasLattice::maker(CanvasToken token) const {
    return window_of(stretch_of(token.y), stretch_of(token.x));
}

std::vector<CanvasPart> CanvasLattice::needs(const CanvasPart &part) const {
    std::vector<CanvasPart> parts;
    if (part.pass == CanvasPass::kTile && local_) {
        return {{CanvasPass::kPicture, part.row, part.column}};
    }
    if (part.pass == CanvasPass::kTile) {
        for (std::int32_t row = part.row - 1; row <= part.row + 1; ++row) {
            for (std::int32_t column = part.column - 1; column <= part.column + 1; ++column) {
                parts.push_back({CanvasPass::kPicture, row, column});
            }
        }
        return parts;
    }
    if (part.pass == CanvasPass::kTheme) return {};
    const bool takes_theme = part.pass == CanvasPass::kSketch || part.pass == CanvasPass::kFree;
    if (takes_theme && (local_ || part.pass == CanvasPass::kSketch)) {
        return {{CanvasPass::kTheme, 0, 0}};
    }
    if (part.pass == CanvasPass::kFree) return {{CanvasPass::kSketch, part.row, part.column}};
    const CanvasToken first = origin(part);
    const int beyond = part.pass == CanvasPass::kPicture ? first_seen() : 0;
    const std::int64_t count = window_ - 2 * beyond;
    const std::vector<Stretch> columns = stretches(first.x + beyond, count);
    for (const Stretch &row : stretches(first.y + beyond, count)) {
        for (const Stretch &column : columns) {
            const CanvasPart window = window_of(row, column);
            if (window != part) parts.push_back(window);
        }
    }
    return parts;
}

std::uint64_t window_seed(std::uint64_t seed, const CanvasPart &part) {
    if (part.pass == CanvasPass::kTheme) return seed;
    using values::philox;
    const values::PhiloxCounter words =
        philox({static_cast<std::uint32_t>(part.pass), static_cast<std::uint32_t>(part.row),
                static_cast<std::uint32_t>(part.column), kCanvasStream},
               values::philox_key(seed));
    return words[0] | std::uint64_t{words[1]} << 32;
}

const char *pass_name(CanvasPass pass) {
    constexpr const char *kNames[] = {"theme", "sketch",   "free",    "across",
                                      "down",  "crossing", "picture", "tile"};
    return kNames[static_cast<std::size_t>(pass)];
}

} // namespace tessera
