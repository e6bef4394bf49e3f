// An endless plane of one material, made a window at a time by any generator that takes back its
// own latents next to a mask. Every window, and so every tile, is a pure function of the seed, the
// parameter values and its place, whatever was made before it; tiles that were evicted come back
// with the same bytes. (Values that read a clock, such as a deadline, are the exception.)
// Makes nothing itself and never waits: it says what to make next, as requests for a Player, and
// takes the results. Knows no window of a program. Control thread only.
//
//   auto canvas = Canvas::create(player.inputs(), player.features(), bytes);
//   canvas->reset(seed);                    // and whenever a parameter value changed
//   if (auto work = canvas->next(view, most)) ... // see wave; run work->request
//   for (const CanvasPart &part : work->parts)
//       canvas->take(part, latents, picture); // the last of both; give_up() if there are none
//   if (const Image *tile = canvas->tile(3, -1)) ...
//
// Of a generator of any size (TESSERA_INPUT_FOLLOWS_SIZE) that takes a style it expects local
// tokens (canvas_lattice.hpp): latents of which nothing is kept still give the look, and what a
// token shows ends within 4 tokens.
#pragma once

#include "assets/image_file.hpp"
#include "core/result.hpp"
#include "host/canvas/canvas_lattice.hpp"
#include "host/generator/batch.hpp"
#include "host/generator/slots.hpp"
#include "host/run/event.hpp"
#include "host/run/request.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace tessera {

// What is looked at, in pixels of the plane, and where it is moving to.
struct CanvasArea {
    double left = 0;
    double top = 0;
    double right = 0;
    double bottom = 0;
    double motion_x = 0; // direction only
    double motion_y = 0;
};

// A wave: parts that wait for nothing and not for each other. Image i of the request is part i.
struct CanvasWork {
    std::vector<CanvasPart> parts;
    PlayRequest request;
};

// What came of a part so far.
struct CanvasResult {
    CanvasPart part;
    std::vector<float> latents = {};
    Image picture = {};
};
// Into the part that an event brings latents of, if it does: of a wave, in the order of its images.
void note_latents(const PlayerEvent &event, std::vector<CanvasResult> &wave);

class Canvas {
  public:
    static constexpr std::int64_t kMostTiles = 64; // along a view; what lies beyond is not made

    // Says what is missing when the generator cannot do it. `max_bytes` is for everything kept;
    // what a view shows, and what that is made from, is kept even beyond. Of a generator of any
    // size windows are `window` tokens along; 0, and of any other: as the slots are.
    [[nodiscard]] static Result<Canvas> create(const std::vector<InputSlot> &inputs,
                                               const std::vector<FeatureTap> &features,
                                               std::size_t max_bytes, std::uint32_t window = 0);

    // A new plane.
    void reset(std::uint64_t seed);

    [[nodiscard]] const CanvasLattice &lattice() const { return lattice_; }
    [[nodiscard]] std::uint32_t tile_pixels() const { return tile_pixels_; } // along a tile
    // First and last row and column of tiles that a view touches.
    struct TileRange {
        std::int32_t top = 0, left = 0, bottom = 0, right = 0;
    };
    [[nodiscard]] TileRange tiles_in(const CanvasArea &view) const;

    // What to make next: the tile nearest to the middle of the view first, then those round it and
    // ahead of its motion. A wave of at most so many windows, or four times as many pictures, which
    // are cheap; more than one only of a generator that takes latents of each image (wave). Nothing
    // while a result is awaited, and when all that is made.
    [[nodiscard]] std::optional<CanvasWork> next(const CanvasArea &view, std::size_t most = 1);
    // How many windows to ask for at a time of a generator that computes in `memory`: on the host
    // few enough to show one soon, on a device enough to be worth telling it.
    [[nodiscard]] static std::size_t wave(const Batch &batch, tessera_memory memory) {
        if (!may_differ(batch, TESSERA_INPUT_LATENTS)) return 1;
        return memory == TESSERA_MEMORY_HOST ? 4 : 16;
    }
    // A picture of a part of the last `next` on its way; wrong ones are not shown.
    void preview(const CanvasPart &part, Image picture);
    // The result of a part of the last `next`: latents as the request's own, (height, width,
    // channels), and the RGBA picture. Errors name the part; it is asked for again.
    [[nodiscard]] Result<void> take(const CanvasPart &part, std::vector<float> latents,
                                    Image picture);
    // There will be no more results; the parts without are asked for again.
    void give_up() { asked_.clear(); }

