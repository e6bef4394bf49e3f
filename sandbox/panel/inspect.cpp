// Looking inside: latents in the picture's place, how one token was denoised, and a pinned run
// next to the shown one.
#include "host/edit/run_difference.hpp"
#include "sandbox/panel/panel.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

#include <imgui.h>

namespace tessera {
namespace {

void draw_latents(const PanelContext &context, std::uint32_t channels) {
    PanelState &state = *context.state;
    ImGui::BeginDisabled(channels == 0);
    ImGui::Checkbox("Latents", &state.show_latents);
    panel_tooltip("The numbers that the generator makes, in the picture's place: each latent cell "
                  "is one colour (L)");
    ImGui::SameLine(0, 14);
    int principal = state.latents.principal ? 1 : 0;
    ImGui::RadioButton("principal", &principal, 1);
    panel_tooltip("Red, green and blue are the three directions in which this picture's latents "
                  "vary most");
    ImGui::SameLine();
    ImGui::RadioButton("channels", &principal, 0);
    panel_tooltip("Red, green and blue are three channels of the latents");
    state.latents.principal = principal == 1;
    if (!state.latents.principal) {
        ImGui::SetNextItemWidth(-1);
        const int last = std::max(static_cast<int>(channels) - 1, 0);
        ImGui::SliderInt3("##channels", state.latents.channels.data(), 0, last, "%d",
                          ImGuiSliderFlags_AlwaysClamp);
        panel_tooltip("The channels that are red, green and blue");
    }
    ImGui::EndDisabled();
}

void draw_features(const PanelContext &context) {
    const bool can = context.control->can_encode();
    bool shown = can && context.state->show_features;
    ImGui::BeginDisabled(!can);
    if (ImGui::Checkbox("What it sees", &shown)) context.state->show_features = shown;
    panel_tooltip(can ? "The network's own view of a finished picture, over it: places of one "
                        "colour are alike to it (G)"
                      : "This generator does not read pictures");
    ImGui::EndDisabled();
}

// Steps from left to right, a line for every number of the token. A line is as warm as its last
// value is high, so that each can be followed back into the noise.
void draw_lines(const TokenChain &chain, ImVec2 low, ImVec2 high, float thickness) {
    constexpr float kRange = 3.2F; // to each side of 0; the first noise has deviation 1
    ImDrawList &list = *ImGui::GetWindowDrawList();
    list.AddRectFilled(low, high, ImGui::GetColorU32(ImGuiCol_FrameBg), 3);
    list.PushClipRect(low, high, true);
    const float middle = (low.y + high.y) / 2;
    list.AddLine({low.x, middle}, {high.x, middle}, ImGui::GetColorU32(ImGuiCol_Separator));
    const auto value = [&](std::uint32_t row, std::uint32_t number) {
        return chain.values[std::size_t{row} * chain.width + number];
    };
    const std::uint32_t shown = std::min(chain.width, 256U); // more lines cannot be told apart
    for (std::uint32_t number = 0; number < shown; ++number) {
        const float end = std::clamp(value(chain.denoise, number) / kRange, -1.0F, 1.0F);
        const ImVec4 colour{0.45F + 0.5F * std::max(end, 0.0F), 0.68F - 0.18F * std::abs(end),
                            0.62F - 0.4F * end, 0.55F};
        ImVec2 before{};
        for (std::uint32_t row = 0; row <= chain.denoise; ++row) {
            const float share = static_cast<float>(row) / static_cast<float>(chain.denoise);
            const float up = std::clamp(value(row, number) / kRange, -1.0F, 1.0F);
            const ImVec2 at{low.x + (high.x - low.x) * share, middle - up * (high.y - low.y) / 2};
            if (row > 0) list.AddLine(before, at, ImGui::GetColorU32(colour), thickness);
            before = at;
        }
    }
    list.PopClipRect();
}

void draw_chain_text(const Editor &editor, const TokenChain *chain) {
    const std::uint32_t columns = std::max(editor.marks().columns(), 1U);
    ImGui::Text("Token %lld, %lld", static_cast<long long>(editor.watched() % columns),
                static_cast<long long>(editor.watched() / columns));
    panel_tooltip("Column and row of the watched token");
    ImGui::SameLine();
    if (chain == nullptr) {
        ImGui::TextDisabled("not made yet");
    } else {
        ImGui::TextDisabled("step %u, %u denoising steps", chain->step, chain->denoise);
    }
}

void draw_pin(const PanelContext &context) {
    Editor &editor = *context.editor;
    const bool pinned = editor.pinned() != nullptr;
    ImGui::BeginDisabled(!pinned && !editor.can_pin());
    if (ImGui::Button(pinned ? "Let the pinned run go" : "Pin this run to compare", {-1, 0})) {
        pin_or_unpin(editor);
    }
    ImGui::EndDisabled();
    panel_tooltip("Keeps this run on the right, step by step with whatever runs on the left (K)");
}

// On a quiet band at the top of a half.
void draw_caption(ImDrawList &list, const PanelContext &context, const ViewRegion &region,
                  const std::string &text) {
    const float units = 1 / context.to_pixels;
    const ImVec2 low{region.x * units, region.y * units};
    const ImVec2 high{(region.x + region.width) * units, low.y + ImGui::GetFrameHeight()};
    list.PushClipRect(low, high);
    list.AddRectFilled(low, high, IM_COL32(16, 17, 19, 190));
    list.AddText({low.x + 10 * context.scale, low.y + ImGui::GetStyle().FramePadding.y},
                 IM_COL32(226, 230, 232, 255), text.c_str());
    list.PopClipRect();
}

} // namespace

void pin_or_unpin(Editor &editor) {
    if (editor.pinned() != nullptr) {
        editor.unpin();
    } else {
        editor.pin();
    }
}

// In the corner of the picture, so that both are seen together.
void draw_chain(const PanelContext &context) {
    Editor &editor = *context.editor;
    const RunRecord *const run = editor.run();
    if (!editor.can_watch() || editor.watched() < 0 || run == nullptr) return;
    const float width = 320 * context.scale;
    const float gap = 12 * context.scale;
    const float units = 1 / context.to_pixels;
    const ViewRegion &region = context.region;
    if (region.width * units < width + 2 * gap) return;
    ImGui::SetNextWindowPos({(region.x + region.width) * units - width - gap,
                             (region.y + region.height) * units - 150 * context.scale - gap});
    ImGui::SetNextWindowSize({width, 150 * context.scale});
    ImGui::SetNextWindowBgAlpha(0.92F);
    constexpr ImGuiWindowFlags kFlags =
        ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings |
        ImGuiWindowFlags_NoFocusOnAppearing | ImGuiWindowFlags_NoNav;
    ImGui::Begin("Chain", nullptr, kFlags);
    const TokenChain *const chain = run->chain.get();
    draw_chain_text(editor, chain);
    const ImVec2 low = ImGui::GetCursorScreenPos();
    const ImVec2 size = ImGui::GetContentRegionAvail();
    ImGui::Dummy(size);
    if (chain != nullptr) {
        panel_tooltip(fmt::format("Each line is one of the token's {} numbers on its way from "
                                  "noise (left) to its value (right); the line in the middle is 0. "
                                  "Right click with the probe to close",
                                  chain->width));
        draw_lines(*chain, low, {low.x + size.x, low.y + size.y}, context.scale);
    }
    ImGui::End();
}

void draw_inspect_section(const PanelContext &context) {
    if (!panel_fold("Inspect", true)) return;
    ImGui::PushID("inspect");
    const RunStep *const step = context.editor->step();
    draw_latents(context, step != nullptr ? step->latent_channels() : 0);
    draw_features(context);
    draw_pin(context);
    ImGui::PopID();
}

void draw_comparison(const PanelContext &context) {
    const RunRecord *const pinned = context.editor->pinned();
    const RunRecord *const shown = context.editor->run();
    if (pinned == nullptr || shown == nullptr) return;
    Comparison &comparison = context.state->comparison;
    if (comparison.shown_job != shown->job || comparison.pinned_job != pinned->job) {
        comparison.shown_job = shown->job;
        comparison.pinned_job = pinned->job;
        std::tie(comparison.shown, comparison.pinned) = difference_of(*shown, *pinned);
    }
    ImDrawList &list = *ImGui::GetBackgroundDrawList();
    draw_caption(list, context, context.region, comparison.shown);
    draw_caption(list, context, context.pinned_region, "pinned: " + comparison.pinned);
}

} // namespace tessera
