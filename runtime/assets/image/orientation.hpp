// Pictures of cameras that were held some other way, over libexif, which stays inside
// orientation.cpp.
#pragma once

#include "assets/image_file.hpp"

#include <cstddef>
#include <span>

namespace tessera {

// The tag of EXIF data, with or without "Exif\0\0" before it: 1 to 8. 1, which is upright, also for
// data without the tag and data that make no sense.
[[nodiscard]] int exif_orientation(std::span<const std::byte> exif);

// Upright, by that tag.
[[nodiscard]] Image upright(Image image, int orientation);

} // namespace tessera
