// Which tokens are known, and which step made them, drawn over the picture.
#include "sandbox/panel/panel.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <imgui.h>

namespace tessera {
namespace {

struct TokenBox {
    ImVec2 low;
    ImVec2 high;
};

class Grid {
  public:
    Grid(const PanelContext &context, const RunRecord &run) : context_(context), run_(run) {}

    [[nodiscard]] TokenBox cell(std::size_t index) const {
        const TokenRect rect = token_rect(context_, run_.columns, run_.rows, index);
        return {{rect.low.x, rect.low.y}, {rect.high.x, rect.high.y}};
    }

  private:
    const PanelContext &context_;
    const RunRecord &run_;
};

// From early to late: dark blue, teal, green, yellow. Evenly lighter, so that order reads without
// colour too.
ImU32 order_colour(float place, float alpha) {
    constexpr std::array<std::array<float, 3>, 5> kStops{{{0.16F, 0.17F, 0.42F},
                                                          {0.13F, 0.39F, 0.55F},
                                                          {0.13F, 0.58F, 0.55F},
                                                          {0.45F, 0.78F, 0.38F},
                                                          {0.98F, 0.91F, 0.30F}}};
    const float at = std::clamp(place, 0.0F, 1.0F) * (kStops.size() - 1);
    const auto first = std::min(static_cast<std::size_t>(at), kStops.size() - 2);
    const float weight = at - static_cast<float>(first);
    const auto mixed = [&](std::size_t c) {
        return kStops[first][c] * (1 - weight) + kStops[first + 1][c] * weight;
    };
    return ImGui::GetColorU32({mixed(0), mixed(1), mixed(2), alpha});
}

void draw_lines(ImDrawList &list, const Grid &grid, std::size_t count) {
    const ImU32 line = IM_COL32(0, 0, 0, 56);
    for (std::size_t i = 0; i < count; ++i) {
        const TokenBox rect = grid.cell(i);
        list.AddRectFilled(rect.low, {rect.high.x, rect.low.y + 1}, line);
        list.AddRectFilled(rect.low, {rect.low.x + 1, rect.high.y}, line);
    }
}

void draw_tokens(ImDrawList &list, const Grid &grid, const std::vector<std::uint8_t> &cells,
                 float scale) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
        const TokenBox rect = grid.cell(i);
        if (cells[i] == TESSERA_CELL_UNKNOWN) {
            list.AddRectFilled(rect.low, rect.high, IM_COL32(12, 13, 15, 130));
        } else if (cells[i] == TESSERA_CELL_CHANGED) {
            const ImVec2 low{rect.low.x + scale, rect.low.y + scale};
            const ImVec2 high{rect.high.x - scale, rect.high.y - scale};
            list.AddRect(low, high, IM_COL32(122, 220, 236, 255), 0, 0, 2 * scale);
        } else if (cells[i] == TESSERA_CELL_GIVEN) {
            const float side = std::min(10 * scale, (rect.high.x - rect.low.x) / 3);
            list.AddTriangleFilled(rect.low, {rect.low.x + side, rect.low.y},
                                   {rect.low.x, rect.low.y + side}, IM_COL32(240, 190, 80, 230));
        }
    }
}

void draw_order(ImDrawList &list, const Grid &grid, const RunRecord &run, const RunStep &step) {
    const auto last = static_cast<float>(std::max(run.total_steps, 2U) - 1);
    for (std::size_t i = 0; i < step.cells.size(); ++i) {
        const TokenBox rect = grid.cell(i);
        if (step.cells[i] == TESSERA_CELL_UNKNOWN || i >= run.made_at.size()) continue;
        const std::uint32_t made_at = run.made_at[i];
        const bool given = made_at == RunRecord::kGiven;
        const float place = given ? 0 : static_cast<float>(made_at - 1) / last;
        list.AddRectFilled(rect.low, rect.high,
                           given ? IM_COL32(128, 128, 132, 120) : order_colour(place, 0.62F));
        if (given) continue;
        const std::string text = std::to_string(made_at);
        const ImVec2 size = ImGui::CalcTextSize(text.c_str());
        if (size.x + 6 > rect.high.x - rect.low.x || size.y > rect.high.y - rect.low.y) continue;
        const ImVec2 at{std::round((rect.low.x + rect.high.x - size.x) / 2),
                        std::round((rect.low.y + rect.high.y - size.y) / 2)};
        const bool bright = place > 0.55F;
        list.AddText(at, bright ? IM_COL32(20, 24, 20, 255) : IM_COL32(240, 244, 246, 255),
                     text.c_str());
    }
}

// A run that failed has no picture: what was wrong stands in its place.
void draw_failure(const PanelContext &context) {
    const std::string &problem = context.control->problem();
    if (context.control->state().phase != PlayerPhase::kFailed || problem.empty()) return;
    const ViewRegion &region = context.region;
    const float units = 1 / context.to_pixels;
    const ImVec2 low{region.x * units, region.y * units};
    const ImVec2 high{(region.x + region.width) * units, (region.y + region.height) * units};
    const float wrap = (high.x - low.x) * 0.7F;
    const ImVec2 size = ImGui::CalcTextSize(problem.c_str(), nullptr, false, wrap);
    ImDrawList &list = *ImGui::GetBackgroundDrawList();
    list.AddRectFilled(low, high, IM_COL32(12, 13, 15, 235));
    list.AddText(
        ImGui::GetFont(), ImGui::GetFontSize(),
        {std::round((low.x + high.x - size.x) / 2), std::round((low.y + high.y - size.y) / 2)},
        IM_COL32(237, 128, 107, 255), problem.c_str(), nullptr, wrap);
}

} // namespace

TokenRect token_rect(const PanelContext &context, std::uint32_t columns, std::uint32_t rows,
                     std::size_t index) {
    const Point origin = context.transform->origin();
    const float scale = context.transform->scale();
    const auto corner = [&](std::size_t column, std::size_t row) {
        const float x = static_cast<float>(context.view->width()) * static_cast<float>(column) /
                        static_cast<float>(columns) * scale;
        const float y = static_cast<float>(context.view->height()) * static_cast<float>(row) /
                        static_cast<float>(rows) * scale;
        return Point{std::round(origin.x + x) / context.to_pixels,
                     std::round(origin.y + y) / context.to_pixels};
    };
    const std::size_t column = index % columns;
    const std::size_t row = index / columns;
    return {corner(column, row), corner(column + 1, row + 1)};
}

void draw_overlay(const PanelContext &context) {
    draw_failure(context);
    const auto &shown = context.view->info();
    if (context.state->overlay == Overlay::kNone || !shown) return;
    const RunRecord *const run = context.control->history().find(shown->job);
    const RunStep *const step = run != nullptr ? run->find(shown->step) : nullptr;
    if (step == nullptr || step->cells.empty()) return;
    const ViewRegion &region = context.region;
    const float units = 1 / context.to_pixels;
    ImDrawList &list = *ImGui::GetBackgroundDrawList();
    list.PushClipRect({region.x * units, region.y * units},
                      {(region.x + region.width) * units, (region.y + region.height) * units});
    const Grid grid(context, *run);
    if (context.state->overlay == Overlay::kOrder) draw_order(list, grid, *run, *step);
    draw_lines(list, grid, step->cells.size());
    if (context.state->overlay == Overlay::kTokens) {
        draw_tokens(list, grid, step->cells, context.scale);
    }
    list.PopClipRect();
}

} // namespace tessera
