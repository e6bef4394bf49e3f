// Frame times and step times: what a user feels.
#include "sandbox/panel/panel.hpp"

#include <algorithm>

#include <imgui.h>

namespace tessera {
namespace {

double milliseconds(std::uint64_t duration_us) { return static_cast<double>(duration_us) / 1000; }

float frame_at(void *data, int index) {
    const auto &frames = *static_cast<const DurationStats *>(data);
    return static_cast<float>(milliseconds(frames.at(static_cast<std::size_t>(index))));
}

void frame_row(const char *label, const DurationStats &frames, const char *help) {
    if (frames.size() == 0) return;
    panel_row(label, fmt::format("{:.1f} \u00b7 {:.1f} \u00b7 {:.1f} ms",
                                 milliseconds(frames.percentile_us(0.5)),
                                 milliseconds(frames.percentile_us(0.99)),
                                 milliseconds(frames.percentile_us(1.0))));
    panel_tooltip(help);
}

void draw_latency_rows(const PlayStats &play) {
    if (play.steps.size() > 0) {
        panel_row("Step", fmt::format("p50 {:.1f} \u00b7 p99 {:.1f} ms",
                                      milliseconds(play.steps.percentile_us(0.5)),
                                      milliseconds(play.steps.percentile_us(0.99))));
    }
    if (play.first_picture_us) {
        panel_row("First picture", fmt::format("{:.0f} ms", milliseconds(*play.first_picture_us)));
        panel_tooltip("From the last play to the frame that showed something of it");
    }
    if (play.cancel_us) {
        panel_row("Cancel", fmt::format("{:.1f} ms", milliseconds(*play.cancel_us)));
        panel_tooltip("From the last cancel until its run had ended");
    }
}

} // namespace

void draw_stats_section(const PanelContext &context) {
    const FrameStats &frames = *context.frames;
    const PlayerState &state = context.control->state();
    if (!panel_fold("Timing", false)) return;
    const double p99 = milliseconds(frames.all.percentile_us(0.99));
    ImGui::PushStyleVar(ImGuiStyleVar_FramePadding, {0, 2});
    // PlotLines reads only; its interface has no const.
    ImGui::PlotLines("##frames", frame_at, const_cast<DurationStats *>(&frames.all),
                     static_cast<int>(frames.all.size()), 0, nullptr, 0,
                     static_cast<float>(std::max(33.4, p99)),
                     {ImGui::GetContentRegionAvail().x, 36 * context.scale});
    ImGui::PopStyleVar();
    panel_tooltip("Time between frames, 0 to 33 ms");
    if (!begin_panel_table("##timing")) return;
    frame_row("Frame", frames.all, "Time between frames: half of them, 99 in 100, the worst one");
    frame_row("... idle", frames.idle, "The same while nothing was generated");
    frame_row("... generating", frames.generating, "The same while something was");
    draw_latency_rows(context.control->stats());
    panel_label("Step budget", false);
    ImGui::TableNextColumn();
    ImGui::SetNextItemWidth(-1);
    ImGui::SliderFloat("##budget", &context.control->options.step_budget_ms, 0.5F, 50, "%.1f ms",
                       ImGuiSliderFlags_AlwaysClamp | ImGuiSliderFlags_Logarithmic);
    panel_tooltip("How long the generator works before it looks for news. Shorter cancels sooner, "
                  "longer is a little more efficient; from the next run on");
    if (!state.device.empty()) panel_row("Compute", state.device);
    panel_row("Graphics", context.graphics_device);
    ImGui::EndTable();
}

} // namespace tessera
