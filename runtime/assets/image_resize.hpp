// A picture of any size for a slot of one size.
#pragma once

#include "assets/image_file.hpp"

namespace tessera {

// The largest part in the middle that has the shape width : height, scaled to that size. Averages
// light, not bytes, over the area of each pixel. RGBA in, RGBA out.
[[nodiscard]] Result<Image> fit_image(const Image &image, std::uint32_t width,
                                      std::uint32_t height);

} // namespace tessera
