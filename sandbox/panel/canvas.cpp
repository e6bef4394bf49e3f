// The endless canvas: its switch in the view section, and the mouse over it.
#include "sandbox/panel/panel.hpp"
#include "sandbox/view/canvas_view.hpp"

#include <imgui.h>

namespace tessera {

void draw_canvas_switch(const PanelContext &context) {
    CanvasView &canvas = *context.canvas;
    bool on = canvas.is_on();
    ImGui::BeginDisabled(!canvas.lacks().empty());
    if (ImGui::Checkbox("Endless", &on)) canvas.turn(on);
    ImGui::EndDisabled();
    panel_tooltip(canvas.lacks().empty()
                      ? "A plane of this material without end: drag and zoom, it is made as you "
                        "go. The same seed makes the same plane (E)"
                      : canvas.lacks());
}

void handle_canvas_input(const PanelContext &context, Point mouse) {
    CanvasView &canvas = *context.canvas;
    const ImGuiIO &io = ImGui::GetIO();
    if (io.MouseWheel != 0) canvas.zoom_by(mouse, io.MouseWheel, !context.look->smooth);
    if (ImGui::IsMouseDragging(ImGuiMouseButton_Left, 2) ||
        ImGui::IsMouseDragging(ImGuiMouseButton_Middle, 2)) {
        canvas.pan_by(io.MouseDelta.x * context.to_pixels, io.MouseDelta.y * context.to_pixels);
    }
}

} // namespace tessera
