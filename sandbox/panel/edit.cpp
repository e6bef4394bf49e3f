// Tools that mark tokens, undo, and the marks over the picture.
#include "sandbox/panel/panel.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <imgui.h>

namespace tessera {
namespace {

constexpr ImU32 kRegenerateFill = IM_COL32(240, 108, 84, 82);
constexpr ImU32 kRegenerateEdge = IM_COL32(255, 138, 110, 255);
constexpr ImU32 kLockedFill = IM_COL32(240, 190, 80, 46);
constexpr ImU32 kLockedEdge = IM_COL32(246, 204, 108, 255);

struct Choice {
    const char *text;
    const char *help;
};

// Buttons side by side of which one is pressed.
template <class Value, std::size_t kCount>
void draw_choice(const Choice (&choices)[kCount], const Value (&values)[kCount], Value &value) {
    const float gap = ImGui::GetStyle().ItemSpacing.x / 2;
    const float width =
        (ImGui::GetContentRegionAvail().x - (kCount - 1) * gap) / static_cast<float>(kCount);
    for (std::size_t i = 0; i < kCount; ++i) {
        if (i > 0) ImGui::SameLine(0, gap);
        const bool chosen = value == values[i];
        if (chosen) {
            ImGui::PushStyleColor(ImGuiCol_Button, ImGui::GetStyleColorVec4(ImGuiCol_SliderGrab));
            ImGui::PushStyleColor(ImGuiCol_ButtonHovered,
                                  ImGui::GetStyleColorVec4(ImGuiCol_SliderGrab));
            ImGui::PushStyleColor(ImGuiCol_Text, {0.07F, 0.08F, 0.09F, 1});
        }
        if (ImGui::Button(choices[i].text, {width, 0})) value = values[i];
        if (chosen) ImGui::PopStyleColor(3);
        panel_tooltip(choices[i].help);
    }
}

constexpr Choice kTools[] = {
    {"Hand", "Dragging moves the picture (V). The middle button does so with every tool."},
    {"Brush", "Paints tokens (B); [ and ] change its size. Shift locks, the right button erases."},
    {"Rectangle", "Marks all tokens in a rectangle (M). Shift locks, the right button erases."},
    {"Probe", "A click shows how that token was denoised, step by step (I)."}};
constexpr Tool kToolValues[] = {Tool::kHand, Tool::kBrush, Tool::kRectangle, Tool::kProbe};
constexpr Choice kPaints[] = {
    {"Regenerate", "Painted tokens are made again by the next run; all others stay exactly as they "
                   "are (X)"},
    {"Lock", "Locked tokens stay. Without tokens to regenerate, everything else is made again (X)"},
    {"Erase", "Takes marks away (X)"}};
constexpr Mark kPaintValues[] = {Mark::kRegenerate, Mark::kLocked, Mark::kNone};

void draw_undo(Editor &editor) {
    const float gap = ImGui::GetStyle().ItemSpacing.x / 2;
    const ImVec2 size{(ImGui::GetContentRegionAvail().x - 2 * gap) / 3, 0};
    ImGui::BeginDisabled(!editor.can_undo());
    if (ImGui::Button("Undo", size)) editor.undo();
    ImGui::EndDisabled();
    panel_tooltip("The marks, picture and settings before this (Ctrl+Z)");
    ImGui::SameLine(0, gap);
    ImGui::BeginDisabled(!editor.can_redo());
    if (ImGui::Button("Redo", size)) editor.redo();
    ImGui::EndDisabled();
    panel_tooltip("Forth again (Ctrl+Y)");
    ImGui::SameLine(0, gap);
    ImGui::BeginDisabled(editor.marks().empty());
    if (ImGui::Button("Clear marks", size)) editor.clear_marks();
    ImGui::EndDisabled();
    panel_tooltip("The next run makes a whole picture (Escape)");
}

// In tokens of the shown picture.
Point to_tokens(const PanelContext &context, Point screen) {
    const Point at = context.transform->to_picture(screen);
    const TokenMarks &marks = context.editor->marks();
    return {at.x * static_cast<float>(marks.columns()) / static_cast<float>(context.view->width()),
            at.y * static_cast<float>(marks.rows()) / static_cast<float>(context.view->height())};
}

void draw_region(ImDrawList &list, const PanelContext &context, Mark mark, ImU32 fill, ImU32 edge) {
    const TokenMarks &marks = context.editor->marks();
    const float width = 2 * context.scale;
    for (std::uint32_t row = 0; row < marks.rows(); ++row) {
        for (std::uint32_t column = 0; column < marks.columns(); ++column) {
            if (marks.at(column, row) != mark) continue;
            const TokenRect rect = token_rect(context, marks.columns(), marks.rows(),
                                              std::size_t{row} * marks.columns() + column);
            const ImVec2 low{rect.low.x, rect.low.y};
            const ImVec2 high{rect.high.x, rect.high.y};
            list.AddRectFilled(low, high, fill);
            const auto x = std::int64_t{column};
            const auto y = std::int64_t{row};
            if (marks.at(x - 1, y) != mark) list.AddRectFilled(low, {low.x + width, high.y}, edge);
            if (marks.at(x + 1, y) != mark) list.AddRectFilled({high.x - width, low.y}, high, edge);
            if (marks.at(x, y - 1) != mark) list.AddRectFilled(low, {high.x, low.y + width}, edge);
            if (marks.at(x, y + 1) != mark) list.AddRectFilled({low.x, high.y - width}, high, edge);
        }
    }
}

void probe(Editor &editor, Point at) {
    const TokenMarks &marks = editor.marks();
    const bool inside = at.x >= 0 && at.y >= 0 && at.x < static_cast<float>(marks.columns()) &&
                        at.y < static_cast<float>(marks.rows());
    if (!inside) return;
    const auto row = static_cast<std::int64_t>(at.y);
    editor.watch(row * std::int64_t{marks.columns()} + static_cast<std::int64_t>(at.x));
}

// The token whose chain is kept.
void draw_watched(ImDrawList &list, const PanelContext &context) {
    const Editor &editor = *context.editor;
    const TokenMarks &marks = editor.marks();
    const std::int64_t token = editor.watched();
    if (token < 0 || token >= std::int64_t{marks.columns()} * marks.rows()) return;
    const TokenRect rect =
        token_rect(context, marks.columns(), marks.rows(), static_cast<std::size_t>(token));
    const float side = context.scale;
    list.AddRect({rect.low.x - side, rect.low.y - side}, {rect.high.x + side, rect.high.y + side},
                 IM_COL32(20, 20, 22, 255), 0, 0, 4 * side);
    list.AddRect({rect.low.x, rect.low.y}, {rect.high.x, rect.high.y}, IM_COL32(255, 255, 255, 255),
                 0, 0, 1.5F * side);
}

// What the brush would paint.
void draw_brush(ImDrawList &list, const PanelContext &context) {
    const Editor &editor = *context.editor;
    const ImGuiIO &io = ImGui::GetIO();
    if (editor.tool == Tool::kHand || io.WantCaptureMouse || editor.in_stroke()) return;
    const Point mouse{io.MousePos.x * context.to_pixels, io.MousePos.y * context.to_pixels};
    if (!std::isfinite(mouse.x) || std::abs(mouse.x) > 1e6F || std::abs(mouse.y) > 1e6F) return;
    TokenMarks under(editor.marks().columns(), editor.marks().rows());
    const Point at = to_tokens(context, mouse);
    under.paint(at, at, editor.tool == Tool::kBrush ? editor.brush_size : 1, Mark::kRegenerate);
    for (std::size_t i = 0; i < std::size_t{under.columns()} * under.rows(); ++i) {
        const auto column = static_cast<std::int64_t>(i % under.columns());
        const auto row = static_cast<std::int64_t>(i / under.columns());
        if (under.at(column, row) == Mark::kNone) continue;
        const TokenRect rect = token_rect(context, under.columns(), under.rows(), i);
        list.AddRect({rect.low.x, rect.low.y}, {rect.high.x, rect.high.y},
                     IM_COL32(255, 255, 255, 150), 0, 0, context.scale);
    }
}

} // namespace

void next_paint(Editor &editor) {
    const auto *const at =
        std::find(std::begin(kPaintValues), std::end(kPaintValues), editor.paint);
    editor.paint = kPaintValues[(at - std::begin(kPaintValues) + 1) % 3];
}

void draw_edit_section(const PanelContext &context) {
    Editor &editor = *context.editor;
    if (!editor.can_mark()) return;
    std::string title = "Edit";
    if (!editor.marks().empty()) {
        title += fmt::format(": {} of {} tokens again", editor.wanted_count(),
                             editor.marks().columns() * editor.marks().rows());
    }
    if (!panel_fold((title + "###edit").c_str(), true)) return;
    ImGui::PushID("edit");
    draw_choice(kTools, kToolValues, editor.tool);
    draw_choice(kPaints, kPaintValues, editor.paint);
    draw_undo(editor);
    ImGui::PopID();
}

bool handle_tool_input(const PanelContext &context, Point mouse) {
    Editor &editor = *context.editor;
    const ImGuiIO &io = ImGui::GetIO();
    if (editor.in_stroke()) {
        if (io.MouseDown[ImGuiMouseButton_Left] || io.MouseDown[ImGuiMouseButton_Right]) {
            editor.stroke_to(to_tokens(context, mouse));
        } else {
            editor.end_stroke();
        }
        return true;
    }
    if (editor.tool == Tool::kHand || !editor.can_mark() || !context.view->has_picture() ||
        ImGui::IsMouseDown(ImGuiMouseButton_Middle)) {
        return false;
    }
    const bool left = ImGui::IsMouseClicked(ImGuiMouseButton_Left);
    const bool right = ImGui::IsMouseClicked(ImGuiMouseButton_Right);
    if (editor.tool == Tool::kProbe) {
        if (left) probe(editor, to_tokens(context, mouse));
        if (right) editor.watch(-1);
    } else if (left || right) {
        const Mark mark = right ? Mark::kNone : io.KeyShift ? Mark::kLocked : editor.paint;
        editor.begin_stroke(to_tokens(context, mouse), mark);
    }
    return true;
}

void draw_marks(const PanelContext &context) {
    const Editor &editor = *context.editor;
    if (!editor.can_mark() || !context.view->has_picture()) return;
    const ViewRegion &region = context.region;
    const float units = 1 / context.to_pixels;
    ImDrawList &list = *ImGui::GetBackgroundDrawList();
    list.PushClipRect({region.x * units, region.y * units},
                      {(region.x + region.width) * units, (region.y + region.height) * units});
    draw_region(list, context, Mark::kRegenerate, kRegenerateFill, kRegenerateEdge);
    draw_region(list, context, Mark::kLocked, kLockedFill, kLockedEdge);
    draw_brush(list, context);
    draw_watched(list, context);
    list.PopClipRect();
}

} // namespace tessera
