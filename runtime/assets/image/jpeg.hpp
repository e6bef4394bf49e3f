// JPEG decoding, over libjpeg-turbo, which stays inside jpeg.cpp.
#pragma once

#include "assets/image_file.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace tessera {

struct JpegSize {
    std::uint32_t width = 0;
    std::uint32_t height = 0;
};

// From the header alone.
[[nodiscard]] Result<JpegSize> read_jpeg_size(std::span<const std::byte> bytes);

// To 1, 3 or 4 channels.
[[nodiscard]] Result<Image> decode_jpeg(std::span<const std::byte> bytes, std::uint32_t channels);

} // namespace tessera
