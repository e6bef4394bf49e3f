// WebP, over libwebp, which stays inside webp.cpp.
#pragma once

#include "assets/image/raw_picture.hpp"
#include "assets/image_file.hpp"
#include "core/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

[[nodiscard]] bool is_webp(std::span<const std::byte> bytes);

// Of an animation the error says so.
[[nodiscard]] Result<RawPicture> decode_webp(std::span<const std::byte> bytes);

inline constexpr std::uint32_t kMaxWebpSide = 16383; // pixels

// Lossless.
[[nodiscard]] Result<std::vector<std::byte>> encode_webp(const Image &image);

} // namespace tessera
