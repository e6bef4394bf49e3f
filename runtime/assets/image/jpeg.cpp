#include "assets/image/jpeg.hpp"

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include <jpeglib.h>

#include <jerror.h>

namespace tessera {
namespace {

constexpr int kQuality = 95;
constexpr int kExifMarker = JPEG_APP0 + 1;
constexpr int kProfileMarker = JPEG_APP0 + 2;
constexpr int kMaxScans = 500; // a progressive file has ten or so; each costs the whole picture

// libjpeg jumps out of its calls on an error: nothing that has a destructor may live in a function
// that calls it.
struct ErrorManager {
    jpeg_error_mgr base; // first, so that libjpeg's pointer to it is one to this
    std::jmp_buf jump;
    std::array<char, JMSG_LENGTH_MAX> message;
    bool is_damaged; // something of the picture itself is missing or wrong
    bool is_cut;     // the file ends before its end marker
};

ErrorManager &manager_of(j_common_ptr codec) {
    return *reinterpret_cast<ErrorManager *>(codec->err);
}

[[noreturn]] void on_error(j_common_ptr codec) {
    ErrorManager &manager = manager_of(codec);
    codec->err->format_message(codec, manager.message.data());
    std::longjmp(manager.jump, 1);
}

// Warnings about the picture are remembered; those about bytes round it are not.
void on_message(j_common_ptr codec, int level) {
    if (level >= 0) return;
    ErrorManager &manager = manager_of(codec);
    switch (codec->err->msg_code) {
    case JWRN_JPEG_EOF:
        manager.is_cut = true;
        return;
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_TOO_MUCH_DATA:
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_BOGUS_ICC:
        return;
    default:
        break;
    }
    if (!manager.is_damaged) codec->err->format_message(codec, manager.message.data());
    manager.is_damaged = true;
}

void set_up(ErrorManager &manager) {
    jpeg_std_error(&manager.base);
    manager.base.error_exit = on_error;
    manager.base.emit_message = on_message;
    manager.message.fill(0);
    manager.is_damaged = false;
    manager.is_cut = false;
}

// ---- reading ------------------------------------------------------------------------------------

// A small file can ask for any number of passes over a large picture.
void on_progress(j_common_ptr codec) {
    if (reinterpret_cast<j_decompress_ptr>(codec)->input_scan_number <= kMaxScans) return;
    ErrorManager &manager = manager_of(codec);
    std::snprintf(manager.message.data(), manager.message.size(), "more than %d scans", kMaxScans);
    std::longjmp(manager.jump, 1);
}

struct Reader {
    jpeg_decompress_struct codec{};
    ErrorManager errors{};
    jpeg_progress_mgr progress{};

    Reader() {
        set_up(errors);
        codec.err = &errors.base;
        progress.progress_monitor = on_progress;
    }
    ~Reader() { jpeg_destroy_decompress(&codec); }
    Reader(const Reader &) = delete;
    Reader &operator=(const Reader &) = delete;
};

bool read_header(Reader &reader, std::span<const std::byte> bytes) {
    if (setjmp(reader.errors.jump) != 0) return false;
    jpeg_create_decompress(&reader.codec);
    jpeg_mem_src(&reader.codec, reinterpret_cast<const unsigned char *>(bytes.data()),
                 static_cast<unsigned long>(bytes.size()));
    jpeg_save_markers(&reader.codec, kExifMarker, 0xffff);
    jpeg_save_markers(&reader.codec, kProfileMarker, 0xffff);
    jpeg_read_header(&reader.codec, TRUE);
    return true;
}

// (height, width, 4) into `out`.
bool read_rows(Reader &reader, std::uint8_t *out) {
    jpeg_decompress_struct &codec = reader.codec;
    if (setjmp(reader.errors.jump) != 0) return false;
    codec.dct_method = JDCT_ISLOW;
    codec.progress = &reader.progress;
    jpeg_start_decompress(&codec);
    while (codec.output_scanline < codec.output_height) {
        JSAMPROW row = out + std::size_t{codec.output_scanline} * codec.output_width * 4;
        jpeg_read_scanlines(&codec, &row, 1);
    }
    return true;
}

// A component of which no scan told anything; the decoder takes it as empty.
bool lacks_component(const jpeg_decompress_struct &codec) {
    return std::any_of(codec.comp_info, codec.comp_info + codec.num_components,
                       [](const jpeg_component_info &info) { return info.quant_table == nullptr; });
}

// A cut file is whole when its entropy-coded data were: the decoder asked for no more of them, and
// no later scan was to refine what is there.
bool lacks_refinement(const jpeg_decompress_struct &codec) {
    if (codec.progressive_mode == FALSE || codec.coef_bits == nullptr) return false;
    for (int c = 0; c < codec.num_components; ++c) {
        for (int i = 0; i < DCTSIZE2; ++i) {
            if (codec.coef_bits[c][i] != 0) return true;
        }
    }
    return false;
}

std::vector<std::byte> exif_of(const jpeg_decompress_struct &codec) {
    constexpr std::string_view kPrefix("Exif\0\0", 6);
    for (jpeg_saved_marker_ptr at = codec.marker_list; at != nullptr; at = at->next) {
        const auto *const bytes = reinterpret_cast<const std::byte *>(at->data);
        const std::string_view text(reinterpret_cast<const char *>(at->data), at->data_length);
        if (at->marker == kExifMarker && text.starts_with(kPrefix)) {
            return {bytes, bytes + at->data_length};
        }
    }
    return {};
}

bool read_profile(Reader &reader, JOCTET **bytes, unsigned &size) {
    if (setjmp(reader.errors.jump) != 0) return false;
    return jpeg_read_icc_profile(&reader.codec, bytes, &size) != FALSE;
}

std::vector<std::byte> profile_of(Reader &reader) {
    JOCTET *data = nullptr;
    unsigned size = 0;
    if (!read_profile(reader, &data, size)) return {};
    const auto *const bytes = reinterpret_cast<const std::byte *>(data);
    std::vector<std::byte> profile(bytes, bytes + size);
    std::free(data);
    return profile;
}

// What is to come out; empty when the colours are none that can be converted.
std::optional<RawPicture::Layout> choose_layout(jpeg_decompress_struct &codec) {
    switch (codec.jpeg_color_space) {
    case JCS_GRAYSCALE:
    case JCS_YCbCr:
    case JCS_RGB:
        codec.out_color_space = JCS_EXT_RGBA;
        return RawPicture::Layout::kRgba;
    case JCS_CMYK:
    case JCS_YCCK:
        codec.out_color_space = JCS_CMYK;
        return RawPicture::Layout::kCmyk;
    default:
        return std::nullopt;
    }
}

// ---- writing ------------------------------------------------------------------------------------

struct Writer {
    jpeg_compress_struct codec{};
    ErrorManager errors{};
    unsigned char *bytes = nullptr;
    unsigned long size = 0;

