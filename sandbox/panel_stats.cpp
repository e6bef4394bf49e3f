// Frame times and step times: what a user feels.
#include "sandbox/panel.hpp"

#include <algorithm>

#include <imgui.h>

namespace tessera {
namespace {

double milliseconds(std::uint64_t duration_us) { return static_cast<double>(duration_us) / 1000; }

float frame_at(void *data, int index) {
    const auto &frames = *static_cast<const DurationStats *>(data);
    return static_cast<float>(milliseconds(frames.at(static_cast<std::size_t>(index))));
}

} // namespace

void draw_stats_section(const PanelContext &context) {
    const DurationStats &frames = *context.frames;
    const PlayStats &play = context.control->stats();
    const PlayerState &state = context.control->state();
    if (!panel_fold("Timing", false)) return;
    const double p99 = milliseconds(frames.percentile_us(0.99));
    ImGui::PushStyleVar(ImGuiStyleVar_FramePadding, {0, 2});
    // PlotLines reads only; its interface has no const.
    ImGui::PlotLines("##frames", frame_at, const_cast<DurationStats *>(&frames),
                     static_cast<int>(frames.size()), 0, nullptr, 0,
                     static_cast<float>(std::max(33.4, p99)),
                     {ImGui::GetContentRegionAvail().x, 36 * context.scale});
    ImGui::PopStyleVar();
    panel_tooltip("Time between frames, 0 to 33 ms");
    if (!begin_panel_table("##timing")) return;
    panel_row("Frame", fmt::format("p50 {:.1f} \u00b7 p99 {:.1f} ms",
                                   milliseconds(frames.percentile_us(0.5)), p99));
    if (play.steps.size() > 0) {
        panel_row("Step", fmt::format("p50 {:.1f} \u00b7 p99 {:.1f} ms",
                                      milliseconds(play.steps.percentile_us(0.5)),
                                      milliseconds(play.steps.percentile_us(0.99))));
    }
    if (play.first_picture_us) {
        panel_row("First picture", fmt::format("{:.0f} ms", milliseconds(*play.first_picture_us)));
    }
    if (!state.device.empty()) panel_row("Compute", state.device);
    panel_row("Graphics", context.graphics_device);
    ImGui::EndTable();
}

} // namespace tessera
