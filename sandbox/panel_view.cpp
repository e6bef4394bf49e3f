// Zoom, filter, background and overlay, by widgets and mouse.
#include "sandbox/panel.hpp"

#include <imgui.h>

namespace tessera {
namespace {

constexpr float kGap = 6; // the row is as wide as the panel

} // namespace

void draw_view_section(const PanelContext &context) {
    ViewTransform &transform = *context.transform;
    ViewLook &look = *context.look;
    panel_heading("View");
    if (ImGui::Button("Fit")) transform.fit(!look.smooth);
    panel_tooltip("The whole picture (F)");
    ImGui::SameLine(0, kGap);
    if (ImGui::Button("1:1")) transform.set_scale(1);
    panel_tooltip("One screen pixel per pixel (1); the wheel zooms, dragging pans");
    ImGui::SameLine(0, kGap);
    ImGui::Checkbox("Smooth", &look.smooth);
    panel_tooltip("Blend between pixels; off: every pixel as it is (S)");
    ImGui::SameLine(0, kGap);
    bool tiled = look.tiles > 1;
    if (ImGui::Checkbox("Tiled", &tiled)) look.tiles = tiled ? 3 : 1;
    panel_tooltip("The picture beside itself, three by three: seams show (T)");
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
}

void handle_view_input(const PanelContext &context) {
    const ImGuiIO &io = ImGui::GetIO();
    const ViewRegion &region = context.region;
    const Point mouse{io.MousePos.x * context.to_pixels, io.MousePos.y * context.to_pixels};
    const bool painting = context.editor->in_stroke();
    if (painting && handle_tool_input(context, mouse)) return; // also beside the picture
    if (io.WantCaptureMouse) return;
    const bool inside = mouse.x >= region.x && mouse.y >= region.y &&
                        mouse.x < region.x + region.width && mouse.y < region.y + region.height;
    if (!inside) return;
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
