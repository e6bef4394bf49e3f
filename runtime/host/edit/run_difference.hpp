// In what two recorded runs differ, in words.
#pragma once

#include "host/edit/run_history.hpp"

#include <string>
#include <utility>

namespace tessera {

// For each: its seed and the values in which it is not like the other, "seed 7, guidance 3"; of
// equal runs the seed alone.
[[nodiscard]] std::pair<std::string, std::string> difference_of(const RunRecord &a,
                                                                const RunRecord &b);

} // namespace tessera
