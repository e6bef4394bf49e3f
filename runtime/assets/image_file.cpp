#include "assets/image_file.hpp"

#include "assets/image/colour.hpp"
#include "assets/image/jpeg.hpp"
#include "assets/image/orientation.hpp"
#include "assets/image/picture_format.hpp"
#include "assets/image/png.hpp"
#include "assets/image/webp.hpp"
#include "assets/mapped_file.hpp"
#include "assets/output_file.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace tessera {
namespace {

constexpr std::uint64_t kMaxPixels = std::uint64_t{1} << 26; // of a picture to read

Result<RawPicture> decode(std::span<const std::byte> bytes) {
    if (is_png(bytes)) return decode_png(bytes);
    if (is_jpeg(bytes)) return decode_jpeg(bytes);
    if (is_webp(bytes)) return decode_webp(bytes);
    return make_error(Status::kInvalidArgument, "{}", describe_foreign_bytes(bytes));
}

// Of RGBA; colours are laid over black where alpha is not wanted.
Image with_channels(Image image, std::uint32_t channels) {
    if (channels == 4) return image;
    Image out{image.width, image.height, channels, {}};
    out.pixels.resize(image.pixels.size() / 4 * channels);
    std::uint8_t *to = out.pixels.data();
    for (std::size_t i = 0; i + 3 < image.pixels.size(); i += 4) {
        std::array<unsigned, 3> rgb{};
        for (std::size_t c = 0; c < 3; ++c) {
            rgb[c] = (image.pixels[i + c] * unsigned{image.pixels[i + 3]} + 127) / 255;
        }
        if (channels == 3) {
            for (const unsigned value : rgb) *to++ = static_cast<std::uint8_t>(value);
        } else {
            const unsigned grey = (299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000;
            *to++ = static_cast<std::uint8_t>(grey);
        }
    }
    return out;
}

Result<void> check_sides(std::uint64_t width, std::uint64_t height) {
    if (width > 0 && height > 0 && width <= kMaxImageSide && height <= kMaxImageSide) return {};
    return make_error(Status::kInvalidArgument, "{} x {} pixels; expected sides of 1 to {}", width,
                      height, kMaxImageSide);
}

Error about(const std::filesystem::path &path, std::string_view what, const Error &error) {
    return make_error(error.status, "{}: {}{}", path.string(), what, error.message);
}
constexpr std::string_view kCannotWrite = "cannot write: ";

Result<std::vector<std::byte>> encode(PictureFormat format, const Image &image, PictureUse use) {
    if (use == PictureUse::kData && format != PictureFormat::kPng) {
        return make_error(Status::kInvalidArgument, "data are written as .png only");
    }
    switch (format) {
    case PictureFormat::kJpeg:
        return encode_jpeg(image);
    case PictureFormat::kWebp:
        return encode_webp(image);
    case PictureFormat::kPng:
        break;
    }
    return encode_png(image, use);
}

} // namespace

Result<void> check_image(const Image &image) {
    const bool has_channels = image.channels == 1 || image.channels == 3 || image.channels == 4;
    const std::size_t expected = std::size_t{image.width} * image.height * image.channels;
    if (auto sides = check_sides(image.width, image.height); !sides) return sides;
    if (has_channels && image.pixels.size() == expected) return {};
    return make_error(Status::kInvalidArgument,
                      "image of {} x {} pixels, {} channels, {} bytes; expected 1, 3 or 4 "
                      "channels, and as many bytes as that makes",
                      image.width, image.height, image.channels, image.pixels.size());
}

Result<void> check_picture_size(std::uint64_t width, std::uint64_t height) {
    if (check_sides(width, height) && width * height <= kMaxPixels) return {};
    return make_error(Status::kInvalidArgument,
                      "{} x {} pixels; expected sides of 1 to {} and at most {} pixels", width,
                      height, kMaxImageSide, kMaxPixels);
}

Result<Image> decode_image(std::span<const std::byte> bytes, std::uint32_t channels) {
    if (channels != 1 && channels != 3 && channels != 4) {
        return make_error(Status::kInvalidArgument, "{} channels wanted; expected 1, 3 or 4",
                          channels);
    }
    auto picture = decode(bytes);
    if (!picture) return picture.error();
    const int orientation = exif_orientation(picture->exif);
    return with_channels(upright(to_srgb(std::move(*picture)), orientation), channels);
}

Result<Image> read_image(const std::filesystem::path &path, std::uint32_t channels) {
    auto file = MappedFile::open(path);
    if (!file) return file.error();
    auto image = decode_image(file->bytes(), channels);
    if (!image) return about(path, "", image.error());
    return image;
}

Result<void> write_image(const std::filesystem::path &path, const Image &image, PictureUse use) {
    if (auto checked = check_image(image); !checked) {
        return about(path, kCannotWrite, checked.error());
    }
    const auto format = format_to_write(path);
    if (!format) return format.error();
    const auto bytes = encode(*format, image, use);
    if (!bytes) return about(path, kCannotWrite, bytes.error());
    return write_file(path, *bytes);
}

Result<void> write_image16(const std::filesystem::path &path, std::uint32_t width,
                           std::uint32_t height, std::span<const std::uint16_t> grey) {
    auto checked = check_sides(width, height);
    if (checked && grey.size() != std::size_t{width} * height) {
        checked = make_error(Status::kInvalidArgument, "{} values for {} x {} pixels", grey.size(),
                             width, height);
    }
    if (!checked) return about(path, kCannotWrite, checked.error());
    const auto format = format_to_write(path);
    if (!format) return format.error();
    if (*format != PictureFormat::kPng) {
        return make_error(Status::kInvalidArgument, "{}: data are written as .png only",
                          path.string());
    }
    const auto bytes = encode_png16(width, height, grey);
    if (!bytes) return about(path, kCannotWrite, bytes.error());
    return write_file(path, *bytes);
}

Result<void> check_image_target(const std::filesystem::path &path, std::uint64_t width,
                                std::uint64_t height) {
    const auto format = format_to_write(path);
    if (!format) return format.error();
    if (auto target = check_target(path); !target || width == 0) return target;
    auto checked = check_sides(width, height);
    if (checked && *format == PictureFormat::kWebp && std::max(width, height) > kMaxWebpSide) {
        checked =
            make_error(Status::kInvalidArgument, "{} x {} pixels; a WebP has sides of at most {}",
                       width, height, kMaxWebpSide);
    }
    if (!checked) return about(path, kCannotWrite, checked.error());
    return {};
}

} // namespace tessera
