// The steps of the shown run below the picture: a bar a step, as high as its share of the tokens.
#include "sandbox/panel/panel.hpp"

#include <algorithm>
#include <cmath>

#include <imgui.h>

namespace tessera {
namespace {

constexpr float kHeight = 56;
constexpr float kSide = 16;        // left and right of the bars
constexpr float kTextWidth = 150;  // right of them
constexpr float kNarrowestBar = 3; // below that the bars become one line

float share_of_changed(const RunStep &step) {
    if (step.cells.empty()) return 1;
    const auto changed = std::count(step.cells.begin(), step.cells.end(),
                                    static_cast<std::uint8_t>(TESSERA_CELL_CHANGED));
    return static_cast<float>(changed) / static_cast<float>(step.cells.size());
}

struct Track {
    ImVec2 low; // of the bars
    ImVec2 high;
    std::uint32_t steps = 1; // of the whole run

    [[nodiscard]] float left(std::uint32_t step) const { // of the bar of a step, from 1
        return low.x + (high.x - low.x) * static_cast<float>(step - 1) / static_cast<float>(steps);
    }
    [[nodiscard]] std::uint32_t step_at(float x) const {
        const float place = (x - low.x) / (high.x - low.x);
        const auto step = static_cast<std::int64_t>(place * static_cast<float>(steps)) + 1;
        return static_cast<std::uint32_t>(std::clamp<std::int64_t>(step, 1, steps));
    }
};

void draw_bars(ImDrawList &list, const Track &track, const RunRecord &run, std::uint32_t shown) {
    const ImU32 empty = ImGui::GetColorU32(ImGuiCol_FrameBg);
    const ImU32 before = ImGui::GetColorU32(ImGuiCol_SliderGrab);
    const ImU32 after = ImGui::GetColorU32(ImGuiCol_ButtonActive);
    const ImU32 now = ImGui::GetColorU32(ImGuiCol_CheckMark);
    list.AddRectFilled({track.low.x, track.high.y - 2}, track.high, empty);
    const float width = track.left(2) - track.left(1);
    if (width < kNarrowestBar) {
        list.AddRectFilled({track.low.x, track.high.y - 6}, {track.left(shown), track.high.y},
                           before);
        list.AddRectFilled({track.left(shown) - 1, track.low.y},
                           {track.left(shown) + 1, track.high.y}, now);
        return;
    }
    float highest = 0;
    for (const RunStep &step : run.steps) highest = std::max(highest, share_of_changed(step));
    for (const RunStep &step : run.steps) {
        if (!step.has_picture() || step.step == 0) continue;
        const float share = highest > 0 ? share_of_changed(step) / highest : 1;
        const float height = std::max(3.0F, std::round((track.high.y - track.low.y) * share));
        const float gap = width > 6 ? 2.0F : 1.0F;
        list.AddRectFilled({track.left(step.step), track.high.y - height},
                           {track.left(step.step + 1) - gap, track.high.y},
                           step.step == shown  ? now
                           : step.step < shown ? before
                                               : after);
    }
}

void draw_text(const PanelContext &context, const RunRecord &run, std::uint32_t shown, float x,
               float y) {
    ImGui::SetCursorScreenPos({x, y});
    ImGui::Text("%u / %u", shown, run.total_steps);
    const char *state = context.editor->replaying()  ? "replay"
                        : !context.editor->is_live() ? "recorded"
                                                     : "";
    ImGui::SetCursorScreenPos({x + 64 * context.scale, y});
    ImGui::TextDisabled("%s", state);
}

} // namespace

float timeline_height(float scale, float window_height) {
    const float height = kHeight * scale;
    return window_height > 4 * height ? height : 0; // a small window is the picture's
}

void draw_timeline(const PanelContext &context) {
    const ImGuiIO &io = ImGui::GetIO();
    const float height = timeline_height(context.scale, io.DisplaySize.y);
    const float left = panel_width(context.scale);
    const RunRecord *const run = context.editor->run();
    const RunStep *const step = context.editor->step();
    if (height == 0 || run == nullptr || step == nullptr || io.DisplaySize.x < 2 * left) return;

    ImGui::SetNextWindowPos({left, io.DisplaySize.y - height});
    ImGui::SetNextWindowSize({io.DisplaySize.x - left, height});
    constexpr ImGuiWindowFlags kFlags = ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove |
                                        ImGuiWindowFlags_NoSavedSettings |
                                        ImGuiWindowFlags_NoBackground;
    ImGui::Begin("Timeline", nullptr, kFlags);
    const float side = kSide * context.scale;
    const float top = io.DisplaySize.y - height + 10 * context.scale;
    Track track{{left + side, top},
                {io.DisplaySize.x - (kTextWidth + kSide) * context.scale,
                 io.DisplaySize.y - 16 * context.scale},
                std::max(run->total_steps, 1U)};
    ImGui::SetCursorScreenPos({track.low.x, top - 4});
    ImGui::InvisibleButton("##track", {track.high.x - track.low.x, height - 16 * context.scale});
    panel_tooltip("The steps of this run, as high as the tokens they made. Drag to look back; Left "
                  "and Right go by steps, Home and End to the ends, P plays them again.");
    if (ImGui::IsItemActive()) {
        const std::uint32_t wanted = track.step_at(io.MousePos.x);
        const RunStep *const last = run->last_picture();
        if (run->job == context.control->job() && last != nullptr && wanted >= last->step) {
            context.editor->show_live();
        } else {
            context.editor->show(run->job, wanted);
        }
    }
    draw_bars(*ImGui::GetWindowDrawList(), track, *run, std::max(step->step, 1U));
    draw_text(context, *run, step->step, track.high.x + side,
              track.high.y - ImGui::GetTextLineHeight());
    ImGui::End();
}

} // namespace tessera
