// Settings by name: saved to the user's folder and loaded from it.
#include "sandbox/panel/panel.hpp"

#include <limits>

#include <imgui.h>

namespace tessera {
namespace {

void save(const PanelContext &context, const std::string &name) {
    auto saved = context.presets->save(name, context.control->preset());
    context.control->report(saved ? "" : saved.error().message);
}

} // namespace

void draw_presets_section(const PanelContext &context) {
    if (!panel_fold("Presets", false)) return;
    ImGui::PushID("presets");
    std::array<char, 101> &name = context.state->preset_name;
    const float button = ImGui::CalcTextSize("Save").x + ImGui::GetStyle().FramePadding.x * 2;
    ImGui::SetNextItemWidth(ImGui::GetContentRegionAvail().x - button -
                            ImGui::GetStyle().ItemSpacing.x);
    const bool entered = ImGui::InputTextWithHint("##name", "name", name.data(), name.size(),
                                                  ImGuiInputTextFlags_EnterReturnsTrue);
    panel_tooltip("Saves to " + context.presets->folder().string());
    ImGui::SameLine();
    if ((ImGui::Button("Save") || entered) && name[0] != '\0') save(context, name.data());
    panel_tooltip("All settings and the seed under this name");
    if (context.presets->names().empty()) {
        ImGui::TextDisabled("None yet; a preset file can also be dropped here");
    }
    const std::vector<std::string> names = context.presets->names();
    for (const std::string &each : names) {
        const bool chosen = ImGui::Selectable(each.c_str());
        if (chosen) context.state->file_to_open = context.presets->path_of(each);
        panel_tooltip("Takes these settings and this seed");
    }
    ImGui::PopID();
}

} // namespace tessera
