#include "assets/image_file.hpp"

#include "assets/image/jpeg.hpp"
#include "assets/mapped_file.hpp"
#include "assets/output_file.hpp"

#include <png.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

namespace tessera {
namespace {

constexpr std::uint64_t kMaxPixels = std::uint64_t{1} << 26; // of a picture to read
constexpr std::array<std::uint8_t, 8> kPngStart = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr std::array<std::uint8_t, 3> kJpegStart = {0xff, 0xd8, 0xff};

// libpng's own handle; freed whatever happens.
struct PngImage {
    png_image image{};

    PngImage() { image.version = PNG_IMAGE_VERSION; }
    ~PngImage() { png_image_free(&image); }
    PngImage(const PngImage &) = delete;
    PngImage &operator=(const PngImage &) = delete;
};

template <std::size_t N>
bool begins_with(std::span<const std::byte> bytes, const std::array<std::uint8_t, N> &start) {
    return bytes.size() >= N && std::memcmp(bytes.data(), start.data(), N) == 0;
}

png_uint_32 png_format(std::uint32_t channels) {
    if (channels == 1) return PNG_FORMAT_GRAY;
    return channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_RGBA;
}

Result<void> check_size(std::uint64_t width, std::uint64_t height) {
    if (width == 0 || height == 0 || width > kMaxImageSide || height > kMaxImageSide ||
        width * height > kMaxPixels) {
        return make_error(Status::kInvalidArgument,
                          "{} x {} pixels; expected sides of 1 to {} and at most {} pixels", width,
                          height, kMaxImageSide, kMaxPixels);
    }
    return {};
}

Result<Image> read_png(std::span<const std::byte> bytes, std::uint32_t channels) {
    PngImage png;
    if (png_image_begin_read_from_memory(&png.image, bytes.data(), bytes.size()) == 0) {
        return make_error(Status::kInvalidArgument, "not a readable PNG: {}", png.image.message);
    }
    if (auto size = check_size(png.image.width, png.image.height); !size) return size.error();
    png.image.format = png_format(channels);
    Image image{png.image.width, png.image.height, channels, {}};
    image.pixels.resize(std::size_t{image.width} * image.height * channels);
    const png_color background{}; // transparent parts become black where alpha is not wanted
    if (png_image_finish_read(&png.image, &background, image.pixels.data(), 0, nullptr) == 0) {
        return make_error(Status::kInvalidArgument, "not a readable PNG: {}", png.image.message);
    }
    return image;
}

Result<Image> read_jpeg(std::span<const std::byte> bytes, std::uint32_t channels) {
    auto size = read_jpeg_size(bytes);
    if (!size) return size.error();
    if (auto checked = check_size(size->width, size->height); !checked) return checked.error();
    return decode_jpeg(bytes, channels);
}

Result<Image> decode(std::span<const std::byte> bytes, std::uint32_t channels) {
    if (begins_with(bytes, kPngStart)) return read_png(bytes, channels);
    if (begins_with(bytes, kJpegStart)) return read_jpeg(bytes, channels);
    return make_error(Status::kInvalidArgument, "neither a PNG nor a JPEG");
}

Result<void> check_image(const Image &image) {
    const bool has_channels = image.channels == 1 || image.channels == 3 || image.channels == 4;
    const std::size_t expected = std::size_t{image.width} * image.height * image.channels;
    if (!has_channels || image.width == 0 || image.height == 0 || image.width > kMaxImageSide ||
        image.height > kMaxImageSide || image.pixels.size() != expected) {
        return make_error(Status::kInvalidArgument,
                          "image of {} x {} pixels, {} channels, {} bytes; expected sides of 1 to "
                          "{}, 1, 3 or 4 channels, and as many bytes as that makes",
                          image.width, image.height, image.channels, image.pixels.size(),
                          kMaxImageSide);
    }
    return {};
}

} // namespace

Result<Image> read_image(const std::filesystem::path &path, std::uint32_t channels) {
    if (channels != 1 && channels != 3 && channels != 4) {
        return make_error(Status::kInvalidArgument, "{}: {} channels wanted; expected 1, 3 or 4",
                          path.string(), channels);
    }
    auto file = MappedFile::open(path);
    if (!file) return file.error();
    auto image = decode(file->bytes(), channels);
    if (!image) {
        return make_error(image.error().status, "{}: {}", path.string(), image.error().message);
    }
    return image;
}

namespace {

// `pixels` as libpng's format of `png` says.
Result<void> write_pixels(const std::filesystem::path &path, PngImage &png, const void *pixels) {
    std::vector<std::byte> bytes(PNG_IMAGE_PNG_SIZE_MAX(png.image));
    png_alloc_size_t size = bytes.size();
    if (png_image_write_to_memory(&png.image, bytes.data(), &size, 0, pixels, 0, nullptr) == 0) {
        return make_error(Status::kFailed, "{}: cannot make a PNG: {}", path.string(),
                          png.image.message);
    }
    return write_file(path, std::span<const std::byte>(bytes).first(size));
}

} // namespace

Result<void> write_png(const std::filesystem::path &path, const Image &image) {
    if (auto checked = check_image(image); !checked) {
        return make_error(checked.error().status, "{}: cannot write: {}", path.string(),
                          checked.error().message);
    }
    PngImage png;
    png.image.width = image.width;
    png.image.height = image.height;
    png.image.format = png_format(image.channels);
    return write_pixels(path, png, image.pixels.data());
}

Result<void> write_png16(const std::filesystem::path &path, std::uint32_t width,
                         std::uint32_t height, std::span<const std::uint16_t> gray) {
    if (width == 0 || height == 0 || width > kMaxImageSide || height > kMaxImageSide ||
        gray.size() != std::size_t{width} * height) {
        return make_error(Status::kInvalidArgument,
                          "{}: cannot write: {} values for {} x {} pixels; expected sides of 1 to "
                          "{} and a value each",
                          path.string(), gray.size(), width, height, kMaxImageSide);
    }
    PngImage png;
    png.image.width = width;
    png.image.height = height;
    // libpng takes 16 bits for linear light and writes the values as they are.
    png.image.format = PNG_FORMAT_LINEAR_Y;
    return write_pixels(path, png, gray.data());
}

Result<Image> contact_sheet(std::span<const Image> images, std::uint32_t columns,
                            std::uint32_t gap) {
    if (images.empty() || columns == 0) {
        return make_error(Status::kInvalidArgument,
                          "contact sheet of {} images in {} columns; expected at least 1 of each",
                          images.size(), columns);
    }
    std::uint64_t cell_width = 0;
    std::uint64_t cell_height = 0;
    for (const Image &image : images) {
        if (auto checked = check_image(image); !checked) return checked.error();
        if (image.channels != images[0].channels) {
            return make_error(Status::kInvalidArgument,
                              "contact sheet of images with {} and {} channels; expected equal",
                              images[0].channels, image.channels);
        }
        cell_width = std::max<std::uint64_t>(cell_width, image.width);
        cell_height = std::max<std::uint64_t>(cell_height, image.height);
    }
    const std::uint64_t across = std::min<std::uint64_t>(columns, images.size());
    const std::uint64_t down = (images.size() + across - 1) / across;
    const std::uint64_t width = across * (cell_width + gap) - gap;
    const std::uint64_t height = down * (cell_height + gap) - gap;
    if (width > kMaxImageSide || height > kMaxImageSide) {
        return make_error(Status::kInvalidArgument,
                          "contact sheet of {} x {} pixels; expected sides of at most {}", width,
                          height, kMaxImageSide);
    }
    const std::size_t channels = images[0].channels;
    Image sheet{static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(height),
                images[0].channels, std::vector<std::uint8_t>(width * height * channels, 255)};
    for (std::size_t i = 0; i < images.size(); ++i) {
        const Image &image = images[i];
        const std::size_t left = i % across * (cell_width + gap);
        const std::size_t top = i / across * (cell_height + gap);
        const std::size_t row_bytes = image.width * channels;
        for (std::size_t row = 0; row < image.height; ++row) {
            std::memcpy(sheet.pixels.data() + ((top + row) * width + left) * channels,
                        image.pixels.data() + row * row_bytes, row_bytes);
        }
    }
    return sheet;
}

} // namespace tessera
