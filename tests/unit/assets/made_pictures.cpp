#include "tests/unit/assets/made_pictures.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include <jpeglib.h>
#include <lcms2.h>
#include <png.h>

namespace tessera::test {
namespace {

void append(png_structp png, png_bytep data, std::size_t size) {
    static_cast<std::string *>(png_get_io_ptr(png))
        ->append(reinterpret_cast<const char *>(data), size);
}
void flush(png_structp /*png*/) {}

std::string bytes_of(cmsHPROFILE profile) {
    cmsUInt32Number size = 0;
    cmsSaveProfileToMem(profile, nullptr, &size);
    std::string bytes(size, '\0');
    cmsSaveProfileToMem(profile, bytes.data(), &size);
    cmsCloseProfile(profile);
    return bytes;
}

void add_colours(png_structp png, png_infop info, const PngSpec &spec) {
    if (spec.gamma) png_set_gAMA(png, info, *spec.gamma);
    if (spec.chromaticities.size() == 8) {
        const auto &c = spec.chromaticities;
        png_set_cHRM(png, info, c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]);
    }
    if (spec.srgb) png_set_sRGB(png, info, PNG_sRGB_INTENT_PERCEPTUAL);
    if (!spec.profile.empty()) {
        png_set_iCCP(png, info, "profile", PNG_COMPRESSION_TYPE_BASE,
                     reinterpret_cast<png_const_bytep>(spec.profile.data()),
                     static_cast<png_uint_32>(spec.profile.size()));
    }
}

void add_palette(png_structp png, png_infop info, const PngSpec &spec) {
    std::vector<png_color> colours;
    for (std::size_t i = 0; i + 2 < spec.palette.size(); i += 3) {
        colours.push_back({spec.palette[i], spec.palette[i + 1], spec.palette[i + 2]});
    }
    if (!colours.empty()) png_set_PLTE(png, info, colours.data(), static_cast<int>(colours.size()));
    if (!spec.palette_alpha.empty()) {
        png_set_tRNS(png, info, spec.palette_alpha.data(),
                     static_cast<int>(spec.palette_alpha.size()), nullptr);
    }
    if (spec.transparent_grey) {
        png_color_16 colour{};
        colour.gray = *spec.transparent_grey;
        png_set_tRNS(png, info, nullptr, 0, &colour);
    }
}

} // namespace

std::string make_png(const PngSpec &spec) {
    std::string bytes;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(png, &bytes, append, flush);
    png_set_IHDR(png, info, spec.width, spec.height, spec.bits, spec.colour_type,
                 spec.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    add_colours(png, info, spec);
    add_palette(png, info, spec);
    std::string exif = spec.exif;
    if (!exif.empty()) {
        png_set_eXIf_1(png, info, static_cast<png_uint_32>(exif.size()),
                       reinterpret_cast<png_bytep>(exif.data()));
    }
    png_write_info(png, info);
    if (!spec.coded_colours.empty()) {
        png_write_chunk(png, reinterpret_cast<png_const_bytep>("cICP"), spec.coded_colours.data(),
                        spec.coded_colours.size());
    }
    if (spec.animation > 0) {
        const std::array<png_byte, 8> control{0, 0, 0, static_cast<png_byte>(spec.animation)};
        png_write_chunk(png, reinterpret_cast<png_const_bytep>("acTL"), control.data(),
                        control.size());
    }
    std::vector<std::uint8_t> rows = spec.rows;
    const std::size_t row_bytes = rows.size() / spec.height;
    std::vector<png_bytep> pointers;
    for (std::uint32_t y = 0; y < spec.height; ++y) pointers.push_back(rows.data() + y * row_bytes);
    png_write_image(png, pointers.data());
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return bytes;
}

std::string make_jpeg(const JpegSpec &spec) {
    jpeg_compress_struct codec{};
    jpeg_error_mgr errors{};
    codec.err = jpeg_std_error(&errors);
    jpeg_create_compress(&codec);
    unsigned char *data = nullptr;
    unsigned long size = 0;
    jpeg_mem_dest(&codec, &data, &size);
    codec.image_width = spec.width;
    codec.image_height = spec.height;
    codec.input_components = spec.channels;
    codec.in_color_space = spec.channels == 1   ? JCS_GRAYSCALE
                           : spec.channels == 3 ? JCS_RGB
                                                : JCS_CMYK;
    jpeg_set_defaults(&codec);
    jpeg_set_quality(&codec, 95, TRUE);
    if (spec.progressive) jpeg_simple_progression(&codec);
    std::array<jpeg_scan_info, 4> scans{};
    if (spec.separate_scans) {
        for (int c = 0; c < codec.num_components; ++c) scans[c] = {1, {c, 0, 0, 0}, 0, 63, 0, 0};
        codec.scan_info = scans.data();
        codec.num_scans = codec.num_components;
    }
    jpeg_start_compress(&codec, TRUE);
    if (!spec.exif.empty()) {
        const std::string marker = std::string("Exif\0\0", 6) + spec.exif;
        jpeg_write_marker(&codec, JPEG_APP0 + 1, reinterpret_cast<const JOCTET *>(marker.data()),
                          static_cast<unsigned>(marker.size()));
    }
    if (!spec.profile.empty()) {
        jpeg_write_icc_profile(&codec, reinterpret_cast<const JOCTET *>(spec.profile.data()),
                               static_cast<unsigned>(spec.profile.size()));
    }
    std::vector<std::uint8_t> pixels = spec.pixels;
    const std::size_t row_bytes = std::size_t{spec.width} * static_cast<std::size_t>(spec.channels);
    while (codec.next_scanline < spec.height) {
        JSAMPROW row = pixels.data() + codec.next_scanline * row_bytes;
        jpeg_write_scanlines(&codec, &row, 1);
    }
    jpeg_finish_compress(&codec);
    jpeg_destroy_compress(&codec);
    std::string bytes(reinterpret_cast<const char *>(data), size);
    std::free(data);
    return bytes;
}

std::string make_exif(int orientation, bool big_endian) {
    const char value = static_cast<char>(orientation);
    if (big_endian) {
        return std::string("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 19) + value +
               std::string(6, '\0');
    }
    return std::string("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 18) + value +
           std::string(7, '\0');
}

std::string srgb_profile() { return bytes_of(cmsCreate_sRGBProfile()); }

std::string linear_profile() {
    const cmsCIExyY white{0.3127, 0.3290, 1};
    const cmsCIExyYTRIPLE primaries{{0.64, 0.33, 1}, {0.30, 0.60, 1}, {0.15, 0.06, 1}};
    cmsToneCurve *const line = cmsBuildGamma(nullptr, 1);
    const std::array<cmsToneCurve *, 3> curves{line, line, line};
    std::string bytes = bytes_of(cmsCreateRGBProfile(&white, &primaries, curves.data()));
    cmsFreeToneCurve(line);
    return bytes;
}

std::string grey_linear_profile() {
    cmsToneCurve *const line = cmsBuildGamma(nullptr, 1);
    std::string bytes = bytes_of(cmsCreateGrayProfile(cmsD50_xyY(), line));
    cmsFreeToneCurve(line);
    return bytes;
}

int encoded(double light) {
    const double value =
        light <= 0.0031308 ? light * 12.92 : 1.055 * std::pow(light, 1 / 2.4) - 0.055;
    return static_cast<int>(std::lround(value * 255));
}

} // namespace tessera::test
