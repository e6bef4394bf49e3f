// Which format a name asks for, and what the bytes of a file are.
#pragma once

#include "core/result.hpp"

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace tessera {

enum class PictureFormat { kPng, kJpeg, kWebp };

// The format for a file of that name: see write_image. Looks at what is there, writes nothing.
[[nodiscard]] Result<PictureFormat> format_to_write(const std::filesystem::path &path);

// Whether the name ends as a picture's does, of a format that can be written or of another.
[[nodiscard]] bool names_picture(const std::filesystem::path &path);

// Why bytes that are neither PNG nor JPEG nor WebP cannot be read: what they are, and what to do.
[[nodiscard]] std::string describe_foreign_bytes(std::span<const std::byte> bytes);

} // namespace tessera
