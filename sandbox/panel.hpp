// The panel beside the picture: which sections there are and in what order. Sections show state and
// call PlayControl; they hold no rules.
#pragma once

#include "sandbox/duration_stats.hpp"
#include "sandbox/play_control.hpp"
#include "sandbox/view.hpp"

#include <string>

namespace tessera {

// Everything that the panel may read or change.
struct PanelContext {
    PlayControl *control = nullptr;
    ViewTransform *transform = nullptr;
    ViewLook *look = nullptr;
    const View *view = nullptr;
    const DurationStats *frames = nullptr; // time between starts of frames
    std::string graphics_device;
    float scale = 1; // of the user interface
};

[[nodiscard]] float panel_width(float scale);

// The panel at the left edge, as high as the window; keyboard shortcuts too.
void draw_panel(const PanelContext &context);

// panel_player.cpp: play, seed, progress, what went wrong.
void draw_player_section(const PanelContext &context);
// panel_params.cpp: one widget per described parameter.
void draw_params_section(const PanelContext &context);
// panel_view.cpp: zoom, filter, background.
void draw_view_section(const PanelContext &context);
void handle_view_input(const PanelContext &context, const ViewRegion &region);
// panel_stats.cpp: frame and step times.
void draw_stats_section(const PanelContext &context);

// Parts that sections share (panel.cpp).
void panel_heading(const char *text);
void panel_row(const char *label, const std::string &value); // dim label, value
bool panel_fold(const char *text, bool open_at_first);       // heading that opens and closes
bool begin_panel_table(const char *id);                      // label and widget columns
void panel_label(const char *text, bool highlighted);        // first column; then the second
void panel_tooltip(const std::string &text);                 // of the last item

} // namespace tessera
