// The panel next to the picture: which sections there are and in what order. Sections show state
// and call PlayControl; they hold no rules.
#pragma once

#include "host/edit/duration_stats.hpp"
#include "host/edit/editor.hpp"
#include "host/edit/preset_shelf.hpp"
#include "host/plugin/scan.hpp"
#include "sandbox/material/worker.hpp"
#include "sandbox/view/latent_painter.hpp"
#include "sandbox/view/view.hpp"

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tessera {

class CanvasView; // sandbox/canvas_view.hpp

// What is drawn over the picture.
enum class Overlay { kNone, kTokens, kOrder };

// What tells two runs apart, once it was found out.
struct Comparison {
    std::uint64_t shown_job = 0;
    std::uint64_t pinned_job = 0;
    std::string shown;
    std::string pinned;
};

// What is shown and made of the texture as a material.
struct MaterialPanel {
    MaterialMap map = MaterialMap::kColour;
    MaterialOptions options;
    int channel = 0;                          // of the latents whose spectrum is shown
    std::array<char, 512> folder{"material"}; // to export to, as typed
    bool exports = false;                     // once the picture is on the host

    // The view shows something else than the picture as it is.
    [[nodiscard]] bool is_active() const {
        return map != MaterialMap::kColour || options.maps.seamless;
    }
};

// Switches of the panel itself.
struct PanelState {
    Overlay overlay = Overlay::kNone;
    bool show_latents = false; // in the picture's place
    LatentLook latents;
    bool show_features = false; // what the generator sees in a finished picture, over it
    Comparison comparison;
    std::shared_ptr<const Image> seam_picture; // whose seam is `seam`
    double seam = 0;
    MaterialPanel material;
    bool show_help = false;
    std::array<char, 101> preset_name{};               // as typed
    std::optional<std::filesystem::path> file_to_open; // with the next frame, as if it were dropped
    std::vector<ModelChoice> models;                   // as found when the list was last opened
    std::optional<ModelChoice> model_to_open;          // with the next frame
};

// Time between starts of frames: all of them, and apart those during which nothing was generated
// and those during which something was.
struct FrameStats {
    DurationStats all{600};
    DurationStats idle{600};
    DurationStats generating{600};
};

// Everything that the panel may read or change.
struct PanelContext {
    Host *host = nullptr;
    PlayControl *control = nullptr;
    Editor *editor = nullptr;
    CanvasView *canvas = nullptr;
    PresetShelf *presets = nullptr;
    MaterialWorker *material = nullptr;
    PanelState *state = nullptr;
    ViewTransform *transform = nullptr;
    ViewLook *look = nullptr;
    const View *view = nullptr;
    const FrameStats *frames = nullptr;
    std::string graphics_device;
    float scale = 1;          // of the user interface
    float to_pixels = 1;      // pixels of the target per unit of the interface
    ViewRegion region;        // of the picture, pixels of the target
    ViewRegion pinned_region; // of the pinned picture; empty when there is none
};

[[nodiscard]] float panel_width(float scale);

// The panel at the left edge, as high as the window.
void draw_panel(const PanelContext &context);

// panel_title.cpp: which generator and model; another one.
void draw_title(const PanelContext &context);
// panel_player.cpp: play, seed, progress, what went wrong.
void draw_player_section(const PanelContext &context);
// panel_params.cpp: one widget per described parameter.
void draw_params_section(const PanelContext &context);
// panel_view.cpp: zoom, filter, background.
void draw_view_section(const PanelContext &context);
void handle_view_input(const PanelContext &context);
void fit_view(const PanelContext &context);
void set_view_scale(const PanelContext &context, float scale);
// panel_canvas.cpp: the endless canvas; its mouse where it is shown.
void draw_canvas_switch(const PanelContext &context);
void handle_canvas_input(const PanelContext &context, Point mouse);
// panel_edit.cpp: tools, marks, undo; the marks over the picture.
void draw_edit_section(const PanelContext &context);
void draw_marks(const PanelContext &context);
// The tool under the mouse; false when there is none and the mouse moves the picture.
bool handle_tool_input(const PanelContext &context, Point mouse);
void next_paint(Editor &editor);
// panel_presets.cpp: settings by name.
void draw_presets_section(const PanelContext &context);
// panel_inspect.cpp: latents, the chain of one token, a pinned run to compare with.
void draw_inspect_section(const PanelContext &context);
void draw_chain(const PanelContext &context);
void draw_comparison(const PanelContext &context);
void pin_or_unpin(Editor &editor);
// panel_material.cpp: maps, their settings, export.
void draw_material_section(const PanelContext &context);
void next_material_map(MaterialPanel &panel);
void export_material(const PanelContext &context, const std::filesystem::path &folder);
// "map", "channel" or a key of material_options.hpp.
[[nodiscard]] Result<void> set_material(MaterialPanel &panel, std::string_view key,
                                        const std::string &text);
// panel_overlay.cpp: which tokens are known, and since when, over the picture.
void draw_overlay(const PanelContext &context);
// panel_timeline.cpp: the steps of the shown run, below the picture.
[[nodiscard]] float timeline_height(float scale, float window_height);
void draw_timeline(const PanelContext &context);
// shortcuts.cpp: the keyboard, and the list of its keys.
void handle_shortcuts(const PanelContext &context);
void draw_shortcut_help(const PanelContext &context);
// panel_stats.cpp: frame and step times.
void draw_stats_section(const PanelContext &context);

// Where a token of the shown picture is, in units of the interface, on whole pixels.
struct TokenRect {
    Point low;
    Point high;
};
[[nodiscard]] TokenRect token_rect(const PanelContext &context, std::uint32_t columns,
                                   std::uint32_t rows, std::size_t index);

// Parts that sections share (panel.cpp).
void panel_heading(const char *text);
void panel_row(const char *label, const std::string &value); // dim label, value
bool panel_fold(const char *text, bool open_at_first);       // heading that opens and closes
bool begin_panel_table(const char *id);                      // label and widget columns
void panel_label(const char *text, bool highlighted);        // first column; then the second
void panel_tooltip(const std::string &text);                 // of the last item

} // namespace tessera
