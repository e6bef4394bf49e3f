#include "sandbox/panel/panel.hpp"

#include <imgui.h>

namespace tessera {

float panel_width(float scale) { return 360 * scale; }

void panel_heading(const char *text) {
    ImGui::Dummy({0, 0});
    const ImVec2 at = ImGui::GetCursorScreenPos();
    ImGui::TextDisabled("%s", text);
    // A hairline to the right of the words.
    const float middle = at.y + ImGui::GetTextLineHeight() * 0.55F;
    const float left = at.x + ImGui::CalcTextSize(text).x + 8;
    const float right = at.x + ImGui::GetContentRegionAvail().x;
    const ImU32 colour = ImGui::GetColorU32(ImGuiCol_Separator);
    if (right > left) ImGui::GetWindowDrawList()->AddLine({left, middle}, {right, middle}, colour);
}

bool panel_fold(const char *text, bool open_at_first) {
    ImGui::PushStyleColor(ImGuiCol_Text, ImGui::GetStyleColorVec4(ImGuiCol_TextDisabled));
    ImGui::PushStyleVar(ImGuiStyleVar_FramePadding, {2, 0});
    ImGuiTreeNodeFlags flags =
        ImGuiTreeNodeFlags_NoTreePushOnOpen | ImGuiTreeNodeFlags_SpanAvailWidth;
    if (open_at_first) flags |= ImGuiTreeNodeFlags_DefaultOpen;
    const bool open = ImGui::TreeNodeEx(text, flags);
    ImGui::PopStyleVar();
    ImGui::PopStyleColor();
    return open;
}

bool begin_panel_table(const char *id) {
    if (!ImGui::BeginTable(id, 2, ImGuiTableFlags_SizingStretchProp)) return false;
    ImGui::TableSetupColumn("label", ImGuiTableColumnFlags_WidthStretch, 0.44F);
    ImGui::TableSetupColumn("widget", ImGuiTableColumnFlags_WidthStretch, 0.56F);
    return true;
}

void panel_label(const char *text, bool highlighted) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    ImGui::AlignTextToFramePadding();
    if (highlighted) {
        ImGui::PushStyleColor(ImGuiCol_Text, ImGui::GetStyleColorVec4(ImGuiCol_CheckMark));
    }
    ImGui::TextUnformatted(text);
    if (highlighted) ImGui::PopStyleColor();
}

void panel_row(const char *label, const std::string &value) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    ImGui::TextDisabled("%s", label);
    ImGui::TableNextColumn();
    const bool fits = ImGui::CalcTextSize(value.c_str()).x <= ImGui::GetContentRegionAvail().x;
    ImGui::TextUnformatted(value.c_str());
    if (!fits) panel_tooltip(value);
}

void panel_tooltip(const std::string &text) {
    if (text.empty() || !ImGui::IsItemHovered(ImGuiHoveredFlags_AllowWhenDisabled)) return;
    ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {10, 8});
    ImGui::BeginTooltip();
    ImGui::PushTextWrapPos(ImGui::GetFontSize() * 24);
    ImGui::TextUnformatted(text.c_str());
    ImGui::PopTextWrapPos();
    ImGui::EndTooltip();
    ImGui::PopStyleVar();
}

void draw_panel(const PanelContext &context) {
    const ImGuiIO &io = ImGui::GetIO();
    ImGui::SetNextWindowPos({0, 0});
    ImGui::SetNextWindowSize({panel_width(context.scale), io.DisplaySize.y});
    constexpr ImGuiWindowFlags kFlags = ImGuiWindowFlags_NoTitleBar | ImGuiWindowFlags_NoResize |
                                        ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoCollapse |
                                        ImGuiWindowFlags_NoSavedSettings |
                                        ImGuiWindowFlags_NoBackground; // the app clears it
    ImGui::Begin("Tessera", nullptr, kFlags);
    draw_title(context);
    draw_player_section(context);
    draw_params_section(context);
    draw_edit_section(context);
    draw_view_section(context);
    draw_inspect_section(context);
    draw_material_section(context);
    draw_presets_section(context);
    draw_stats_section(context);
    ImGui::End();
    draw_timeline(context);
    draw_chain(context);
    if (context.state->show_help) draw_shortcut_help(context);
}

} // namespace tessera
