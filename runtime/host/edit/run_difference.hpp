// What recorded runs were made with, and in what two of them differ, in words.
#pragma once

#include "host/edit/run_history.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tessera {

// For each: its seed and the values in which it is not like the other, "seed 7, guidance 3"; of
// equal runs the seed alone.
[[nodiscard]] std::pair<std::string, std::string> difference_of(const RunRecord &a,
                                                                const RunRecord &b);

// The index that a choice had in that run; nothing: it had none.
[[nodiscard]] std::optional<std::size_t> choice_of(const RunRecord &run, std::string_view key);

} // namespace tessera
