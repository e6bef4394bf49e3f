// Zoom, filter, background and overlay, by widgets and mouse.
#include "assets/image_seam.hpp"
#include "sandbox/panel/panel.hpp"
#include "sandbox/view/canvas_view.hpp"

#include <imgui.h>

namespace tessera {
namespace {

constexpr float kGap = 6; // the row is as wide as the panel

// Of the last picture of a run: measuring one of every step would cost a frame.
void draw_seam(const PanelContext &context) {
    const RunRecord *const run = context.editor->run();
    const RunStep *const step = context.editor->step();
    PanelState &state = *context.state;
    // One that is on a device is read for this only where seams are looked at.
    const bool is_last = step != nullptr && run->ended && step == run->last_picture();
    if (is_last && context.look->tiles > 1) {
        static_cast<void>(context.control->fetch(run->job, step->step));
    }
    const bool finished = is_last && step->picture != nullptr;
    if (finished && state.seam_picture != step->picture) {
        state.seam_picture = step->picture;
        state.seam = wrap_seam(*step->picture);
    }
    const std::string text =
        finished ? fmt::format("seam {:.2f}", state.seam) : std::string("seam -");
    ImGui::TextDisabled("%s", text.c_str());
    panel_tooltip("Steps from pixel to pixel across the edges of the repeated picture, over those "
                  "inside: about 1 where no seam shows");
}

} // namespace

void fit_view(const PanelContext &context) {
    if (context.canvas->is_on()) return context.canvas->go_home();
    context.transform->fit(!context.look->smooth);
}

void set_view_scale(const PanelContext &context, float scale) {
    if (context.canvas->is_on()) return context.canvas->set_scale(scale);
    context.transform->set_scale(scale);
}

void draw_view_section(const PanelContext &context) {
    ViewLook &look = *context.look;
    panel_heading("View");
    if (ImGui::Button("Fit")) fit_view(context);
    panel_tooltip("The whole picture; on the endless canvas, where it began (F)");
    ImGui::SameLine(0, kGap);
    if (ImGui::Button("1:1")) set_view_scale(context, 1);
    panel_tooltip("One screen pixel per pixel (1); the wheel zooms, dragging pans");
    ImGui::SameLine(0, kGap);
    ImGui::Checkbox("Smooth", &look.smooth);
    panel_tooltip("Blend between pixels; off: every pixel as it is (S)");
    ImGui::SameLine(0, kGap);
    bool tiled = look.tiles > 1;
    if (ImGui::Checkbox("Tiled", &tiled)) look.tiles = tiled ? 3 : 1;
    panel_tooltip("The picture next to itself, three by three: seams show (T)");
    ImGui::SameLine(0, kGap);
    ImGui::Checkbox("Checker", &look.checker);
    panel_tooltip("A checkerboard behind the picture instead of grey (C)");

    const RunRecord *const run = context.editor->run();
    ImGui::BeginDisabled(run == nullptr || run->columns == 0);
    int overlay = static_cast<int>(context.state->overlay);
    ImGui::AlignTextToFramePadding();
    ImGui::TextUnformatted("Tokens");
    panel_tooltip("What is drawn over the picture (O)");
    ImGui::SameLine(0, 18);
    ImGui::RadioButton("off", &overlay, static_cast<int>(Overlay::kNone));
    panel_tooltip("Only the picture (O)");
    ImGui::SameLine();
    ImGui::RadioButton("known", &overlay, static_cast<int>(Overlay::kTokens));
    panel_tooltip("Tokens that are still unknown are dark, those of this step outlined, given ones "
                  "have a corner (O)");
    ImGui::SameLine();
    ImGui::RadioButton("order", &overlay, static_cast<int>(Overlay::kOrder));
    panel_tooltip("Colour and number: the step that made each token, from blue to yellow (O)");
    context.state->overlay = static_cast<Overlay>(overlay);
    ImGui::EndDisabled();
    draw_canvas_switch(context);
    if (!context.canvas->is_on()) {
        ImGui::SameLine(0, 18);
        draw_seam(context);
    }
}

void handle_view_input(const PanelContext &context) {
    const ImGuiIO &io = ImGui::GetIO();
    const ViewRegion &region = context.region;
    const Point mouse{io.MousePos.x * context.to_pixels, io.MousePos.y * context.to_pixels};
    const bool painting = context.editor->in_stroke();
    if (painting && handle_tool_input(context, mouse)) return; // also outside the picture
    if (io.WantCaptureMouse) return;
    const bool inside = mouse.x >= region.x && mouse.y >= region.y &&
                        mouse.x < region.x + region.width && mouse.y < region.y + region.height;
    if (!inside) return;
    if (context.canvas->is_on()) return handle_canvas_input(context, mouse);
    if (io.MouseWheel != 0) {
        context.transform->zoom_by(mouse, io.MouseWheel, !context.look->smooth);
    }
    if (handle_tool_input(context, mouse)) return;
    if (ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) {
        context.transform->fit(!context.look->smooth);
    } else if (ImGui::IsMouseDragging(ImGuiMouseButton_Left, 2) ||
               ImGui::IsMouseDragging(ImGuiMouseButton_Middle, 2)) {
        context.transform->pan_by(io.MouseDelta.x * context.to_pixels,
                                  io.MouseDelta.y * context.to_pixels);
    }
}

} // namespace tessera
