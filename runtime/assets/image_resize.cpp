#include "assets/image_resize.hpp"

#include <algorithm>

#include <stb/stb_image_resize.h>

namespace tessera {
namespace {

Result<void> check(const Image &image, std::uint32_t channels, std::uint32_t width,
                   std::uint32_t height) {
    const bool has_pixels =
        image.channels == channels && image.width > 0 && image.height > 0 &&
        image.pixels.size() == std::size_t{image.width} * image.height * channels;
    if (has_pixels && width > 0 && height > 0 && width <= kMaxImageSide &&
        height <= kMaxImageSide) {
        return {};
    }
    return make_error(
        Status::kInvalidArgument,
        "picture of {} x {} with {} channels for {} x {} pixels; expected {} channels "
        "and sizes from 1 to {}",
        image.width, image.height, image.channels, width, height, channels, kMaxImageSide);
}

// The part of the source, in fractions of its sides.
struct Part {
    double left = 0;
    double top = 0;
    double right = 1;
    double bottom = 1;
};

// Areas where that reduces, straight lines between pixels where it enlarges.
Result<Image> resize(const Image &image, const Part &part, std::uint32_t width,
                     std::uint32_t height, stbir_colorspace space) {
    Image out{width, height, image.channels, {}};
    out.pixels.resize(std::size_t{width} * height * image.channels);
    const auto filter = [](double source, std::uint32_t target) {
        return source > target ? STBIR_FILTER_BOX : STBIR_FILTER_TRIANGLE;
    };
    const int channels = static_cast<int>(image.channels);
    const int done = stbir_resize_region(
        image.pixels.data(), static_cast<int>(image.width), static_cast<int>(image.height), 0,
        out.pixels.data(), static_cast<int>(width), static_cast<int>(height), 0, STBIR_TYPE_UINT8,
        channels, channels == 4 ? 3 : STBIR_ALPHA_CHANNEL_NONE, 0, STBIR_EDGE_CLAMP,
        STBIR_EDGE_CLAMP, filter((part.right - part.left) * image.width, width),
        filter((part.bottom - part.top) * image.height, height), space, nullptr,
        static_cast<float>(part.left), static_cast<float>(part.top), static_cast<float>(part.right),
        static_cast<float>(part.bottom));
    if (done == 0) {
        return make_error(Status::kOutOfMemory, "no memory to make {} x {} pixels of {} x {}",
                          width, height, image.width, image.height);
    }
    return out;
}

} // namespace

Result<Image> fit_image(const Image &image, std::uint32_t width, std::uint32_t height) {
    if (auto checked = check(image, 4, width, height); !checked) return checked.error();
    if (image.width == width && image.height == height) return image;
    const double scale = std::min(static_cast<double>(image.width) / width,
                                  static_cast<double>(image.height) / height);
    const double across = scale * width / image.width;
    const double down = scale * height / image.height;
    return resize(image, {(1 - across) / 2, (1 - down) / 2, (1 + across) / 2, (1 + down) / 2},
                  width, height, STBIR_COLORSPACE_SRGB);
}

Result<Image> resize_mask(const Image &mask, std::uint32_t width, std::uint32_t height) {
    if (auto checked = check(mask, 1, width, height); !checked) return checked.error();
    auto resized = resize(mask, {}, width, height, STBIR_COLORSPACE_LINEAR);
    if (!resized) return resized.error();
    for (std::uint8_t &value : resized->pixels) value = value >= 128 ? 255 : 0;
    return resized;
}

bool lay_over_black(Image &rgba) {
    bool changed = false;
    for (std::size_t i = 0; rgba.channels == 4 && i + 3 < rgba.pixels.size(); i += 4) {
        std::uint8_t *const pixel = rgba.pixels.data() + i;
        if (pixel[3] == 255) continue;
        for (int c = 0; c < 3; ++c) {
            pixel[c] = static_cast<std::uint8_t>((pixel[c] * pixel[3] + 127) / 255);
        }
        pixel[3] = 255;
        changed = true;
    }
    return changed;
}

} // namespace tessera
