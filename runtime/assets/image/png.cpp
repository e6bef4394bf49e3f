#include "assets/image/png.hpp"

#include <png.h>

#include <algorithm>
#include <array>
#include <bit>
#include <csetjmp>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace tessera {
namespace {

static_assert(std::endian::native == std::endian::little, "PNG is big-endian: see png_set_swap");

constexpr std::array<std::uint8_t, 8> kStart = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

// Chunks that this libpng does not know: cICP, colours by the code points of ITU-T H.273, and acTL,
// how many pictures follow each other.
constexpr std::array<png_byte, 10> kKeptChunks = {'c', 'I', 'C', 'P', '\0',
                                                  'a', 'c', 'T', 'L', '\0'};

// What libpng's callbacks reach. libpng jumps out of its calls on an error: nothing that has a
// destructor may live in a function that calls it.
struct Context {
    std::span<const std::byte> unread;
    std::vector<std::byte> *written = nullptr;
    std::string message;
};

Context &context_of(png_structp png) { return *static_cast<Context *>(png_get_error_ptr(png)); }

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
    context_of(png).message = message;
    png_longjmp(png, 1);
}
void on_warning(png_structp /*png*/, png_const_charp /*message*/) {}

void take_bytes(png_structp png, png_bytep out, std::size_t count) {
    auto &context = *static_cast<Context *>(png_get_io_ptr(png));
    if (context.unread.size() < count) png_error(png, "the file ends too early");
    std::memcpy(out, context.unread.data(), count);
    context.unread = context.unread.subspan(count);
}
void put_bytes(png_structp png, png_bytep data, std::size_t count) {
    auto &context = *static_cast<Context *>(png_get_io_ptr(png));
    const auto *const bytes = reinterpret_cast<const std::byte *>(data);
    context.written->insert(context.written->end(), bytes, bytes + count);
}
void flush(png_structp /*png*/) {}

// ---- reading ------------------------------------------------------------------------------------

struct Reader {
    png_structp png = nullptr;
    png_infop info = nullptr;
    Context context;

    explicit Reader(std::span<const std::byte> bytes) {
        context.unread = bytes;
        png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &context, on_error, on_warning);
        if (png == nullptr) return;
        info = png_create_info_struct(png);
        png_set_read_fn(png, &context, take_bytes);
        // A small table, and nothing that is read: what fails here fails again with the header.
        keep_chunks();
    }
    ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
    Reader(const Reader &) = delete;
    Reader &operator=(const Reader &) = delete;

  private:
    void keep_chunks() {
        if (setjmp(png_jmpbuf(png)) != 0) return;
        png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_ALWAYS, kKeptChunks.data(), 2);
    }
};

struct Header {
    png_uint_32 width = 0;
    png_uint_32 height = 0;
    int bits = 0;
    int colour_type = 0;
};

bool read_header(Reader &reader, Header &header) {
    if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
    png_read_info(reader.png, reader.info);
    png_get_IHDR(reader.png, reader.info, &header.width, &header.height, &header.bits,
                 &header.colour_type, nullptr, nullptr, nullptr);
    return true;
}

// Rows of RGBA into `rows`; 16 bits stay 16.
bool read_rows(Reader &reader, png_bytepp rows) {
    if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
    png_set_expand(reader.png);
    png_set_gray_to_rgb(reader.png);
    png_set_add_alpha(reader.png, 0xffff, PNG_FILLER_AFTER);
    png_set_swap(reader.png);
    png_read_image(reader.png, rows);
    return true;
}

// What stands behind the rows: all of them are there, so a fault is of no matter.
void read_rest(Reader &reader) {
    if (setjmp(png_jmpbuf(reader.png)) != 0) return;
    png_read_end(reader.png, reader.info);
}

// The kept chunk of this name; nullptr: there is none.
const png_unknown_chunk *chunk_of(const Reader &reader, std::string_view name) {
    png_unknown_chunkp chunks = nullptr;
    const int count = png_get_unknown_chunks(reader.png, reader.info, &chunks);
    for (int i = 0; i < count; ++i) {
        if (name == reinterpret_cast<const char *>(chunks[i].name)) return &chunks[i];
    }
    return nullptr;
}

