// The keyboard: one table of keys, what they do, and what the help says of them.
#include "sandbox/panel/panel.hpp"
#include "sandbox/view/canvas_view.hpp"

#include <algorithm>
#include <array>

#include <imgui.h>

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

namespace tessera {
namespace {

struct Shortcut {
    int key;
    bool control;
    bool repeats; // while the key is held
    const char *shown;
    const char *help; // nullptr: another line says it
    void (*act)(const PanelContext &);
};

void play_or_cancel(const PanelContext &context) {
    if (context.control->busy()) {
        context.control->cancel();
    } else {
        context.control->play();
    }
}

Point middle(const PanelContext &context) {
    return {context.region.x + context.region.width / 2,
            context.region.y + context.region.height / 2};
}

void zoom(const PanelContext &context, float notches) {
    const bool whole_pixels = !context.look->smooth;
    if (context.canvas->is_on()) {
        context.canvas->zoom_by(middle(context), notches, whole_pixels);
    } else {
        context.transform->zoom_by(middle(context), notches, whole_pixels);
    }
}

void next_overlay(const PanelContext &context) {
    Overlay &overlay = context.state->overlay;
    overlay = overlay == Overlay::kNone     ? Overlay::kTokens
              : overlay == Overlay::kTokens ? Overlay::kOrder
                                            : Overlay::kNone;
}

using C = const PanelContext &;

constexpr std::array kShortcuts{
    Shortcut{GLFW_KEY_SPACE, false, false, "Space", "Play or cancel", play_or_cancel},
    Shortcut{GLFW_KEY_R, false, false, "R", "Restart with the same seed",
             [](C c) { c.control->restart(); }},
    Shortcut{GLFW_KEY_N, false, false, "N", "New seed", [](C c) { c.control->roll(); }},
    Shortcut{GLFW_KEY_LEFT, false, true, "Left, Right", "Step back and forth in the run",
             [](C c) { c.editor->move(-1); }},
    Shortcut{GLFW_KEY_RIGHT, false, true, "", nullptr, [](C c) { c.editor->move(1); }},
    Shortcut{GLFW_KEY_HOME, false, false, "Home, End", "First step; the newest one",
             [](C c) { c.editor->show_first(); }},
    Shortcut{GLFW_KEY_END, false, false, "", nullptr, [](C c) { c.editor->show_live(); }},
    Shortcut{GLFW_KEY_P, false, false, "P", "Replay the run", [](C c) { c.editor->replay(); }},
    Shortcut{GLFW_KEY_O, false, false, "O", "Tokens over the picture: off, known, order",
             next_overlay},
    Shortcut{GLFW_KEY_L, false, false, "L", "Latents in the picture's place",
             [](C c) { c.state->show_latents = !c.state->show_latents; }},
    Shortcut{GLFW_KEY_G, false, false, "G", "What the generator sees in a picture, over it",
             [](C c) {
                 if (c.control->can_encode()) c.state->show_features = !c.state->show_features;
             }},
    Shortcut{GLFW_KEY_D, false, false, "D", "Next map of the material in the picture's place",
             [](C c) { next_material_map(c.state->material); }},
    Shortcut{GLFW_KEY_K, false, false, "K", "Pin this run next to the new ones, or let it go",
             [](C c) { pin_or_unpin(*c.editor); }},
    Shortcut{GLFW_KEY_T, false, false, "T", "Tiled, three by three",
             [](C c) { c.look->tiles = c.look->tiles > 1 ? 1 : 3; }},
    Shortcut{GLFW_KEY_E, false, false, "E", "Endless canvas, or the picture again",
             [](C c) { c.canvas->turn(!c.canvas->is_on()); }},
    Shortcut{GLFW_KEY_S, false, false, "S", "Smooth or exact pixels",
             [](C c) { c.look->smooth = !c.look->smooth; }},
    Shortcut{GLFW_KEY_C, false, false, "C", "Checkerboard behind the picture",
             [](C c) { c.look->checker = !c.look->checker; }},
    Shortcut{GLFW_KEY_F, false, false, "F", "Fit the window", [](C c) { fit_view(c); }},
    Shortcut{GLFW_KEY_1, false, false, "1", "One screen pixel per pixel",
             [](C c) { set_view_scale(c, 1); }},
    Shortcut{GLFW_KEY_EQUAL, false, true, "+, -", "Zoom; without smoothing by whole factors",
             [](C c) { zoom(c, 1); }},
    Shortcut{GLFW_KEY_KP_ADD, false, true, "", nullptr, [](C c) { zoom(c, 1); }},
    Shortcut{GLFW_KEY_MINUS, false, true, "", nullptr, [](C c) { zoom(c, -1); }},
    Shortcut{GLFW_KEY_KP_SUBTRACT, false, true, "", nullptr, [](C c) { zoom(c, -1); }},
    Shortcut{GLFW_KEY_V, false, false, "V, B, M, I", "Hand, brush, rectangle, probe",
             [](C c) { c.editor->tool = Tool::kHand; }},
    Shortcut{GLFW_KEY_B, false, false, "", nullptr, [](C c) { c.editor->tool = Tool::kBrush; }},
    Shortcut{GLFW_KEY_M, false, false, "", nullptr, [](C c) { c.editor->tool = Tool::kRectangle; }},
    Shortcut{GLFW_KEY_I, false, false, "", nullptr, [](C c) { c.editor->tool = Tool::kProbe; }},
    Shortcut{GLFW_KEY_X, false, false, "X", "Paint: regenerate, lock, erase",
             [](C c) { next_paint(*c.editor); }},
    Shortcut{GLFW_KEY_LEFT_BRACKET, false, true, "[, ]", "Smaller and larger brush",
             [](C c) { c.editor->brush_size = std::max(c.editor->brush_size - 1, 1); }},
    Shortcut{GLFW_KEY_RIGHT_BRACKET, false, true, "", nullptr,
             [](C c) { c.editor->brush_size = std::min(c.editor->brush_size + 1, 16); }},
    Shortcut{GLFW_KEY_ESCAPE, false, false, "Escape", "Clear the marks",
             [](C c) { c.editor->clear_marks(); }},
    Shortcut{GLFW_KEY_Z, true, true, "Ctrl+Z, Ctrl+Y", "Undo and redo marks, pictures, settings",
             [](C c) { c.editor->undo(); }},
    Shortcut{GLFW_KEY_Y, true, true, "", nullptr, [](C c) { c.editor->redo(); }},
    Shortcut{GLFW_KEY_H, false, false, "H", "This list",
             [](C c) { c.state->show_help = !c.state->show_help; }},
};

} // namespace

void handle_shortcuts(const PanelContext &context) {
    const ImGuiIO &io = ImGui::GetIO();
    if (io.WantTextInput || ImGui::IsAnyItemActive()) return;
    for (const Shortcut &shortcut : kShortcuts) {
        if (shortcut.control != io.KeyCtrl) continue;
        if (ImGui::IsKeyPressed(shortcut.key, shortcut.repeats)) shortcut.act(context);
    }
}

void draw_shortcut_help(const PanelContext &context) {
    ImGui::SetNextWindowPos({panel_width(context.scale) + 24 * context.scale, 24 * context.scale});
    ImGui::SetNextWindowBgAlpha(0.94F);
    constexpr ImGuiWindowFlags kFlags =
        ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings |
        ImGuiWindowFlags_AlwaysAutoResize | ImGuiWindowFlags_NoFocusOnAppearing;
    ImGui::Begin("Keys", nullptr, kFlags);
    ImGui::TextDisabled("Keys");
    if (ImGui::BeginTable("##keys", 2, ImGuiTableFlags_SizingFixedFit)) {
        for (const Shortcut &shortcut : kShortcuts) {
            if (shortcut.help == nullptr) continue;
            ImGui::TableNextRow();
            ImGui::TableNextColumn();
            ImGui::TextUnformatted(shortcut.shown);
            ImGui::SameLine(0, 24 * context.scale);
            ImGui::Dummy({0, 0});
            ImGui::TableNextColumn();
            ImGui::TextDisabled("%s", shortcut.help);
        }
        ImGui::EndTable();
    }
    ImGui::TextDisabled(
        "Wheel: zoom; drag: pan; double click: fit; right click on a setting: reset");
    ImGui::End();
}

} // namespace tessera
