#include "assets/contact_sheet.hpp"

#include <algorithm>
#include <cstring>

namespace tessera {

SheetSize contact_sheet_size(std::uint64_t count, std::uint32_t columns, std::uint64_t cell_width,
                             std::uint64_t cell_height, std::uint32_t gap) {
    const std::uint64_t across = std::min<std::uint64_t>(columns, count);
    if (across == 0) return {};
    const std::uint64_t down = (count + across - 1) / across;
    return {across * (cell_width + gap) - gap, down * (cell_height + gap) - gap};
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
    const auto [width, height] =
        contact_sheet_size(images.size(), columns, cell_width, cell_height, gap);
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
        const std::size_t left = i % columns * (cell_width + gap);
        const std::size_t top = i / columns * (cell_height + gap);
        const std::size_t row_bytes = image.width * channels;
        for (std::size_t row = 0; row < image.height; ++row) {
            std::memcpy(sheet.pixels.data() + ((top + row) * width + left) * channels,
                        image.pixels.data() + row * row_bytes, row_bytes);
        }
    }
    return sheet;
}

} // namespace tessera
