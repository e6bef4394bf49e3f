// JPEG, over libjpeg-turbo, which stays inside jpeg.cpp.
#pragma once

#include "assets/image/raw_picture.hpp"
#include "assets/image_file.hpp"
#include "core/result.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace tessera {

[[nodiscard]] bool is_jpeg(std::span<const std::byte> bytes);

// Grey, colour and CMYK. Stray bytes between segments and a missing end do no harm; data that are
// missing or damaged are an error, even if rows could be guessed.
[[nodiscard]] Result<RawPicture> decode_jpeg(std::span<const std::byte> bytes);

// Quality 95, every pixel with its own colour. Alpha is dropped.
[[nodiscard]] Result<std::vector<std::byte>> encode_jpeg(const Image &image);

} // namespace tessera
