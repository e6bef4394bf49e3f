// PNG, over libpng, which stays inside png.cpp.
#pragma once

#include "assets/image/raw_picture.hpp"
#include "assets/image_file.hpp"
#include "core/result.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace tessera {

// Whether the bytes begin as a PNG does.
[[nodiscard]] bool is_png(std::span<const std::byte> bytes);

// Every kind of PNG becomes RGBA; 16 bits stay 16. A file that ends after its last row is read.
[[nodiscard]] Result<RawPicture> decode_png(std::span<const std::byte> bytes);

// 8 bits a channel. Colours say that they are sRGB; data carry no colour chunk at all, so that no
// reader takes them for light.
[[nodiscard]] Result<std::vector<std::byte>> encode_png(const Image &image, PictureUse use);

// One channel of 16 bits, as data: `grey` is (height, width).
[[nodiscard]] Result<std::vector<std::byte>> encode_png16(std::uint32_t width, std::uint32_t height,
                                                          std::span<const std::uint16_t> grey);

} // namespace tessera
