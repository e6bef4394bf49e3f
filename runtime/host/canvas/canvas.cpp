#include "host/canvas/canvas.hpp"

#include <tessera/ext/features.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <tuple>
#include <utility>

namespace tessera {
namespace {

constexpr double kFarthest = 1e9; // pixels: keeps part numbers far inside 32 bits

const InputSlot *find_slot(const std::vector<InputSlot> &inputs, std::string_view key,
                           tessera_input_type type) {
    const InputSlot *const slot = find_slot(inputs, key);
    return slot != nullptr && slot->type == type ? slot : nullptr;
}

Error unsuited(const std::string &why) {
    return {Status::kUnsupported, "the endless canvas cannot use this generator: " + why};
}

bool is_window(const CanvasPart &part) { return part.pass < CanvasPass::kPicture; }

std::string text_of(const CanvasPart &part) {
    return fmt::format("canvas: {} ({}, {})", pass_name(part.pass), part.row, part.column);
}

// How much of a tile's pixel `at` the pictures before it, of it and behind it make, of `whole`.
struct Shares {
    int whole;
    int of[3];
};

// Linear over a margin's width, half of it on each side of a border of tiles: (size) pixels a tile.
Shares shares_at(int at, int size, int margin) {
    const int half = margin / 2;
    Shares shares{std::max(4 * half, 1), {}};
    shares.of[0] = std::max(0, 2 * (half - at) - 1);
    shares.of[2] = std::max(0, 2 * (at - (size - half)) + 1);
    shares.of[1] = shares.whole - shares.of[0] - shares.of[2];
    return shares;
}

} // namespace

void note_latents(const PlayerEvent &event, std::vector<CanvasResult> &wave) {
    const bool is_one = event.type == PlayerEvent::Type::kFeatures &&
                        event.name == TESSERA_FEATURE_LATENTS && event.dtype == TESSERA_DTYPE_F32;
    if (is_one) wave[event.image].latents = floats_of(event.bytes);
}

Result<Canvas> Canvas::create(const std::vector<InputSlot> &inputs,
                              const std::vector<FeatureTap> &features, std::size_t max_bytes,
                              std::uint32_t window) {
    const InputSlot *const mask = find_slot(inputs, TESSERA_INPUT_MASK, TESSERA_INPUT_TYPE_MASK8);
    const InputSlot *const latents =
        find_slot(inputs, TESSERA_INPUT_LATENTS, TESSERA_INPUT_TYPE_F32);
    const auto tap = std::find_if(features.begin(), features.end(), [](const FeatureTap &feature) {
        return feature.name == TESSERA_FEATURE_LATENTS;
    });
    if (mask == nullptr) return unsuited("it has no input 'mask'");
    if (latents == nullptr) return unsuited("it has no input 'latents'");
    if (tap == features.end()) return unsuited("it has no feature 'latents'");
    const std::uint32_t side = mask->cell_columns;
    if (side < CanvasLattice::kSmallestWindow || mask->cell_rows != side) {
        return unsuited(fmt::format("its token grid is {} x {}, expected a square of at least {}",
                                    mask->cell_columns, mask->cell_rows,
                                    CanvasLattice::kSmallestWindow));
    }
    if (mask->width == 0 || mask->width != mask->height || mask->width % side != 0 ||
        mask->width > kMaxImageSide) {
        return unsuited(fmt::format("its mask is {} x {} pixels, expected a square of {} tokens",
                                    mask->width, mask->height, side));
    }
    const auto same = [](std::int64_t given, std::uint32_t of) {
        return given == 0 || given == of;
    };
    const bool fits = tap->shape.size() == 3 && same(tap->shape[0], latents->height) &&
                      same(tap->shape[1], latents->width) && tap->shape[2] > 0 &&
                      tap->shape[2] <= kMaxImageSide;
    if (!fits || latents->width != latents->height || latents->width == 0 ||
        latents->width % side != 0 || latents->width > kMaxImageSide) {
        return unsuited(fmt::format("its latents are {} x {}, expected a square of {} tokens and a "
                                    "feature of the same size with channels",
                                    latents->width, latents->height, side));
    }
    Format format;
    format.any_size = mask->follows_size;
    format.window = static_cast<int>(format.any_size && window != 0 ? window : side);
    format.token_cells = static_cast<int>(latents->width / side);
    format.channels = static_cast<int>(tap->shape[2]);
    format.token_pixels = static_cast<int>(mask->width / side);
    format.local = format.any_size && find_slot(inputs, kStyleInput) != nullptr;
    return Canvas(format, max_bytes);
}

Canvas::Canvas(const Format &format, std::size_t max_bytes)
    : format_(format), lattice_(format.window, format.local),
      tile_pixels_(static_cast<std::uint32_t>(lattice_.tile() * format.token_pixels)),
      max_bytes_(max_bytes) {}

void Canvas::reset(std::uint64_t seed) {
    seed_ = seed;
    parts_.clear();
    bytes_ = 0;
    asked_.clear();
    ++version_;
    stats_ = {};
}

Canvas::TileRange Canvas::tiles_in(const CanvasArea &view) const {
    const auto tile_at = [this](double pixel) {
        const double bounded = std::isfinite(pixel) ? std::clamp(pixel, -kFarthest, kFarthest) : 0;
        return static_cast<std::int32_t>(std::floor(bounded / tile_pixels_));
    };
    TileRange range{tile_at(view.top), tile_at(view.left), tile_at(view.bottom),
                    tile_at(view.right)};
    const auto limit = [](std::int32_t &first, std::int32_t &last) {
        last = std::max(first, last);
        const std::int64_t beyond = std::int64_t{last} - first + 1 - kMostTiles;
        if (beyond <= 0) return;
        first += static_cast<std::int32_t>(beyond / 2);
        last = first + static_cast<std::int32_t>(kMostTiles) - 1;
    };
    limit(range.top, range.bottom);
    limit(range.left, range.right);
    return range;
}

// Visible ones first, each by its distance to the middle of the view, then one more all round and
// half a view ahead.
std::vector<Canvas::WantedTile> Canvas::wanted_tiles(const CanvasArea &view) const {
    const double middle_x = (view.left + view.right) / 2, middle_y = (view.top + view.bottom) / 2;
    const double ahead_x = (view.right - view.left) / 2, ahead_y = (view.bottom - view.top) / 2;
    CanvasArea round = view;
    const auto side = static_cast<double>(tile_pixels_);
    round.left -= side + (view.motion_x < 0 ? ahead_x : 0);
    round.right += side + (view.motion_x > 0 ? ahead_x : 0);
    round.top -= side + (view.motion_y < 0 ? ahead_y : 0);
    round.bottom += side + (view.motion_y > 0 ? ahead_y : 0);
    const TileRange seen = tiles_in(view), all = tiles_in(round);
    std::vector<WantedTile> tiles;
    for (std::int32_t row = all.top; row <= all.bottom; ++row) {
        for (std::int32_t column = all.left; column <= all.right; ++column) {
            const bool hidden =
                row < seen.top || row > seen.bottom || column < seen.left || column > seen.right;
            const double distance =
                std::hypot((row + 0.5) * side - middle_y, (column + 0.5) * side - middle_x);
            tiles.push_back({hidden, distance, {CanvasPass::kTile, row, column}});
        }
    }
    std::sort(tiles.begin(), tiles.end(), [](const WantedTile &a, const WantedTile &b) {
        return std::tie(a.hidden, a.distance, a.part) < std::tie(b.hidden, b.distance, b.part);
    });
    return tiles;
}

// Pictures are four times as many, as nothing is sampled for them.
bool Canvas::Wave::is_full() const {
    if (parts.empty()) return false;
    return parts.size() >= (most > 1 && parts[0].pass == CanvasPass::kPicture ? 4 * most : most);
}

std::optional<CanvasWork> Canvas::next(const CanvasArea &view, std::size_t most) {
    if (!asked_.empty()) return std::nullopt;
    protected_from_ = ++now_;
    Wave wave{most};
    bool is_hidden = false; // what the wave is for
    for (const WantedTile &tile : wanted_tiles(view)) {
        if (wave.is_full() || (tile.hidden && !is_hidden && !wave.parts.empty())) break;
        is_hidden = tile.hidden;
        (void)find_or_plan(tile.part, wave);
    }
    if (wave.parts.empty()) return std::nullopt;
    return ask_for(std::move(wave.parts));
}

// True: it is there. Else what it waits for and can be made now is in the wave, as far as that has
// room and is of the same pass. What it finds is seen, and so kept: the more of it there is, the
// nearer the part.
bool Canvas::find_or_plan(const CanvasPart &part, Wave &wave) {
    if (find(part) != nullptr) return true;
    bool may_be_made = true;
    for (const CanvasPart &need : lattice_.needs(part)) {
        if (wave.is_full()) return false;
        may_be_made = find_or_plan(need, wave) && may_be_made;
    }
    if (!may_be_made) return false;
    if (part.pass == CanvasPass::kTile) {
        compose(part);
        return true;
    }
    std::vector<CanvasPart> &parts = wave.parts;
    const bool fits = parts.empty() || (parts[0].pass == part.pass && !wave.is_full());
    if (fits && std::find(parts.begin(), parts.end(), part) == parts.end()) parts.push_back(part);
    return false;
}

bool Canvas::is_unseen(CanvasToken token) const {
    const int edge = lattice_.first_seen();
    const auto seen = [&](std::int64_t at) { return at >= edge && at < lattice_.window() - edge; };
    return !(seen(token.y) && seen(token.x));
}

// `token` and the result's token are counted from the first one of their part.
Canvas::Source Canvas::source_of(const CanvasPart &part, CanvasToken token) const {
    const bool anchor =
        CanvasLattice::is_anchor(static_cast<int>(token.y), static_cast<int>(token.x));
    if (part.pass == CanvasPass::kSketch) {
        return {anchor ? lattice_.needs(part).front() : part, token};
    }
    if (part.pass == CanvasPass::kFree && !lattice_.local()) {
        return {anchor ? part : lattice_.needs(part).front(), token};
    }
    if (part.pass == CanvasPass::kPicture && is_unseen(token)) { // any that is there will do
        return {lattice_.needs(part).front(), {}};
    }
    const CanvasToken first = lattice_.origin(part);
    const CanvasToken place{first.y + token.y, first.x + token.x};
    const CanvasPart maker = lattice_.maker(place);
    const CanvasToken begin = lattice_.origin(maker);
    return {maker, {place.y - begin.y, place.x - begin.x}};
}

// All windows of a pass know the same tokens.
CanvasWork Canvas::ask_for(std::vector<CanvasPart> parts) {
    CanvasWork work{std::move(parts), {}};
    const auto side = static_cast<std::uint32_t>(format_.window);
    const std::uint32_t cells = side * static_cast<std::uint32_t>(format_.token_cells);
    work.request.canvas = true;
    if (format_.any_size) work.request.width = work.request.height = side * token_pixels();
    mask_.clear();
    if (work.parts[0].pass != CanvasPass::kTheme) {
        mask_ = mask_of(work.parts[0]);
        work.request.inputs.push_back({TESSERA_INPUT_MASK, {side, side, 1, mask_}});
    }
    for (const CanvasPart &part : work.parts) {
        RequestImage image{window_seed(seed_, part)};
        Awaited &awaited = asked_[part];
        if (!mask_.empty()) {
            awaited.given = latents_for(part);
            const auto channels = static_cast<std::uint32_t>(format_.channels);
            image.inputs.push_back(
                {TESSERA_INPUT_LATENTS, {cells, cells, channels, {}}, awaited.given});
        }
        work.request.images.push_back(std::move(image));
    }
    if (work.parts.size() > 1) return work;
    RequestImage only = std::move(work.request.images[0]);
    work.request.images.clear();
    work.request.seed = only.seed;
    for (RequestInput &input : only.inputs) work.request.inputs.push_back(std::move(input));
    return work;
}

// (window, window): 0 what it is given, 255 what it makes.
std::vector<std::uint8_t> Canvas::mask_of(const CanvasPart &part) const {
    std::vector<std::uint8_t> mask;
    for (std::int64_t y = 0; y < format_.window; ++y) {
        for (std::int64_t x = 0; x < format_.window; ++x) {
            mask.push_back(source_of(part, {y, x}).part == part ? 255 : 0);
        }
    }
    return mask;
}

std::vector<float> Canvas::latents_for(const CanvasPart &part) const {
    const auto cells = static_cast<std::size_t>(format_.window * format_.token_cells);
    std::vector<float> latents(cells * cells * static_cast<std::size_t>(format_.channels));
    // The look of the theme, of which nothing is kept.
    const bool looks = lattice_.local() && part.pass == CanvasPass::kFree;
    for (std::int64_t y = 0; y < format_.window; ++y) {
        for (std::int64_t x = 0; x < format_.window; ++x) {
            const Source source = source_of(part, {y, x});
            if (source.part != part)
                copy_token(source, {y, x}, latents);
            else if (looks)
                copy_token({{}, {y, x}}, {y, x}, latents);
        }
    }
    return latents;
}

// Of a finished window into the latents of another part.
void Canvas::copy_token(const Source &from, CanvasToken to, std::vector<float> &latents) const {
    const auto offset = [this](CanvasToken token, int line) {
        const std::int64_t y = token.y * format_.token_cells + line;
        const std::int64_t x = token.x * format_.token_cells;
        return (y * format_.window * format_.token_cells + x) * format_.channels;
    };
    const float *const source = parts_.at(from.part).latents.data();
    for (int line = 0; line < format_.token_cells; ++line) {
        std::copy_n(source + offset(from.token, line), format_.token_cells * format_.channels,
                    latents.data() + offset(to, line));
    }
}

Result<void> Canvas::check(const CanvasPart &part, const std::vector<float> &latents,
                           const Image &picture) const {
    const auto asked = asked_.find(part);
    if (asked == asked_.end()) {
        return make_error(Status::kInvalidArgument, "{} was not asked for", text_of(part));
    }
    const auto window = static_cast<std::size_t>(format_.window);
    const std::size_t cells = window * static_cast<std::size_t>(format_.token_cells);
    const std::size_t numbers = cells * cells * static_cast<std::size_t>(format_.channels);
    if (is_window(part) && latents.size() != numbers) {
        return make_error(Status::kFailed, "{}: the generator gave {} numbers, expected {}",
                          text_of(part), latents.size(), numbers);
    }
    if (part.pass == CanvasPass::kPicture && !is_window_picture(picture)) {
        const int pixels = format_.window * format_.token_pixels;
        return make_error(Status::kFailed, "{}: the picture is {} x {}, expected {} x {}",
                          text_of(part), picture.width, picture.height, pixels, pixels);
    }
    if (part.pass == CanvasPass::kTheme || !is_window(part)) return {};
    const std::vector<float> &given = asked->second.given;
    for (std::size_t i = 0; i < latents.size(); ++i) {
        const std::size_t cell = i / static_cast<std::size_t>(format_.channels);
        const auto per_token = static_cast<std::size_t>(format_.token_cells);
        const std::size_t token = cell / cells / per_token * window + cell % cells / per_token;
        if (mask_[token] == 0 &&
            std::bit_cast<std::uint32_t>(latents[i]) != std::bit_cast<std::uint32_t>(given[i])) {
            return make_error(Status::kFailed,
                              "{}: the generator changed token {}, which was to be kept",
                              text_of(part), token);
        }
    }
    return {};
}

bool Canvas::is_window_picture(const Image &picture) const {
    const auto pixels = static_cast<std::uint32_t>(format_.window * format_.token_pixels);
    return picture.width == pixels && picture.height == pixels && picture.channels == 4;
}

void Canvas::preview(const CanvasPart &part, Image picture) {
    const auto asked = asked_.find(part);
    if (asked == asked_.end() || !is_window_picture(picture)) return;
    asked->second.preview = std::move(picture);
    ++version_;
}

Result<void> Canvas::take(const CanvasPart &part, std::vector<float> latents, Image picture) {
    auto checked = check(part, latents, picture);
    asked_.erase(part);
    if (!checked) return checked;
    ++version_;
    if (is_window(part)) {
        ++stats_.windows;
        if (!is_window_picture(picture)) picture = {};
        keep(part, {.latents = std::move(latents), .image = std::move(picture)});
    } else {
        ++stats_.pictures;
        keep(part, {.latents = {}, .image = std::move(picture)});
    }
    return {};
}

// Pictures of local tokens are cut. Others are decoded with a margin whose outer half is cut off;
// in the inner half they are faded into each other, so that what little they know of their borders
// draws no line.
void Canvas::compose(const CanvasPart &part) {
    Image tile = lattice_.local() ? cut_tile(part) : faded_tile(part);
    ++stats_.tiles;
    ++version_;
    keep(part, {.latents = {}, .image = std::move(tile)});
}

Image Canvas::cut_tile(const CanvasPart &part) const {
    const std::size_t bytes = std::size_t{tile_pixels_} * 4;
    const auto before =
        static_cast<std::size_t>((lattice_.window() - lattice_.tile()) / 2 * format_.token_pixels);
    const auto &from = parts_.at({CanvasPass::kPicture, part.row, part.column}).image.pixels;
    Image tile{tile_pixels_, tile_pixels_, 4, {}};
    tile.pixels.reserve(bytes * tile_pixels_);
    for (std::size_t y = 0; y < tile_pixels_; ++y) {
        const auto row =
            from.begin() + static_cast<std::ptrdiff_t>((before + y) * row_bytes() + before * 4);
        tile.pixels.insert(tile.pixels.end(), row, row + static_cast<std::ptrdiff_t>(bytes));
    }
    return tile;
}

Image Canvas::faded_tile(const CanvasPart &part) const {
    const auto size = static_cast<int>(tile_pixels_);
    const int margin = lattice_.margin() * format_.token_pixels;
    const int stride = format_.window * format_.token_pixels;
    const std::uint8_t *pictures[3][3];
    for (int i = 0; i < 9; ++i) {
        const CanvasPart picture{CanvasPass::kPicture, part.row + i / 3 - 1,
                                 part.column + i % 3 - 1};
        pictures[i / 3][i % 3] = parts_.at(picture).image.pixels.data();
    }
    Image tile{tile_pixels_, tile_pixels_, 4, {}};
    tile.pixels.reserve(std::size_t{tile_pixels_} * tile_pixels_ * 4);
    for (int y = 0; y < size; ++y) {
        const Shares rows = shares_at(y, size, margin);
        for (int x = 0; x < size; ++x) {
            const Shares columns = shares_at(x, size, margin);
            int sums[4] = {};
            for (int i = 0; i < 9; ++i) {
                const int share = rows.of[i / 3] * columns.of[i % 3];
                if (share == 0) continue;
                const int at_y = y + margin - (i / 3 - 1) * size;
                const int at_x = x + margin - (i % 3 - 1) * size;
                const std::uint8_t *const pixel =
                    pictures[i / 3][i % 3] + (at_y * stride + at_x) * 4;
                for (int c = 0; c < 4; ++c) sums[c] += share * pixel[c];
            }
            const int whole = rows.whole * columns.whole;
            for (const int sum : sums) {
                tile.pixels.push_back(static_cast<std::uint8_t>((sum + whole / 2) / whole));
            }
        }
    }
    return tile;
}

const Image *Canvas::tile(std::int32_t row, std::int32_t column) {
    ++now_;
    Entry *const entry = find({CanvasPass::kTile, row, column});
    return entry != nullptr ? &entry->image : nullptr;
}

const std::uint8_t *Canvas::rough(CanvasToken token) {
    const CanvasPart maker = lattice_.maker(token);
    const auto asked = asked_.find(maker);
    const bool under_way = asked != asked_.end() && !asked->second.preview.pixels.empty();
    const Entry *const entry = under_way ? nullptr : find(maker);
    const Image *const image = under_way          ? &asked->second.preview
                               : entry != nullptr ? &entry->image
                                                  : nullptr;
    if (image == nullptr || image->pixels.empty()) return nullptr;
    const CanvasToken first = lattice_.origin(maker);
    const auto y = static_cast<std::size_t>((token.y - first.y) * format_.token_pixels);
    const auto x = static_cast<std::size_t>((token.x - first.x) * format_.token_pixels);
    return image->pixels.data() + y * row_bytes() + x * 4;
}

Canvas::Entry *Canvas::find(const CanvasPart &part) {
    const auto found = parts_.find(part);
    if (found == parts_.end()) return nullptr;
    found->second.seen = now_;
    return &found->second;
}

void Canvas::keep(const CanvasPart &part, Entry entry) {
    entry.seen = now_;
    bytes_ += entry.bytes();
    parts_.insert_or_assign(part, std::move(entry));
    evict();
}

// Least recently seen first, though nothing that the last `next` needed.
void Canvas::evict() {
    while (bytes_ > max_bytes_) {
        const auto oldest = std::min_element(parts_.begin(), parts_.end(), [](auto &a, auto &b) {
            return a.second.seen < b.second.seen;
        });
        if (oldest == parts_.end() || oldest->second.seen >= protected_from_) return;
        bytes_ -= oldest->second.bytes();
        parts_.erase(oldest);
        ++stats_.evicted;
    }
}

} // namespace tessera
