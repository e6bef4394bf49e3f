// Pictures made to fit: other sizes, no alpha.
#pragma once

#include "assets/image_file.hpp"

namespace tessera {

// The largest part in the middle that has the shape width : height, scaled to that size. Averages
// light, not bytes, over the area of each pixel, weighted by alpha. RGBA in, RGBA out.
[[nodiscard]] Result<Image> fit_image(const Image &image, std::uint32_t width,
                                      std::uint32_t height);

// A mask of one channel, scaled; of each pixel more than half decides, 0 or 255.
[[nodiscard]] Result<Image> resize_mask(const Image &mask, std::uint32_t width,
                                        std::uint32_t height);

// RGBA for generators, which know no alpha: true when there was any.
[[nodiscard]] bool lay_over_black(Image &rgba);

} // namespace tessera
