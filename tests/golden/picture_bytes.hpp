// Pictures as bytes, against recorded ones.
#pragma once

#include "golden/check_case.hpp"

#include <cstdint>
#include <vector>

namespace tessera::golden {

// (batch, h, w, 3) in [-1, 1] to bytes without the alpha.
[[nodiscard]] std::vector<std::uint8_t> to_bytes(const sdk::Compute &compute,
                                                 const Values<float> &images);
[[nodiscard]] double largest_byte_difference(const std::vector<std::uint8_t> &ours,
                                             const std::vector<std::int64_t> &theirs);

} // namespace tessera::golden
