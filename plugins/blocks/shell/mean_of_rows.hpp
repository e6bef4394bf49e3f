// What stands for a whole picture: the mean of what stands for its parts.
#pragma once

#include <span>

namespace tessera::blocks {

// `rows` (n, width) to `mean` (width), which says the width; summed in double precision.
void mean_of_rows(std::span<const float> rows, std::span<float> mean);

} // namespace tessera::blocks
