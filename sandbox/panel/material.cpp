// The texture as a material: which map is shown, how maps are made, and their export.
#include "core/text.hpp"
#include "host/edit/run_difference.hpp"
#include "sandbox/panel/panel.hpp"

#include <algorithm>
#include <array>

#include <imgui.h>

namespace tessera {
namespace {

struct MapName {
    MaterialMap map;
    const char *key; // in scripts
    const char *name;
    const char *help;
};
constexpr std::array kMaps{
    MapName{MaterialMap::kColour, "colour", "Colour", "The picture itself"},
    MapName{MaterialMap::kHeight, "height", "Height", "White is high"},
    MapName{MaterialMap::kNormal, "normal", "Normals", "Which way the surface leans"},
    MapName{MaterialMap::kRoughness, "roughness", "Roughness", "White is rough"},
    MapName{MaterialMap::kOcclusion, "occlusion", "Occlusion", "Dark is hidden from the sky"},
    MapName{MaterialMap::kSpectrum, "spectrum", "Spectrum",
            "How strong the waves of each length and direction are; the longest in the middle"},
    MapName{MaterialMap::kLatents, "latents", "Latent spectrum",
            "The same of one channel of the latents"},
};

void draw_map_choice(MaterialPanel &panel) {
    panel_label("Show", panel.map != MaterialMap::kColour);
    panel_tooltip("What the view shows of the material (D for the next one)");
    const auto shown = std::find_if(kMaps.begin(), kMaps.end(),
                                    [&](const MapName &each) { return each.map == panel.map; });
    ImGui::TableNextColumn();
    ImGui::SetNextItemWidth(-1);
    if (ImGui::BeginCombo("##map", shown->name)) {
        for (const MapName &each : kMaps) {
            if (ImGui::Selectable(each.name, each.map == panel.map)) panel.map = each.map;
            panel_tooltip(each.help);
        }
        ImGui::EndCombo();
    }
    panel_tooltip(fmt::format("{} (D for the next one)", shown->help));
}

void draw_slider(const char *label, float &value, float initial, float min, float max,
                 const char *help) {
    panel_label(label, value != initial);
    panel_tooltip(help);
    ImGui::TableNextColumn();
    ImGui::SetNextItemWidth(-1);
    ImGui::PushID(label);
    ImGui::SliderFloat("##value", &value, min, max, "%.2f", ImGuiSliderFlags_AlwaysClamp);
    if (ImGui::IsItemClicked(ImGuiMouseButton_Right)) value = initial;
    ImGui::PopID();
    panel_tooltip(help);
}

void draw_check(const char *label, bool &value, const char *help) {
    panel_label(label, value);
    panel_tooltip(help);
    ImGui::TableNextColumn();
    ImGui::PushID(label);
    ImGui::Checkbox("##value", &value);
    ImGui::PopID();
    panel_tooltip(help);
}

// Of the class, or of a generator without classes.
std::string part_of(const RunRecord &run, const Player &player) {
    const Param *const classes = player.params().find("class");
    const auto index = choice_of(run, "class");
    if (classes == nullptr || !index || *index >= classes->labels.size()) {
        return file_part(player.info().name);
    }
    return distinct_file_parts(classes->labels)[*index];
}

void draw_options(const PanelContext &context) {
    MaterialPanel &panel = context.state->material;
    MaterialSettings &maps = panel.options.maps;
    const MaterialOptions initial;
    if (panel.map == MaterialMap::kLatents) {
        const RunStep *const step = context.editor->step();
        const bool has_latents = step != nullptr && step->has_latents();
        const int last = has_latents ? static_cast<int>(step->latent_channels()) - 1 : 0;
        panel_label("Channel", false);
        ImGui::TableNextColumn();
        ImGui::SetNextItemWidth(-1);
        ImGui::BeginDisabled(!has_latents);
        ImGui::SliderInt("##channel", &panel.channel, 0, last, "%d", ImGuiSliderFlags_AlwaysClamp);
        ImGui::EndDisabled();
        panel_tooltip(has_latents ? "Whose spectrum is shown" : "This run has no latents");
    }
    draw_check("Periodic part", maps.seamless,
               "Made seamless without generating again: a smooth correction lets opposite edges "
               "meet. Every map is made from that");
    draw_slider("Height", maps.height_strength, initial.maps.height_strength, -3, 3,
                "Contrast of the height map. Below 0, bright is low");
    draw_slider("Normals", maps.normal_strength, initial.maps.normal_strength, 0, 4,
                "How far the surface leans; 0 is flat");
    draw_check("DirectX normals", maps.normals_y_down,
               "Green is down, as DirectX wants it; off: green is up, as OpenGL and glTF want it. "
               "The export has both");
    draw_slider("Roughness", maps.roughness_contrast, initial.maps.roughness_contrast, 0, 3,
                "Contrast of the roughness: busy and low places are rough; 0 is the same all over");
    draw_slider("Occlusion", maps.occlusion_radius, initial.maps.occlusion_radius, 0, 0.25F,
                "How far away a rise still hides the sky, as a share of the picture's side");
    const RunRecord *const run = context.editor->run();
    const float usual =
        run != nullptr ? metallic_of(part_of(*run, context.control->player())) : 0.0F;
    float metallic = panel.options.metallic.value_or(usual);
    draw_slider("Metallic", metallic, usual, 0, 1,
                "Of the whole material, for the export: 1 is bare metal. As the class suggests "
                "until it is moved");
    panel.options.metallic = metallic == usual ? std::nullopt : std::optional<float>(metallic);
}

void draw_export(const PanelContext &context) {
    MaterialPanel &panel = context.state->material;
    const float button = ImGui::CalcTextSize("Export").x + ImGui::GetStyle().FramePadding.x * 2;
    ImGui::SetNextItemWidth(ImGui::GetContentRegionAvail().x - button -
                            ImGui::GetStyle().ItemSpacing.x);
    const bool entered =
        ImGui::InputTextWithHint("##folder", "folder", panel.folder.data(), panel.folder.size(),
                                 ImGuiInputTextFlags_EnterReturnsTrue);
    panel_tooltip("The folder that the maps are written to; it is made when it is not there");
    ImGui::SameLine();
    const RunStep *const step = context.editor->step();
    const bool ready = step != nullptr && step->has_picture() && panel.folder[0] != '\0';
    ImGui::BeginDisabled(!ready);
    if ((ImGui::Button("Export") || entered) && ready) panel.exports = true;
    // With the first frame in which the picture is on the host.
    if (panel.exports && ready && context.control->fetch(context.editor->run()->job, step->step)) {
        panel.exports = false;
        export_material(context, std::filesystem::path(panel.folder.data()));
    }
    ImGui::EndDisabled();
    panel_tooltip("Albedo, height (16 bits), normals, roughness, occlusion and ORM as PNG, and a "
                  "glTF material with them, named by class and seed. Files of the same names are "
                  "replaced");
}

} // namespace

Result<void> set_material(MaterialPanel &panel, std::string_view key, const std::string &text) {
    if (key == "channel") {
        const bool fits = !text.empty() && text.size() < 6 &&
                          text.find_first_not_of("0123456789") == std::string::npos;
        if (!fits) {
            return make_error(Status::kInvalidArgument,
                              "material: channel = '{}'; expected a whole number from 0", text);
        }
        panel.channel = std::stoi(text);
        return {};
    }
    if (key != "map") return set_material_option(panel.options, key, text);
    std::string known;
    for (const MapName &each : kMaps) {
        if (text == each.key) {
            panel.map = each.map;
            return {};
        }
        known += fmt::format("{}{}", known.empty() ? "" : ", ", each.key);
    }
    return make_error(Status::kInvalidArgument, "material: map = '{}'; expected one of {}", text,
                      known);
}

void next_material_map(MaterialPanel &panel) {
    const auto next = (static_cast<std::size_t>(panel.map) + 1) % kMaps.size();
    panel.map = static_cast<MaterialMap>(next);
}

void export_material(const PanelContext &context, const std::filesystem::path &folder) {
    const RunRecord *const run = context.editor->run();
    const RunStep *const step = context.editor->step();
    if (run == nullptr || step == nullptr || step->picture == nullptr) return;
    const std::string part = part_of(*run, context.control->player());
    context.material->export_to(folder, fmt::format("{}_{}", part, run->seed), part, step->picture,
                                context.state->material.options);
}

void draw_material_section(const PanelContext &context) {
    if (!panel_fold("Material", false)) return;
    ImGui::PushID("material");
    if (begin_panel_table("##material")) {
        draw_map_choice(context.state->material);
        draw_options(context);
        ImGui::EndTable();
    }
    draw_export(context);
    const MaterialResult newest = context.material->newest();
    const std::string report = context.material->export_report();
    if (context.material->preparing()) {
        ImGui::TextDisabled("Preparing the device...");
    } else if (context.state->material.is_active() && !newest.error.empty()) {
        ImGui::TextWrapped("%s", newest.error.c_str());
    } else if (!report.empty()) {
        ImGui::TextWrapped("%s", report.c_str());
    }
    ImGui::PopID();
}

} // namespace tessera