bool is_animated(const Reader &reader) {
    const png_unknown_chunk *const control = chunk_of(reader, "acTL");
    if (control == nullptr || control->size < 4) return false;
    return png_get_uint_32(control->data) > 1;
}

struct CodedPrimaries {
    int code;
    std::array<double, 8> xy; // white, red, green, blue
};
constexpr std::array<CodedPrimaries, 6> kPrimaries{
    {{1, {0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06}},          // BT.709, sRGB
     {5, {0.3127, 0.3290, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06}},          // BT.601, 625 lines
     {6, {0.3127, 0.3290, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07}},        // BT.601, 525 lines
     {9, {0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046}},    // BT.2020
     {11, {0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060}},     // P3 of the cinema
     {12, {0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060}}}}; // P3 of displays

// What cICP says; an error where it says something else than a picture for screens.
Result<ColourSpace> coded_colours(std::span<const png_byte> codes) {
    const auto fail = [&](std::string_view why) {
        return make_error(Status::kUnsupported, "a PNG with {}; save it again for screens, as sRGB",
                          why);
    };
    if (codes.size() != 4) return fail("a chunk cICP that is no list of four codes");
    const int transfer = codes[1];
    if (transfer == 16 || transfer == 18) return fail("high dynamic range (PQ or HLG)");
    if (codes[2] != 0 || codes[3] != 1) return fail("the numbers of a video (cICP)");
    const auto *const primaries =
        std::find_if(kPrimaries.begin(), kPrimaries.end(),
                     [&](const CodedPrimaries &known) { return known.code == codes[0]; });
    ColourSpace colours;
    if (primaries == kPrimaries.end()) {
        return fail(fmt::format("primaries of code {} (cICP)", int{codes[0]}));
    }
    colours.chromaticities = primaries->xy;
    switch (transfer) {
    case 1: // BT.709, and the same curve under other names
    case 6:
    case 14:
    case 15:
        colours.curve = TransferCurve{1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081};
        break;
    case 4:
        colours.gamma = 1 / 2.2;
        break;
    case 5:
        colours.gamma = 1 / 2.8;
        break;
    case 8:
        colours.gamma = 1;
        break;
    case 13: // sRGB
        break;
    default:
        return fail(fmt::format("a transfer of code {} (cICP)", transfer));
    }
    return colours;
}

Result<ColourSpace> colours_of(const Reader &reader) {
    ColourSpace colours;
    if (const auto *const coded = chunk_of(reader, "cICP")) { // rules all others
        return coded_colours({coded->data, coded->size});
    }
    png_charp name = nullptr;
    int compression = 0;
    png_bytep profile = nullptr;
    png_uint_32 size = 0;
    if (png_get_iCCP(reader.png, reader.info, &name, &compression, &profile, &size) != 0) {
        const auto *const bytes = reinterpret_cast<const std::byte *>(profile);
        colours.profile.assign(bytes, bytes + size);
        return colours;
    }
    if (png_get_valid(reader.png, reader.info, PNG_INFO_sRGB) != 0) return colours;
    double gamma = 0;
    if (png_get_gAMA(reader.png, reader.info, &gamma) != 0 && gamma > 0) colours.gamma = gamma;
    std::array<double, 8> xy{};
    if (png_get_cHRM(reader.png, reader.info, xy.data(), &xy[1], &xy[2], &xy[3], &xy[4], &xy[5],
                     &xy[6], &xy[7]) != 0) {
        colours.chromaticities = xy;
    }
    return colours;
}

std::vector<std::byte> exif_of(const Reader &reader) {
    png_uint_32 size = 0;
    png_bytep exif = nullptr;
    if (png_get_eXIf_1(reader.png, reader.info, &size, &exif) == 0) return {};
    const auto *const bytes = reinterpret_cast<const std::byte *>(exif);
    return {bytes, bytes + size};
}

// ---- writing ------------------------------------------------------------------------------------

struct Writer {
    png_structp png = nullptr;
    png_infop info = nullptr;
    Context context;

    explicit Writer(std::vector<std::byte> &written) {
        context.written = &written;
        png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &context, on_error, on_warning);
        if (png == nullptr) return;
        info = png_create_info_struct(png);
        png_set_write_fn(png, &context, put_bytes, flush);
    }
    ~Writer() { png_destroy_write_struct(&png, &info); }
    Writer(const Writer &) = delete;
    Writer &operator=(const Writer &) = delete;
};