    Writer() {
        set_up(errors);
        codec.err = &errors.base;
    }
    ~Writer() {
        jpeg_destroy_compress(&codec);
        std::free(bytes);
    }
    Writer(const Writer &) = delete;
    Writer &operator=(const Writer &) = delete;
};

bool write_rows(Writer &writer, const Image &image) {
    jpeg_compress_struct &codec = writer.codec;
    if (setjmp(writer.errors.jump) != 0) return false;
    jpeg_create_compress(&codec);
    jpeg_mem_dest(&codec, &writer.bytes, &writer.size);
    codec.image_width = image.width;
    codec.image_height = image.height;
    codec.input_components = static_cast<int>(image.channels);
    codec.in_color_space = image.channels == 1   ? JCS_GRAYSCALE
                           : image.channels == 3 ? JCS_RGB
                                                 : JCS_EXT_RGBX;
    jpeg_set_defaults(&codec);
    jpeg_set_quality(&codec, kQuality, TRUE);
    for (int c = 0; c < codec.num_components; ++c) {
        codec.comp_info[c].h_samp_factor = codec.comp_info[c].v_samp_factor = 1;
    }
    codec.optimize_coding = TRUE;
    jpeg_start_compress(&codec, TRUE);
    while (codec.next_scanline <
           codec.image_height) { // libjpeg's rows have no const; it only reads
        JSAMPROW row = const_cast<JSAMPROW>(image.pixels.data()) +
                       std::size_t{codec.next_scanline} * image.width * image.channels;
        jpeg_write_scanlines(&codec, &row, 1);
    }
    jpeg_finish_compress(&codec);
    return true;
}

} // namespace

bool is_jpeg(std::span<const std::byte> bytes) {
    constexpr std::array<std::uint8_t, 3> kStart = {0xff, 0xd8, 0xff};
    return bytes.size() >= kStart.size() &&
           std::memcmp(bytes.data(), kStart.data(), kStart.size()) == 0;
}

Result<RawPicture> decode_jpeg(std::span<const std::byte> bytes) {
    const auto reader = std::make_unique<Reader>();
    const auto fail = [&] {
        return make_error(Status::kInvalidArgument, "not a readable JPEG: {}",
                          reader->errors.message.data());
    };
    if (!read_header(*reader, bytes)) return fail();
    jpeg_decompress_struct &codec = reader->codec;
    if (auto size = check_picture_size(codec.image_width, codec.image_height); !size) {
        return size.error();
    }
    const auto layout = choose_layout(codec);
    if (!layout) {
        return make_error(Status::kInvalidArgument,
                          "a JPEG of {} components, which are neither grey, colour nor CMYK; save "
                          "it again as a PNG",
                          codec.num_components);
    }
    RawPicture picture;
    picture.width = codec.image_width;
    picture.height = codec.image_height;
    picture.layout = *layout;
    picture.is_grey = codec.jpeg_color_space == JCS_GRAYSCALE;
    picture.exif = exif_of(codec);
    picture.colours.profile = profile_of(*reader);
    picture.bytes.resize(std::size_t{picture.width} * picture.height * 4);
    if (!read_rows(*reader, picture.bytes.data()) || reader->errors.is_damaged) return fail();
    if (lacks_component(codec) || (reader->errors.is_cut && lacks_refinement(codec))) {
        return make_error(Status::kInvalidArgument, "not a readable JPEG: the file ends too early");
    }
    if (*layout == RawPicture::Layout::kCmyk && codec.saw_Adobe_marker != FALSE) {
        for (std::uint8_t &ink : picture.bytes) ink = static_cast<std::uint8_t>(255 - ink);
    }
    return picture;
}

Result<std::vector<std::byte>> encode_jpeg(const Image &image) {
    if (image.width > JPEG_MAX_DIMENSION || image.height > JPEG_MAX_DIMENSION) {
        return make_error(Status::kInvalidArgument,
                          "{} x {} pixels; a JPEG has sides of at most {}", image.width,
                          image.height, JPEG_MAX_DIMENSION);
    }
    const auto writer = std::make_unique<Writer>();
    if (!write_rows(*writer, image)) {
        return make_error(Status::kFailed, "cannot make a JPEG: {}", writer->errors.message.data());
    }
    const auto *const bytes = reinterpret_cast<const std::byte *>(writer->bytes);
    return std::vector<std::byte>(bytes, bytes + writer->size);
}

} // namespace tessera
