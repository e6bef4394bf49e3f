// Play, seed, progress, and what went wrong.
#include "sandbox/panel/panel.hpp"
#include "sandbox/view/canvas_view.hpp"

#include <algorithm>
#include <limits>

#include <imgui.h>

namespace tessera {
namespace {

std::string milliseconds(std::uint64_t duration_us) {
    const double ms = static_cast<double>(duration_us) / 1000;
    if (ms >= 1000) return fmt::format("{:.2f} s", ms / 1000);
    return ms < 10 ? fmt::format("{:.2f} ms", ms) : fmt::format("{:.0f} ms", ms);
}

void draw_buttons(PlayControl &control) {
    const float gap = ImGui::GetStyle().ItemSpacing.x;
    const float width = (ImGui::GetContentRegionAvail().x - 2 * gap) / 3;
    const ImVec2 size{width, ImGui::GetFrameHeight() * 1.25F};
    if (control.busy()) {
        if (ImGui::Button("Cancel", size)) control.cancel();
        panel_tooltip("Stop at the next step (Space)");
    } else {
        ImGui::PushStyleColor(ImGuiCol_Button, ImGui::GetStyleColorVec4(ImGuiCol_SliderGrab));
        ImGui::PushStyleColor(ImGuiCol_ButtonHovered,
                              ImGui::GetStyleColorVec4(ImGuiCol_SliderGrabActive));
        ImGui::PushStyleColor(ImGuiCol_ButtonActive, ImGui::GetStyleColorVec4(ImGuiCol_CheckMark));
        ImGui::PushStyleColor(ImGuiCol_Text, {0.07F, 0.08F, 0.09F, 1});
        if (ImGui::Button("Play", size)) control.play();
        ImGui::PopStyleColor(4);
        panel_tooltip("Generate a picture (Space)");
    }
    ImGui::SameLine();
    if (ImGui::Button("Restart", size)) control.restart();
    panel_tooltip("The same seed again, from the first step (R)");
    ImGui::SameLine();
    if (ImGui::Button("New seed", size)) control.roll();
    panel_tooltip("Another picture with the same settings (N)");
}

void draw_seed(PlayControl &control) {
    if (!begin_panel_table("##seed")) return;
    panel_label("Seed", false);
    panel_tooltip("The same seed and settings always give the same picture");
    ImGui::TableNextColumn();
    ImGui::SetNextItemWidth(-std::numeric_limits<float>::min());
    std::uint64_t seed = control.options.seed;
    if (ImGui::InputScalar("##seed", ImGuiDataType_U64, &seed, nullptr, nullptr, "%llu",
                           ImGuiInputTextFlags_EnterReturnsTrue)) {
        control.set_seed(seed);
    }
    panel_tooltip("The same seed and settings always give the same picture");
    ImGui::EndTable();
    ImGui::Checkbox("Roll", &control.options.rolling);
    panel_tooltip("Every play takes a new seed");
    ImGui::SameLine(0, 18);
    ImGui::Checkbox("Loop", &control.options.loop);
    panel_tooltip("Play again when a picture is finished");
    ImGui::SameLine(0, 18);
    ImGui::Checkbox("Live", &control.options.live);
    panel_tooltip("Play again when a setting changes");
}

// Of the canvas its tiles: steps of one of its many runs say nothing, and every one would have the
// frame drawn again.
void draw_progress(const PlayerState &state, const CanvasView &canvas) {
    float fraction = 0;
    std::string text;
    const bool shows_tiles = canvas.is_on() && canvas.visible_count() > 0;
    switch (state.phase) {
    case PlayerPhase::kLoading:
        fraction = static_cast<float>(state.activation);
        text = "Loading the model";
        break;
    case PlayerPhase::kRunning:
    case PlayerPhase::kReady:
        if (shows_tiles) {
            fraction = static_cast<float>(canvas.ready_count()) /
                       static_cast<float>(canvas.visible_count());
            text = fmt::format("{} / {} tiles", canvas.ready_count(), canvas.visible_count());
        } else if (state.total_steps > 0) {
            fraction = static_cast<float>(state.step) / static_cast<float>(state.total_steps);
            text = fmt::format("{} / {}", state.step, state.total_steps);
            if (state.last_step_us > 0 && state.phase == PlayerPhase::kRunning) {
                text += fmt::format("  \u00b7  {}", milliseconds(state.last_step_us));
            } else if (state.job_us > 0) {
                text += fmt::format("  \u00b7  {}", milliseconds(state.job_us));
            }
        } else {
            text = state.phase == PlayerPhase::kReady ? "Ready" : "Starting";
        }
        break;
    case PlayerPhase::kFailed:
        text = "Failed";
        break;
    }
    // The bar is thin and the words are next to it: text over a moving edge is hard to read.
    const ImVec2 size{ImGui::GetContentRegionAvail().x, 4};
    ImGui::ProgressBar(std::clamp(fraction, 0.0F, 1.0F), size, "");
    ImGui::TextUnformatted(text.c_str());
    if (shows_tiles) {
        panel_tooltip(fmt::format("{} windows made, {:.0f} MiB kept",
                                  canvas.canvas()->stats().windows,
                                  static_cast<double>(canvas.canvas()->bytes()) / (1 << 20)));
    } else if (state.phase == PlayerPhase::kRunning && !state.step_name.empty()) {
        ImGui::SameLine();
        ImGui::TextDisabled("%s", state.step_name.c_str());
    }
}

} // namespace

void draw_player_section(const PanelContext &context) {
    PlayControl &control = *context.control;
    ImGui::Dummy({0, 2});
    draw_buttons(control);
    draw_progress(control.state(), *context.canvas);
    if (!control.problem().empty()) {
        ImGui::PushStyleColor(ImGuiCol_Text, {0.93F, 0.50F, 0.42F, 1});
        ImGui::PushTextWrapPos(0);
        ImGui::TextUnformatted(control.problem().c_str());
        ImGui::PopTextWrapPos();
        ImGui::PopStyleColor();
    }
    draw_seed(control);
}

} // namespace tessera