bool write_rows(Writer &writer, const Header &header, PictureUse use, png_bytepp rows) {
    if (setjmp(png_jmpbuf(writer.png)) != 0) return false;
    png_set_IHDR(writer.png, writer.info, header.width, header.height, header.bits,
                 header.colour_type, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (use == PictureUse::kColour) {
        png_set_sRGB(writer.png, writer.info, PNG_sRGB_INTENT_PERCEPTUAL);
    }
    png_write_info(writer.png, writer.info);
    if (header.bits == 16) png_set_swap(writer.png);
    png_write_image(writer.png, rows);
    png_write_end(writer.png, writer.info);
    return true;
}

Result<std::vector<std::byte>> encode(const Header &header, PictureUse use,
                                      std::vector<png_bytep> rows) {
    std::vector<std::byte> bytes;
    Writer writer(bytes);
    if (writer.info == nullptr) {
        return make_error(Status::kOutOfMemory, "no memory to make a PNG");
    }
    if (!write_rows(writer, header, use, rows.data())) {
        return make_error(Status::kFailed, "cannot make a PNG: {}", writer.context.message);
    }
    return bytes;
}

} // namespace

bool is_png(std::span<const std::byte> bytes) {
    return bytes.size() >= kStart.size() &&
           std::memcmp(bytes.data(), kStart.data(), kStart.size()) == 0;
}

Result<RawPicture> decode_png(std::span<const std::byte> bytes) {
    Reader reader(bytes);
    if (reader.info == nullptr) {
        return make_error(Status::kOutOfMemory, "no memory to read a PNG");
    }
    const auto fail = [&] {
        return make_error(Status::kInvalidArgument, "not a readable PNG: {}",
                          reader.context.message);
    };
    Header header;
    if (!read_header(reader, header)) return fail();
    if (auto size = check_picture_size(header.width, header.height); !size) return size.error();

    if (is_animated(reader)) {
        return make_error(Status::kUnsupported,
                          "an animated PNG; save the picture that is meant as a PNG of its own");
    }

    RawPicture picture;
    picture.width = header.width;
    picture.height = header.height;
    picture.is_grey = (header.colour_type & PNG_COLOR_MASK_COLOR) == 0;
    const std::size_t row = std::size_t{header.width} * 4;
    std::vector<png_bytep> rows(header.height);
    if (header.bits == 16) {
        picture.words.resize(row * header.height);
        for (std::size_t y = 0; y < rows.size(); ++y) {
            rows[y] = reinterpret_cast<png_bytep>(picture.words.data() + y * row);
        }
    } else {
        picture.bytes.resize(row * header.height);
        for (std::size_t y = 0; y < rows.size(); ++y) rows[y] = picture.bytes.data() + y * row;
    }
    if (!read_rows(reader, rows.data())) return fail();
    read_rest(reader);
    auto colours = colours_of(reader);
    if (!colours) return colours.error();
    picture.colours = std::move(*colours);
    picture.exif = exif_of(reader);
    return picture;
}

Result<std::vector<std::byte>> encode_png(const Image &image, PictureUse use) {
    const int colour_type = image.channels == 1   ? PNG_COLOR_TYPE_GRAY
                            : image.channels == 3 ? PNG_COLOR_TYPE_RGB
                                                  : PNG_COLOR_TYPE_RGBA;
    std::vector<png_bytep> rows(image.height);
    for (std::size_t y = 0; y < rows.size(); ++y) { // libpng's rows have no const; it only reads
        rows[y] = const_cast<png_bytep>(image.pixels.data()) + y * image.width * image.channels;
    }
    return encode({image.width, image.height, 8, colour_type}, use, std::move(rows));
}

Result<std::vector<std::byte>> encode_png16(std::uint32_t width, std::uint32_t height,
                                            std::span<const std::uint16_t> grey) {
    std::vector<png_bytep> rows(height);
    for (std::size_t y = 0; y < rows.size(); ++y) {
        auto *const row = const_cast<std::uint16_t *>(grey.data()) + y * width;
        rows[y] = reinterpret_cast<png_bytep>(row);
    }
    return encode({width, height, 16, PNG_COLOR_TYPE_GRAY}, PictureUse::kData, std::move(rows));
}

} // namespace tessera
