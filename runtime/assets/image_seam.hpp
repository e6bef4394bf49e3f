// Seams in pictures: steps between neighbouring pixels where a seam may be, compared with steps
// elsewhere.
#pragma once

#include "assets/image_file.hpp"

#include <span>
#include <vector>

namespace tessera {

enum class Axis { kRows, kColumns };

// Mean absolute step from line i - 1 to line i over all pixels and colours (alpha is none), in
// units of a channel. Entry 0 crosses the wrap, from the last line to the first.
[[nodiscard]] std::vector<double> line_steps(const Image &image, Axis axis);

// Steps across the wrap over steps inside, mean of both axes: about 1 where the edges meet like any
// two neighbouring lines. The same as `seam` of the trainer's metrics. 0 for an empty picture.
[[nodiscard]] double wrap_seam(const Image &image);

} // namespace tessera
