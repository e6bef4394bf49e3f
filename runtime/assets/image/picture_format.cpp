#include "assets/image/picture_format.hpp"

#include "assets/image/png.hpp"
#include "assets/mapped_file.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string_view>
#include <system_error>

namespace tessera {
namespace {

namespace fs = std::filesystem;

struct Suffix {
    std::string_view text;
    std::optional<PictureFormat> format; // nothing: not written
};
constexpr std::array kSuffixes{
    Suffix{".png", PictureFormat::kPng},   Suffix{".jpg", PictureFormat::kJpeg},
    Suffix{".jpeg", PictureFormat::kJpeg}, Suffix{".jpe", PictureFormat::kJpeg},
    Suffix{".jfif", PictureFormat::kJpeg}, Suffix{".webp", PictureFormat::kWebp},
    Suffix{".apng", std::nullopt},         Suffix{".avif", std::nullopt},
    Suffix{".bmp", std::nullopt},          Suffix{".dds", std::nullopt},
    Suffix{".dib", std::nullopt},          Suffix{".exr", std::nullopt},
    Suffix{".gif", std::nullopt},          Suffix{".hdr", std::nullopt},
    Suffix{".heic", std::nullopt},         Suffix{".heif", std::nullopt},
    Suffix{".ico", std::nullopt},          Suffix{".j2k", std::nullopt},
    Suffix{".jp2", std::nullopt},          Suffix{".jxl", std::nullopt},
    Suffix{".ktx", std::nullopt},          Suffix{".ktx2", std::nullopt},
    Suffix{".mp4", std::nullopt},          Suffix{".pam", std::nullopt},
    Suffix{".pbm", std::nullopt},          Suffix{".pcx", std::nullopt},
    Suffix{".pdf", std::nullopt},          Suffix{".pgm", std::nullopt},
    Suffix{".pnm", std::nullopt},          Suffix{".ppm", std::nullopt},
    Suffix{".psd", std::nullopt},          Suffix{".qoi", std::nullopt},
    Suffix{".raw", std::nullopt},          Suffix{".svg", std::nullopt},
    Suffix{".tga", std::nullopt},          Suffix{".tif", std::nullopt},
    Suffix{".tiff", std::nullopt},         Suffix{".xcf", std::nullopt},
};
constexpr std::string_view kWritable = ".png, .jpg, .jpeg or .webp";

std::string lower(std::string text) {
    for (char &c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

const Suffix *suffix_of(const fs::path &path) {
    const std::string text = lower(path.extension().string());
    const auto *const found =
        std::find_if(kSuffixes.begin(), kSuffixes.end(),
                     [&](const Suffix &suffix) { return suffix.text == text; });
    return found != kSuffixes.end() ? found : nullptr;
}

// A file that something else than a picture is in would be lost.
bool holds_something_else(const fs::path &path) {
    std::error_code code;
    if (!fs::is_regular_file(path, code) || fs::file_size(path, code) == 0) return false;
    const auto file = MappedFile::open(path);
    return file && !is_png(file->bytes());
}

// ---- bytes --------------------------------------------------------------------------------------

constexpr std::string_view kSaveAgain = "save it again as a PNG or a JPEG";

struct Start {
    std::size_t offset;
    std::string_view bytes;
    std::string_view what;
    std::string_view advice = kSaveAgain;
};
using namespace std::string_view_literals;
constexpr std::array kStarts{
    Start{0, "GIF8"sv, "a GIF"},
    Start{0, "II*\0"sv, "a TIFF, or a camera's raw picture"},
    Start{0, "MM\0*"sv, "a TIFF, or a camera's raw picture"},
    Start{0, "II+\0"sv, "a BigTIFF"},
    Start{0, "MM\0+"sv, "a BigTIFF"},
    Start{4, "ftypavif"sv, "an AVIF picture"},
    Start{4, "ftypavis"sv, "an animated AVIF"},
    Start{4, "ftyphei"sv, "a HEIC picture, as phones take them"},
    Start{4, "ftyphev"sv, "a HEIC picture, as phones take them"},
    Start{4, "ftypmif1"sv, "a HEIF picture"},
    Start{4, "ftypmsf1"sv, "a HEIF picture"},
    Start{4, "ftypcrx"sv, "a camera's raw picture"},
    Start{4, "ftyp"sv, "a video (MP4 or MOV)"},
    Start{0, "\0\0\0\x0cJXL "sv, "a JPEG XL picture"},
    Start{0, "\xff\x0a"sv, "a JPEG XL picture"},
    Start{0, "\0\0\0\x0cjP  "sv, "a JPEG 2000 picture"},
    Start{0, "\xff\x4f\xff\x51"sv, "a JPEG 2000 picture"},
    Start{0, "8BPS"sv, "a Photoshop document"},
    Start{0, "gimp xcf"sv, "a GIMP document"},
    Start{0, "\x76\x2f\x31\x01"sv, "an OpenEXR picture"},
    Start{0, "#?RADIANCE"sv, "a Radiance HDR picture"},
    Start{0, "#?RGBE"sv, "a Radiance HDR picture"},
    Start{0, "DDS "sv, "a DDS texture"},
    Start{0, "\xabKTX "sv, "a KTX texture"},
    Start{0, "qoif"sv, "a QOI picture"},
    Start{0, "farbfeld"sv, "a farbfeld picture"},
    Start{0, "\0\0\x01\0"sv, "an icon (ICO)"},
    Start{0, "%PDF"sv, "a PDF"},
    Start{0, "<svg"sv, "an SVG drawing"},
    Start{0, "PK\x03\x04"sv, "a ZIP archive", "unpack it"},
    Start{0, "\x1f\x8b"sv, "compressed with gzip", "unpack it"},
    Start{0, "version https://git-lfs"sv, "a Git LFS pointer in the picture's place",
          "fetch the picture with 'git lfs pull'"},
    Start{0, "<!DOCTYPE html"sv, "a web page", "download the picture itself"},
    Start{0, "<!doctype html"sv, "a web page", "download the picture itself"},
    Start{0, "<html"sv, "a web page", "download the picture itself"},
    Start{0, "\x89PNG"sv, "a PNG that was copied as if it were text", "copy it again, as binary"},
    Start{0, "\xff\xd8"sv, "a JPEG that breaks off at its start", "copy it again"},
};

// Formats whose start is too short to be sure without a second look.
std::string_view describe_loosely(std::string_view text) {
    if (text.size() > 14 && text.starts_with("BM") && text.substr(6, 4) == "\0\0\0\0"sv) {
        return "a BMP";
    }
    if (text.size() > 2 && text[0] == 'P' && text[1] >= '1' && text[1] <= '7' &&
        std::isspace(static_cast<unsigned char>(text[2])) != 0) {
        return "a PNM picture (PBM, PGM, PPM or PAM)";
    }
    if (text.starts_with("<?xml") && text.find("<svg") != std::string_view::npos) {
        return "an SVG drawing";
    }
    return {};
}

} // namespace

bool names_picture(const fs::path &path) { return suffix_of(path) != nullptr; }

Result<PictureFormat> format_to_write(const fs::path &path) {
    const auto fail = [&](std::string_view why) {
        return make_error(Status::kInvalidArgument,
                          "{}: {}; pictures are written to names that end in {}", path.string(),
                          why, kWritable);
    };
    std::error_code code;
    const auto kind = fs::status(path, code).type();
    const bool is_file = kind == fs::file_type::regular || kind == fs::file_type::not_found ||
                         kind == fs::file_type::directory || kind == fs::file_type::none;
    // /dev/stdout can lead to a file, of which nothing else than the name is known.
    if (!is_file || path.string().starts_with("/dev/")) return PictureFormat::kPng;
    if (const Suffix *const suffix = suffix_of(path)) {
        if (suffix->format) return *suffix->format;
        return fail("no picture of this format can be written");
    }
    if (kind == fs::file_type::regular) {
        if (!holds_something_else(path)) return PictureFormat::kPng;
        return fail("this file holds something else than a picture");
    }
    if (!path.has_extension()) return PictureFormat::kPng;
    return fail(fmt::format("'{}' is no picture's suffix", path.extension().string()));
}

std::string describe_foreign_bytes(std::span<const std::byte> bytes) {
    if (bytes.empty()) return "empty (0 bytes); expected a PNG, a JPEG or a WebP";
    const std::string_view text(reinterpret_cast<const char *>(bytes.data()),
                                std::min<std::size_t>(bytes.size(), 4096));
    for (const Start &start : kStarts) {
        if (text.size() < start.offset + start.bytes.size()) continue;
        if (text.substr(start.offset, start.bytes.size()) != start.bytes) continue;
        return fmt::format("{}; {}", start.what, start.advice);
    }
    if (const std::string_view what = describe_loosely(text); !what.empty()) {
        return fmt::format("{}; {}", what, kSaveAgain);
    }
    return "neither a PNG nor a JPEG nor a WebP";
}

} // namespace tessera
