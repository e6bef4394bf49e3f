// Cutting work on the rows of a batch into units of a few milliseconds.
#pragma once

#include <algorithm>
#include <cstdint>

namespace tessera::blocks {

// Rows [first, first + count) of entries [entry, entry + entries): whole entries, or some rows of
// one. How work is cut changes no byte.
struct RowPart {
    std::int64_t entry = 0, entries = 0;
    std::int64_t first = 0, count = 0;
    double flops = 0.0;
};

// Calls emit(RowPart) for parts of about `kUnitFlops` that make up all rows of all entries: whole
// entries where several fit, else the rows of one after the other.
inline constexpr double kUnitFlops = 1e9; // a few milliseconds on two cores
template <class Emit>
void cut_rows(std::int64_t entries, std::int64_t rows, double flops_per_row, Emit &&emit) {
    constexpr std::int64_t kFewestRows = 32;
    const double per_entry = flops_per_row * static_cast<double>(rows);
    if (per_entry <= kUnitFlops) {
        const auto chunk =
            static_cast<std::int64_t>(std::min(kUnitFlops / std::max(per_entry, 1.0), 1e6));
        for (std::int64_t entry = 0; entry < entries; entry += chunk) {
            const std::int64_t here = std::min(chunk, entries - entry);
            emit(RowPart{entry, here, 0, rows, per_entry * static_cast<double>(here)});
        }
        return;
    }
    const auto chunk = std::max(kFewestRows, static_cast<std::int64_t>(kUnitFlops / flops_per_row));
    for (std::int64_t entry = 0; entry < entries; ++entry) {
        for (std::int64_t first = 0; first < rows; first += chunk) {
            const std::int64_t here = std::min(chunk, rows - first);
            emit(RowPart{entry, 1, first, here, flops_per_row * static_cast<double>(here)});
        }
    }
}

} // namespace tessera::blocks
