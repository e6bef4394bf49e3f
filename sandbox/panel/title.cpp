// Which generator makes the pictures from which model, and the choice of another.
#include "sandbox/panel/panel.hpp"

#include <filesystem>
#include <limits>

#include <imgui.h>

namespace tessera {
namespace {

// A bundled model is called like its folder, another one like its file.
std::string model_name(const std::filesystem::path &path) {
    const bool bundled = path.filename() == "generator.safetensors" && path.has_parent_path();
    return bundled ? path.parent_path().filename().string() : path.stem().string();
}

// Model first: it is what one looks for. Generators without one are called by their name.
std::string label_of(const std::string &generator, const std::string &model) {
    return model.empty() ? generator : fmt::format("{} \u00b7 {}", model, generator);
}

} // namespace

void draw_title(const PanelContext &context) {
    PanelState &state = *context.state;
    const PlayerInfo &info = context.control->player().info();
    const std::string now = label_of(info.name, info.model.empty() ? "" : model_name(info.model));
    ImGui::SetNextItemWidth(-std::numeric_limits<float>::min());
    const bool open = ImGui::BeginCombo("##generator", now.c_str(), ImGuiComboFlags_HeightLarge);
    if (!open) {
        return panel_tooltip(fmt::format("{} {} {}\n{}\n{}", info.vendor, info.name, info.version,
                                         info.description, info.model));
    }
    if (ImGui::IsWindowAppearing()) state.models = model_choices(*context.host);
    for (const ModelChoice &choice : state.models) {
        const std::string label = label_of(choice.generator, choice.model);
        const bool chosen = label == now;
        if (ImGui::Selectable(label.c_str(), chosen) && !chosen) state.model_to_open = choice;
    }
    ImGui::TextDisabled("or drop a .safetensors here");
    ImGui::EndCombo();
}

} // namespace tessera
