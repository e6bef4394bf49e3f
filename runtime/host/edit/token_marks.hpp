// Which tokens the user wants made again and which stay. Arithmetic on a grid only.
#pragma once

#include "core/point.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace tessera {

enum class Mark : std::uint8_t { kNone, kRegenerate, kLocked };

class TokenMarks {
  public:
    TokenMarks() = default;
    TokenMarks(std::uint32_t columns, std::uint32_t rows)
        : columns_(columns), rows_(rows), marks_(std::size_t{columns} * rows, Mark::kNone) {}

    [[nodiscard]] std::uint32_t columns() const { return columns_; }
    [[nodiscard]] std::uint32_t rows() const { return rows_; }
    [[nodiscard]] Mark at(std::int64_t column, std::int64_t row) const {
        return is_inside(column, row) ? marks_[index(column, row)] : Mark::kNone;
    }
    [[nodiscard]] bool empty() const {
        return std::all_of(marks_.begin(), marks_.end(), [](Mark m) { return m == Mark::kNone; });
    }
    bool operator==(const TokenMarks &) const = default;

    // A square brush, `size` tokens wide, along a line; points in tokens, (0, 0) the top left
    // corner. Locked tokens are only erased, never marked.
    void paint(Point from, Point to, int size, Mark mark) {
        const float length = std::max(std::abs(to.x - from.x), std::abs(to.y - from.y));
        const int steps = static_cast<int>(std::min(std::ceil(length * 4), 10'000.0F));
        for (int i = 0; i <= steps; ++i) {
            const float t = steps > 0 ? static_cast<float>(i) / static_cast<float>(steps) : 0;
            const float half = static_cast<float>(size - 1) / 2;
            const auto column = floor_of(from.x + t * (to.x - from.x) - half);
            const auto row = floor_of(from.y + t * (to.y - from.y) - half);
            fill(column, row, column + size, row + size, mark);
        }
    }
    // All tokens that the rectangle between two corners touches.
    void paint_rectangle(Point a, Point b, Mark mark) {
        fill(floor_of(std::min(a.x, b.x)), floor_of(std::min(a.y, b.y)),
             floor_of(std::max(a.x, b.x)) + 1, floor_of(std::max(a.y, b.y)) + 1, mark);
    }

    // Per token not 0: to be generated. The marked ones; without any, all that are not locked.
    [[nodiscard]] std::vector<std::uint8_t> wanted() const {
        const bool any = std::find(marks_.begin(), marks_.end(), Mark::kRegenerate) != marks_.end();
        std::vector<std::uint8_t> mask(marks_.size());
        for (std::size_t i = 0; i < mask.size(); ++i) {
            mask[i] = any ? marks_[i] == Mark::kRegenerate : marks_[i] != Mark::kLocked;
        }
        return mask;
    }

  private:
    static std::int64_t floor_of(float value) {
        return static_cast<std::int64_t>(std::floor(std::clamp(value, -1e6F, 1e6F)));
    }
    [[nodiscard]] bool is_inside(std::int64_t column, std::int64_t row) const {
        return column >= 0 && row >= 0 && column < columns_ && row < rows_;
    }
    [[nodiscard]] std::size_t index(std::int64_t column, std::int64_t row) const {
        return static_cast<std::size_t>(row * columns_ + column);
    }
    void fill(std::int64_t left, std::int64_t top, std::int64_t right, std::int64_t bottom,
              Mark mark) {
        for (std::int64_t row = std::max<std::int64_t>(top, 0);
             row < std::min<std::int64_t>(bottom, rows_); ++row) {
            for (std::int64_t column = std::max<std::int64_t>(left, 0);
                 column < std::min<std::int64_t>(right, columns_); ++column) {
                Mark &now = marks_[index(column, row)];
                if (now != Mark::kLocked || mark != Mark::kRegenerate) now = mark;
            }
        }
    }

    std::uint32_t columns_ = 0;
    std::uint32_t rows_ = 0;
    std::vector<Mark> marks_; // (rows, columns)
};

} // namespace tessera