    // (tile_pixels, tile_pixels) RGBA, valid until next, take or reset; nullptr: not made yet, or
    // evicted.
    [[nodiscard]] const Image *tile(std::int32_t row, std::int32_t column);
    // Until its tile is there: a token as the window that makes it shows it, (token_pixels,
    // token_pixels) RGBA in rows of `row_bytes`; valid as a tile is. NULL: not even that.
    [[nodiscard]] const std::uint8_t *rough(CanvasToken token);
    [[nodiscard]] std::uint32_t token_pixels() const {
        return static_cast<std::uint32_t>(format_.token_pixels);
    }
    [[nodiscard]] std::size_t row_bytes() const {
        return std::size_t{4} * static_cast<std::size_t>(format_.window * format_.token_pixels);
    }
    // Grows whenever a tile or something rough is new.
    [[nodiscard]] std::uint64_t version() const { return version_; }

    struct Stats {
        std::uint64_t windows = 0; // made since the reset
        std::uint64_t pictures = 0;
        std::uint64_t tiles = 0;
        std::uint64_t evicted = 0; // of all three
    };
    [[nodiscard]] const Stats &stats() const { return stats_; }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }

  private:
    struct Format {
        int window = 0;       // tokens along
        int token_cells = 0;  // latent cells along a token
        int channels = 0;     // of a latent cell
        int token_pixels = 0; // along a token
        bool local = false;   // tokens are
        bool any_size = false;
    };
    // A finished part: latents and pixels of windows, pixels of pictures and tiles.
    struct Entry {
        std::vector<float> latents;
        Image image;
        std::uint64_t seen = 0;
        [[nodiscard]] std::size_t bytes() const {
            return latents.size() * sizeof(float) + image.pixels.size();
        }
    };

    Canvas(const Format &format, std::size_t max_bytes);
    // What `next` waits for.
    struct Awaited {
        std::vector<float> given; // latents
        Image preview;            // may be empty
    };
    struct WantedTile {
        bool hidden; // in no view yet
        double distance;
        CanvasPart part;
    };
    struct Wave {
        std::size_t most = 1; // windows
        std::vector<CanvasPart> parts = {};
        [[nodiscard]] bool is_full() const;
    };
    [[nodiscard]] std::vector<WantedTile> wanted_tiles(const CanvasArea &view) const;
    [[nodiscard]] bool find_or_plan(const CanvasPart &part, Wave &wave);
    [[nodiscard]] CanvasWork ask_for(std::vector<CanvasPart> parts);
    [[nodiscard]] std::vector<std::uint8_t> mask_of(const CanvasPart &part) const;
    [[nodiscard]] std::vector<float> latents_for(const CanvasPart &part) const;
    // A token of a window or picture: who made it, and which of the maker's it is. Its own tokens
    // are those it has to make.
    struct Source {
        CanvasPart part;
        CanvasToken token;
    };
    [[nodiscard]] Source source_of(const CanvasPart &part, CanvasToken token) const;
    // Whether a token of a picture is too far from its tile to be seen in it.
    [[nodiscard]] bool is_unseen(CanvasToken token) const;
    [[nodiscard]] bool is_window_picture(const Image &picture) const;
    void copy_token(const Source &from, CanvasToken to, std::vector<float> &latents) const;
    [[nodiscard]] Result<void> check(const CanvasPart &part, const std::vector<float> &latents,
                                     const Image &picture) const;
    void compose(const CanvasPart &tile);
    [[nodiscard]] Image cut_tile(const CanvasPart &tile) const;
    [[nodiscard]] Image faded_tile(const CanvasPart &tile) const;
    Entry *find(const CanvasPart &part);
    void keep(const CanvasPart &part, Entry entry);
    void evict();

    Format format_;
    CanvasLattice lattice_;
    std::uint32_t tile_pixels_;
    std::size_t max_bytes_;
    std::uint64_t seed_ = 0;
    std::map<CanvasPart, Entry> parts_;
    std::size_t bytes_ = 0;
    std::uint64_t now_ = 0;            // counts calls; when parts were seen
    std::uint64_t protected_from_ = 0; // parts seen since are not evicted
    std::map<CanvasPart, Awaited> asked_;
    std::vector<std::uint8_t> mask_; // of all that is asked for; empty: all of them is made
    std::uint64_t version_ = 0;
    Stats stats_;
};

} // namespace tessera
