// Pictures in files: PNG and JPEG in, PNG out. Knows nothing of tensors or colour management.
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
    std::uint32_t channels = 4;       // 1 gray, 3 RGB, 4 RGBA
    std::vector<std::uint8_t> pixels; // (height, width, channels)
};

inline constexpr std::uint32_t kMaxImageSide = 16384; // pixels

// Reads a PNG or JPEG and converts it to 1, 3 or 4 channels.
[[nodiscard]] Result<Image> read_image(const std::filesystem::path &path, std::uint32_t channels);

// Writes a PNG under a temporary name and renames it: `path` is either as before or complete.
[[nodiscard]] Result<void> write_png(const std::filesystem::path &path, const Image &image);

// The same for one channel of 16 bits, `gray` (height, width).
[[nodiscard]] Result<void> write_png16(const std::filesystem::path &path, std::uint32_t width,
                                       std::uint32_t height, std::span<const std::uint16_t> gray);

// All images side by side in rows of `columns`, `gap` pixels of white between them; cells have the
// size of the largest image. The images need the same number of channels.
[[nodiscard]] Result<Image> contact_sheet(std::span<const Image> images, std::uint32_t columns,
                                          std::uint32_t gap);

} // namespace tessera
