#include "assets/image/orientation.hpp"

#include <libexif/exif-data.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace tessera {
namespace {

constexpr std::string_view kPrefix("Exif\0\0", 6);
constexpr std::size_t kMaxExifBytes = 65000; // the tag is in front, thumbnails are behind

struct FreeExif {
    void operator()(ExifData *data) const { exif_data_unref(data); }
};

} // namespace

int exif_orientation(std::span<const std::byte> exif) {
    if (exif.empty()) return 1;
    exif = exif.first(std::min(exif.size(), kMaxExifBytes));
    const std::string_view text(reinterpret_cast<const char *>(exif.data()), exif.size());
    std::vector<unsigned char> bytes;
    if (!text.starts_with(kPrefix)) bytes.assign(kPrefix.begin(), kPrefix.end());
    bytes.insert(bytes.end(), text.begin(), text.end());
    const std::unique_ptr<ExifData, FreeExif> data(
        exif_data_new_from_data(bytes.data(), static_cast<unsigned>(bytes.size())));
    if (!data) return 1;
    const ExifEntry *const entry =
        exif_content_get_entry(data->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);
    if (entry == nullptr || entry->format != EXIF_FORMAT_SHORT || entry->size < 2) return 1;
    const int value = exif_get_short(entry->data, exif_data_get_byte_order(data.get()));
    return value >= 1 && value <= 8 ? value : 1;
}

Image upright(Image image, int orientation) {
    if (orientation <= 1 || orientation > 8) return image;
    const bool swaps = orientation >= 5; // rows of the file are columns of the picture
    // Whether columns and rows of the file are counted from their ends.
    const bool flips_x =
        orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool flips_y =
        orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    Image turned{
        swaps ? image.height : image.width, swaps ? image.width : image.height, image.channels, {}};
    turned.pixels.resize(image.pixels.size());
    const std::size_t size = image.channels;
    std::uint8_t *out = turned.pixels.data();
    for (std::size_t y = 0; y < turned.height; ++y) {
        for (std::size_t x = 0; x < turned.width; ++x, out += size) {
            std::size_t column = swaps ? y : x;
            std::size_t row = swaps ? x : y;
            if (flips_x) column = image.width - 1 - column;
            if (flips_y) row = image.height - 1 - row;
            std::memcpy(out, image.pixels.data() + (row * image.width + column) * size, size);
        }
    }
    return turned;
}

} // namespace tessera
