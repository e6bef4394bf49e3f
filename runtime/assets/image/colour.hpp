// From the colours of a file to sRGB, over Little CMS, which stays inside colour.cpp.
#pragma once

#include "assets/image/raw_picture.hpp"
#include "assets/image_file.hpp"

namespace tessera {

// RGBA of 8 bits, as a viewer that manages colours shows it. A profile that cannot be read, or does
// not fit the layout, counts as none. A profile that is sRGB's but for rounding changes no byte.
[[nodiscard]] Image to_srgb(RawPicture picture);

} // namespace tessera
