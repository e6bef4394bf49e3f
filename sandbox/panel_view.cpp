// Zoom, filter and background, by widgets, mouse and keyboard.
#include "sandbox/panel.hpp"

#include <cmath>

#include <imgui.h>

namespace tessera {

void draw_view_section(const PanelContext &context) {
    ViewTransform &transform = *context.transform;
    ViewLook &look = *context.look;
    panel_heading("View");
    if (ImGui::Button("Fit")) transform.fit(!look.smooth);
    panel_tooltip("The whole picture (F)");
    ImGui::SameLine();
    if (ImGui::Button("1:1")) transform.set_scale(1);
    panel_tooltip("One screen pixel per pixel (1); the wheel zooms, dragging pans");
    ImGui::SameLine(0, 18);
    ImGui::Checkbox("Smooth", &look.smooth);
    panel_tooltip("Blend between pixels; off: every pixel as it is (S)");
    ImGui::SameLine(0, 18);
    ImGui::Checkbox("Checker", &look.checker);
    panel_tooltip("A checkerboard behind the picture instead of grey");
}

void handle_view_input(const PanelContext &context, const ViewRegion &region) {
    const ImGuiIO &io = ImGui::GetIO();
    if (io.WantCaptureMouse) return;
    // ImGui counts in window units, the picture in pixels of the target.
    const float to_pixels = io.DisplayFramebufferScale.x > 0 ? io.DisplayFramebufferScale.x : 1;
    const Point mouse{io.MousePos.x * to_pixels, io.MousePos.y * to_pixels};
    const bool inside = mouse.x >= region.x && mouse.y >= region.y &&
                        mouse.x < region.x + region.width && mouse.y < region.y + region.height;
    if (!inside) return;
    if (io.MouseWheel != 0) context.transform->zoom_about(mouse, std::exp2(io.MouseWheel * 0.25F));
    if (ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) {
        context.transform->fit(!context.look->smooth);
    } else if (ImGui::IsMouseDragging(ImGuiMouseButton_Left, 2) ||
               ImGui::IsMouseDragging(ImGuiMouseButton_Middle, 2)) {
        context.transform->pan_by(io.MouseDelta.x * to_pixels, io.MouseDelta.y * to_pixels);
    }
}

} // namespace tessera
