// Pictures in files. Read as an image viewer shows them: upright, in sRGB, at 8 bits, whatever kind
// of PNG, JPEG or WebP the file is. Written in the format that the name says, never in another.
// Any thread. Knows nothing of tensors.
//
//   auto photo = read_image("IMG_0042.JPG", 3);
//   if (!photo) complain(photo.error());          // "IMG_0042.JPG: a HEIC picture; ..."
//   auto written = write_image("tile.webp", *photo);
#pragma once

#include "core/result.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace tessera {

// Pixels of 8 bits a channel, rows without padding, top row first.
struct Image {
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    std::uint32_t channels = 4;       // 1 grey, 3 RGB, 4 RGBA
    std::vector<std::uint8_t> pixels; // (height, width, channels)
};

inline constexpr std::uint32_t kMaxImageSide = 16384; // pixels

// Whether sides, channels and bytes agree and are within limits.
[[nodiscard]] Result<void> check_image(const Image &image);

// Converts to 1, 3 or 4 channels. Grey is the eye's (Rec. 601); where alpha is not wanted,
// transparent parts become black. Any bytes are safe to pass; an error says what the file is, if it
// is something known, and what to do.
[[nodiscard]] Result<Image> read_image(const std::filesystem::path &path, std::uint32_t channels);
[[nodiscard]] Result<Image> decode_image(std::span<const std::byte> bytes, std::uint32_t channels);

// What the numbers of a picture are: light to look at, or data such as heights and normals.
enum class PictureUse { kColour, kData };

// The format is `path`'s suffix, whatever its case: .png, .jpg (quality 95), .webp (lossless). A
// name without suffix, a device, and an empty file of any name get a PNG. Data are only written as
// PNG. Like write_file (output_file.hpp), `path` is either as before or complete.
[[nodiscard]] Result<void> write_image(const std::filesystem::path &path, const Image &image,
                                       PictureUse use = PictureUse::kColour);
// One channel of 16 bits as data, a PNG: `grey` is (height, width).
[[nodiscard]] Result<void> write_image16(const std::filesystem::path &path, std::uint32_t width,
                                         std::uint32_t height, std::span<const std::uint16_t> grey);

// Whether write_image could write a picture of that size there, as far as can be known before:
// what the name says, what is there, sides. Size 0: not known yet.
[[nodiscard]] Result<void> check_image_target(const std::filesystem::path &path,
                                              std::uint64_t width = 0, std::uint64_t height = 0);

} // namespace tessera
