#include "assets/file_kind.hpp"

#include <algorithm>
#include <cctype>
#include <string_view>

#include <fmt/format.h>

namespace tessera {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::size_t kHead = 4096; // bytes that are looked at

constexpr std::string_view kConvert =
    "convert it first: python -m tessera_training convert FILE generator.safetensors";

struct Magic {
    std::size_t offset;
    std::string_view bytes;
    std::string_view text;
};

constexpr Magic kMagics[] = {
    {0, "version https://git-lfs.github.com/spec/"sv,
     "a Git LFS pointer to the file; fetch it with `git lfs pull`"},
    {0, "GGUF"sv, "a GGUF file (quantised, for llama.cpp and relatives); get the original weights"},
    {0, "lmgg"sv, "a GGML file (quantised, for llama.cpp and relatives); get the original weights"},
    {0, "tjgg"sv, "a GGML file (quantised, for llama.cpp and relatives); get the original weights"},
    {0, "\x89HDF\r\n\x1a\n"sv, "an HDF5 file (Keras); get the PyTorch or safetensors weights"},
    {0, "\x93NUMPY"sv, "a NumPy array"},
    {4, "TFL3"sv, "a TensorFlow Lite model; get the PyTorch or safetensors weights"},
    {0, "\x1f\x8b"sv, "compressed with gzip; unpack it first (gunzip)"},
    {0, "BZh"sv, "compressed with bzip2; unpack it first (bunzip2)"},
    {0,
     "\xfd"
     "7zXZ\0"sv,
     "compressed with xz; unpack it first (unxz)"},
    {0, "\x28\xb5\x2f\xfd"sv, "compressed with zstd; unpack it first (unzstd)"},
    {0, "\x04\x22\x4d\x18"sv, "compressed with lz4; unpack it first (unlz4)"},
    {0, "7z\xbc\xaf\x27\x1c"sv, "a 7z archive; unpack it first"},
    {0, "Rar!"sv, "a RAR archive; unpack it first"},
    {257, "ustar"sv, "a tar archive; unpack it first"},
    {0, "\x89PNG"sv, "a PNG picture"},
    {0, "\xff\xd8\xff"sv, "a JPEG picture"},
    {0, "GIF8"sv, "a GIF picture"},
    {8, "WEBP"sv, "a WebP picture"},
    {0, "II*\0"sv, "a TIFF picture"},
    {0, "MM\0*"sv, "a TIFF picture"},
    {0, "8BPS"sv, "a Photoshop picture"},
    {0, "DDS "sv, "a DDS texture"},
    {1, "KTX "sv, "a KTX texture"},
    {0, "v/1\x01"sv, "an OpenEXR picture"},
    {0, "#?RADIANCE"sv, "a Radiance HDR picture"},
    {4, "ftyp"sv, "a film or picture (MP4, HEIC or AVIF)"},
    {0, "glTF"sv, "a 3D scene (glTF)"},
    {0, "%PDF"sv, "a PDF document"},
    {0, "SQLite format 3"sv, "a SQLite database"},
    {0,
     "\x7f"
     "ELF"sv,
     "a program or library (ELF)"},
    {0, "\xff\xfe"sv, "a text in UTF-16"},
    {0, "\xfe\xff"sv, "a text in UTF-16"},
};

bool contains(std::string_view head, std::string_view part) {
    return head.find(part) != std::string_view::npos;
}

std::string describe_zip(std::string_view whole_head, std::span<const std::byte> file) {
    // The names are in the directory at the end, and the first one at the beginning.
    const std::size_t tail = std::min<std::size_t>(file.size(), 65536);
    const std::string_view end(reinterpret_cast<const char *>(file.data()) + file.size() - tail,
                               tail);
    const std::string_view head = whole_head.substr(0, 512);
    if (contains(head, "data.pkl") || contains(end, "/data.pkl")) {
        return fmt::format("a PyTorch checkpoint (zip); {}", kConvert);
    }
    if (contains(head, ".npy")) return "a NumPy archive";
    if (contains(end, "saved_model.pb")) return "a zipped TensorFlow model";
    if (contains(head, "[Content_Types].xml")) return "an office document";
    if (!contains(end, "PK\5\6"))
        return "the beginning of a zip archive, cut off; download it again";
    return "a zip archive; unpack it first";
}

// The fields of a model as protobuf writes them: ir_version, then producer_name.
bool is_onnx(std::string_view head) {
    return head.size() > 8 && head[0] == 0x08 && head[1] > 0 && head[1] < 32 &&
           (head[2] == 0x12 || head[2] == 0x1a || head[2] == 0x3a || head[2] == 0x42);
}

std::string lower(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

bool is_text(std::string_view head) {
    return std::all_of(head.begin(), head.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte >= 0x80 || (byte >= 0x20 && byte != 0x7f) || (byte >= 8 && byte <= 13) ||
               byte == 0x1b;
    });
}

// Bytes from 0x80 have to be parts of UTF-8; the last character may be cut off.
bool is_utf8(std::string_view text) {
    std::size_t i = 0;
    while (i < text.size()) {
        const auto lead = static_cast<unsigned char>(text[i]);
        const std::size_t length = lead < 0x80             ? 1
                                   : (lead & 0xe0) == 0xc0 ? 2
                                   : (lead & 0xf0) == 0xe0 ? 3
                                   : (lead & 0xf8) == 0xf0 ? 4
                                                           : 0;
        if (length == 0) return false;
        for (std::size_t k = 1; k < length && i + k < text.size(); ++k) {
            if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return false;
        }
        i += length;
    }
    return true;
}

std::string describe_text(std::string_view head) {
    constexpr std::string_view kBlank = " \t\r\n\xef\xbb\xbf";
    const std::size_t start = head.find_first_not_of(kBlank);
    if (start == std::string_view::npos) return "a text without anything in it";
    const std::string_view text = head.substr(start);
    const std::string beginning = lower(text.substr(0, 64));
    for (const std::string_view tag : {"<!doctype html", "<html", "<head", "<body"}) {
        if (beginning.starts_with(tag)) {
            return "a web page, probably an error message in place of a download; open it in a "
                   "text editor";
        }
    }
    if (beginning.starts_with("<?xml") || beginning.starts_with("<error")) {
        return "XML, perhaps an error message in place of a download; open it in a text editor";
    }
    if (text[0] == '{' || text[0] == '[') {
        if (contains(head, "\"weight_map\"")) {
            return "an index of shards that cannot be read";
        }
        if (contains(head, "tessera-preset/")) {
            return "a preset; give it with --preset";
        }
        return "JSON; expected the file of weights that belongs to it";
    }
    const std::string_view line = text.substr(0, std::min<std::size_t>(text.find('\n'), 40));
    return fmt::format("a text that begins with '{}'", line);
}

} // namespace

std::string describe_kind(std::span<const std::byte> file) {
    if (file.empty()) return "empty; was its download interrupted?";
    const std::string_view head(reinterpret_cast<const char *>(file.data()),
                                std::min(file.size(), kHead));
    if (head.starts_with("PK\3\4") || head.starts_with("PK\5\6")) return describe_zip(head, file);
    for (const Magic &magic : kMagics) {
        if (head.size() >= magic.offset && head.substr(magic.offset).starts_with(magic.bytes)) {
            return std::string(magic.text);
        }
    }
    if (head.size() > 1 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5) {
        return fmt::format("a Python pickle, perhaps an old PyTorch checkpoint; {}", kConvert);
    }
    if (is_onnx(head)) return "an ONNX model; get the PyTorch or safetensors weights";
    if (file.size() >= 16 && std::all_of(head.begin(), head.end(), [](char c) { return c == 0; })) {
        return "zeros at its beginning, as an interrupted download leaves it; download it again";
    }
    if (is_text(head) && is_utf8(head)) return describe_text(head);
    return {};
}

} // namespace tessera
