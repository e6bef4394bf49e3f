// Widgets for a generator's parameters, made from its descriptions and from nothing else.
#include "sandbox/panel/panel.hpp"
#include "sandbox/view/canvas_view.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include <imgui.h>

namespace tessera {
namespace {

// A printf format with the decimals that the step needs, and the unit.
std::string number_format(const Param &param) {
    int decimals = 0;
    if (param.type == ParamType::kFloat) {
        const double finest = param.step > 0 ? param.step : (param.max - param.min) / 1000;
        while (decimals < 6 && finest * std::pow(10.0, decimals) < 0.999) ++decimals;
    }
    std::string format = param.type == ParamType::kFloat ? fmt::format("%.{}f", decimals) : "%lld";
    if (param.unit.empty()) return format;
    format += ' ';
    for (const char c : param.unit) format += c == '%' ? "%%" : std::string(1, c);
    return format;
}

ImGuiSliderFlags slider_flags(const Param &param) {
    ImGuiSliderFlags flags = ImGuiSliderFlags_AlwaysClamp;
    // ImGui's logarithm needs a range on one side of zero.
    if (param.has(TESSERA_PARAM_LOG_SCALE) && param.min > 0) flags |= ImGuiSliderFlags_Logarithmic;
    return flags;
}

// Each returns true when the user changed `value`.
bool edit_float(const Param &param, double &value) {
    const std::string format = number_format(param);
    return ImGui::SliderScalar("##value", ImGuiDataType_Double, &value, &param.min, &param.max,
                               format.c_str(), slider_flags(param));
}

bool edit_int(const Param &param, double &value) {
    const std::string format = number_format(param);
    auto whole = static_cast<std::int64_t>(value);
    // ImGui's sliders take half of an integer's range; wider ones are typed.
    const auto limit = static_cast<double>(std::numeric_limits<std::int32_t>::max());
    bool changed = false;
    if (param.min >= -limit && param.max <= limit) {
        const auto low = static_cast<std::int64_t>(param.min);
        const auto high = static_cast<std::int64_t>(param.max);
        changed = ImGui::SliderScalar("##value", ImGuiDataType_S64, &whole, &low, &high,
                                      format.c_str(), slider_flags(param));
    } else {
        changed = ImGui::InputScalar("##value", ImGuiDataType_S64, &whole, nullptr, nullptr, "%lld",
                                     ImGuiInputTextFlags_EnterReturnsTrue);
    }
    if (changed) value = static_cast<double>(whole);
    return changed;
}

bool edit_bool(double &value) {
    bool on = value != 0;
    if (!ImGui::Checkbox("##value", &on)) return false;
    value = on ? 1 : 0;
    return true;
}

bool edit_choice(const Param &param, double &value) {
    if (param.labels.empty()) return false;
    const auto current = std::min(static_cast<std::size_t>(value), param.labels.size() - 1);
    bool changed = false;
    ImGui::SetNextWindowSizeConstraints({0, 0}, {1e6F, ImGui::GetFontSize() * 24});
    if (!ImGui::BeginCombo("##value", param.labels[current].c_str(), ImGuiComboFlags_HeightLarge)) {
        return false;
    }
    for (std::size_t i = 0; i < param.labels.size(); ++i) {
        ImGui::PushID(static_cast<int>(i));
        if (ImGui::Selectable(param.labels[i].c_str(), i == current) && i != current) {
            value = static_cast<double>(i);
            changed = true;
        }
        if (i == current && ImGui::IsWindowAppearing()) ImGui::SetScrollHereY();
        ImGui::PopID();
    }
    ImGui::EndCombo();
    return changed;
}

// Taken with the return key, so that half a text starts nothing.
void edit_text(PlayControl &control, const Param &param) {
    std::vector<char> buffer(TESSERA_PARAM_TEXT_BYTES + 1);
    const std::string now = control.player().params().format(param);
    std::copy(now.begin(), now.end(), buffer.begin());
    if (ImGui::InputText("##value", buffer.data(), buffer.size(),
                         ImGuiInputTextFlags_EnterReturnsTrue)) {
        control.set_text(param.key, buffer.data());
    }
}

bool edit(const Param &param, double &value) {
    switch (param.type) {
    case ParamType::kFloat:
        return edit_float(param, value);
    case ParamType::kInt:
        return edit_int(param, value);
    case ParamType::kBool:
        return edit_bool(value);
    case ParamType::kChoice:
        return edit_choice(param, value);
    case ParamType::kText:
        break;
    }
    return false;
}

std::string initial_of(const Param &param) {
    if (param.type != ParamType::kText) return format_value(param, param.initial);
    return param.initial_text.empty() ? "empty" : param.initial_text;
}

std::string tooltip(const Param &param, bool is_initial) {
    std::string text = param.help;
    if (!text.empty()) text += "\n\n";
    text += fmt::format("{} = {} by default", param.key, initial_of(param));
    if (!is_initial) text += "; right-click to reset";
    if (param.has(TESSERA_PARAM_REACTIVATES))
        text += "\nTakes effect when the model is loaded again.";
    return text;
}

void draw_param(PlayControl &control, const Param &param, double value) {
    const bool is_initial = control.player().params().is_initial(param);
    ImGui::PushID(static_cast<int>(param.id));
    panel_label(param.name.c_str(), !is_initial);
    panel_tooltip(tooltip(param, is_initial));
    if (ImGui::IsItemClicked(ImGuiMouseButton_Right)) control.reset_value(param.id);
    ImGui::TableNextColumn();
    ImGui::SetNextItemWidth(-std::numeric_limits<float>::min());
    if (param.type == ParamType::kText) {
        edit_text(control, param);
    } else if (edit(param, value)) {
        control.set_value(param.id, value);
    }
    panel_tooltip(tooltip(param, is_initial));
    if (ImGui::IsItemClicked(ImGuiMouseButton_Right)) control.reset_value(param.id);
    ImGui::PopID();
}

// The picture whose look is taken, or how to give one.
void draw_style(PlayControl &control) {
    const InputSlot *const slot = find_slot(control.player().inputs(), kStyleInput);
    const StylePicture &style = control.style();
    panel_label("From a picture", style.image != nullptr);
    panel_tooltip(slot->help);
    ImGui::TableNextColumn();
    if (style.image == nullptr) {
        ImGui::TextDisabled("drop one here");
        panel_tooltip(slot->help + "\nDrop a picture anywhere on this panel. One dropped on the "
                                   "view becomes the picture to work on.");
        return;
    }
    if (ImGui::SmallButton("x")) {
        static_cast<void>(control.set_style({})); // none is always taken
        return;
    }
    panel_tooltip("Lets go of it");
    ImGui::SameLine();
    ImGui::TextUnformatted(style.name.c_str());
    panel_tooltip(style.name);
}

bool is_shown(const Param &param, bool advanced) {
    return !param.has(TESSERA_PARAM_HIDDEN) && param.has(TESSERA_PARAM_ADVANCED) == advanced;
}

// At the right end of the heading above; only there when it would do something.
void draw_reset(PlayControl &control, float heading_y) {
    const Params &params = control.player().params();
    const auto all = params.descriptions();
    const bool changed = std::any_of(all.begin(), all.end(), [&](const Param &param) {
        return !param.has(TESSERA_PARAM_HIDDEN) && !params.is_initial(param);
    });
    if (!changed) return;
    const ImVec2 next = ImGui::GetCursorPos();
    const float width = ImGui::CalcTextSize("Reset").x + ImGui::GetStyle().FramePadding.x * 2;
    ImGui::SetCursorPos({next.x + ImGui::GetContentRegionAvail().x - width, heading_y});
    if (ImGui::SmallButton("Reset")) control.reset_values();
    panel_tooltip("All parameters as they were at the start");
    ImGui::SetCursorPos(next);
}

constexpr std::size_t kOpenGroups = 2; // the others open on a click: tools stay in sight

// All shown parameters of one kind: those without a group, then group by group in the order in
// which groups first appear. On a canvas those with a counterpart for it are that one.
void draw_groups(PlayControl &control, bool on_canvas, bool advanced) {
    const Params &params = control.player().params();
    const auto all = params.descriptions();
    std::vector<std::string_view> groups;
    const auto has_no_group = [&](const Param &param) {
        return is_shown(param, advanced) && param.group.empty();
    };
    if (std::any_of(all.begin(), all.end(), has_no_group)) groups.emplace_back();
    for (const Param &param : all) {
        if (!is_shown(param, advanced)) continue;
        if (std::find(groups.begin(), groups.end(), param.group) == groups.end()) {
            groups.emplace_back(param.group);
        }
    }
    for (std::size_t g = 0; g < groups.size(); ++g) {
        const std::string_view group = groups[g];
        const float heading_y = ImGui::GetCursorPosY() + ImGui::GetStyle().ItemSpacing.y;
        const std::string title = group.empty() ? "Parameters" : std::string(group);
        if (!advanced && g >= kOpenGroups) {
            if (!panel_fold(title.c_str(), false)) continue;
        } else {
            panel_heading(title.c_str());
        }
        if (!advanced && group == groups.front()) draw_reset(control, heading_y);
        if (!begin_panel_table(group.empty() ? "##parameters" : std::string(group).c_str()))
            continue;
        const InputSlot *const style = find_slot(control.player().inputs(), kStyleInput);
        if (!advanced && style != nullptr && style->name == group) draw_style(control);
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (!is_shown(all[i], advanced) || all[i].group != group) continue;
            if (params.is_of_canvas(all[i])) continue;
            const Param *const own = on_canvas ? params.canvas_of(all[i]) : nullptr;
            const std::size_t at = own != nullptr ? static_cast<std::size_t>(own - all.data()) : i;
            draw_param(control, all[at], params.value(at));
        }
        ImGui::EndTable();
    }
}

} // namespace

void draw_params_section(const PanelContext &context) {
    PlayControl &control = *context.control;
    const bool on_canvas = context.canvas->is_on();
    draw_groups(control, on_canvas, false);
    const auto all = control.player().params().descriptions();
    const bool has_advanced = std::any_of(all.begin(), all.end(),
                                          [](const Param &param) { return is_shown(param, true); });
    if (has_advanced && panel_fold("Advanced", false)) {
        ImGui::PushID("advanced");
        draw_groups(control, on_canvas, true);
        ImGui::PopID();
    }
}

} // namespace tessera
