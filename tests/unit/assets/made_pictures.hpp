// Pictures as other programs write them, made with the libraries that those use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tessera::test {

struct PngSpec {
    std::uint32_t width = 1;
    std::uint32_t height = 1;
    int bits = 8;
    int colour_type = 0; // PNG_COLOR_TYPE_*
    // Rows as the file holds them: packed below 8 bits, big-endian at 16.
    std::vector<std::uint8_t> rows = {};
    bool interlaced = false;
    std::optional<double> gamma = {};
    std::vector<double> chromaticities = {}; // 8: white, red, green, blue
    bool srgb = false;
    std::string profile = {};
    std::vector<std::uint8_t> palette = {};       // RGB of each entry
    std::vector<std::uint8_t> palette_alpha = {}; // of the first entries
    std::optional<std::uint16_t> transparent_grey = {};
    std::string exif = {};
    std::vector<std::uint8_t> coded_colours = {}; // the chunk cICP
    int animation = 0;                            // frames that the chunk acTL claims; 0: no chunk
};
[[nodiscard]] std::string make_png(const PngSpec &spec);

struct JpegSpec {
    std::uint32_t width = 8;
    std::uint32_t height = 8;
    int channels = 3; // 1 grey, 3 RGB, 4 CMYK as Adobe's programs write it
    std::vector<std::uint8_t> pixels = {};
    bool progressive = false;
    bool separate_scans = false; // of each component, and nothing else
    std::string profile = {};
    std::string exif = {};
};
[[nodiscard]] std::string make_jpeg(const JpegSpec &spec);

// EXIF data with the orientation tag, without "Exif\0\0".
[[nodiscard]] std::string make_exif(int orientation, bool big_endian);

// ICC profiles: sRGB's numbers under another name, and light as it is.
[[nodiscard]] std::string srgb_profile();
[[nodiscard]] std::string linear_profile();
[[nodiscard]] std::string grey_linear_profile();

// sRGB's encoding of light from 0 to 1, as a byte.
[[nodiscard]] int encoded(double light);

} // namespace tessera::test
