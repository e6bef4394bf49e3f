#include "assets/image/webp.hpp"

#include <webp/decode.h>
#include <webp/demux.h>
#include <webp/encode.h>

#include <memory>
#include <string_view>

namespace tessera {
namespace {

constexpr std::size_t kStartBytes = 12; // "RIFF", the size, "WEBP"

struct DeleteDemuxer {
    void operator()(WebPDemuxer *demuxer) const { WebPDemuxDelete(demuxer); }
};
using Demuxer = std::unique_ptr<WebPDemuxer, DeleteDemuxer>;

const std::uint8_t *bytes_of(std::span<const std::byte> bytes) {
    return reinterpret_cast<const std::uint8_t *>(bytes.data());
}

std::vector<std::byte> chunk_of(const Demuxer &demuxer, const char *name) {
    WebPChunkIterator chunk{};
    std::vector<std::byte> found;
    if (WebPDemuxGetChunk(demuxer.get(), name, 1, &chunk) != 0) {
        const auto *const bytes = reinterpret_cast<const std::byte *>(chunk.chunk.bytes);
        found.assign(bytes, bytes + chunk.chunk.size);
    }
    WebPDemuxReleaseChunkIterator(&chunk);
    return found;
}

std::vector<std::uint8_t> with_three_channels(const Image &image) {
    std::vector<std::uint8_t> rgb;
    rgb.reserve(image.pixels.size() * 3);
    for (const std::uint8_t grey : image.pixels) rgb.insert(rgb.end(), {grey, grey, grey});
    return rgb;
}

} // namespace

bool is_webp(std::span<const std::byte> bytes) {
    const std::string_view text(reinterpret_cast<const char *>(bytes.data()), bytes.size());
    return text.size() >= kStartBytes && text.starts_with("RIFF") && text.substr(8, 4) == "WEBP";
}

Result<RawPicture> decode_webp(std::span<const std::byte> bytes) {
    WebPBitstreamFeatures features{};
    if (WebPGetFeatures(bytes_of(bytes), bytes.size(), &features) != VP8_STATUS_OK) {
        return make_error(Status::kInvalidArgument, "not a readable WebP: its header is damaged");
    }
    if (features.has_animation != 0) {
        return make_error(Status::kUnsupported,
                          "an animated WebP; save the picture that is meant as a PNG");
    }
    RawPicture picture;
    picture.width = static_cast<std::uint32_t>(features.width);
    picture.height = static_cast<std::uint32_t>(features.height);
    if (auto size = check_picture_size(picture.width, picture.height); !size) return size.error();
    picture.bytes.resize(std::size_t{picture.width} * picture.height * 4);
    if (WebPDecodeRGBAInto(bytes_of(bytes), bytes.size(), picture.bytes.data(),
                           picture.bytes.size(), features.width * 4) == nullptr) {
        return make_error(Status::kInvalidArgument,
                          "not a readable WebP: its data are damaged or end too early");
    }
    const WebPData data{bytes_of(bytes), bytes.size()};
    if (const Demuxer demuxer(WebPDemux(&data)); demuxer) {
        picture.colours.profile = chunk_of(demuxer, "ICCP");
        picture.exif = chunk_of(demuxer, "EXIF");
    }
    return picture;
}

namespace {

// The library can run out of memory at its end and say nothing.
bool is_whole(std::span<const std::byte> bytes, const Image &image) {
    int width = 0;
    int height = 0;
    std::uint8_t *const rgb = WebPDecodeRGB(bytes_of(bytes), bytes.size(), &width, &height);
    const std::unique_ptr<std::uint8_t, void (*)(void *)> decoded(rgb, WebPFree);
    if (decoded == nullptr) return false;
    const std::size_t step = image.channels;
    const std::size_t green = step > 1 ? 1 : 0;
    const std::size_t blue = step > 1 ? 2 : 0;
    for (std::size_t i = 0; i < std::size_t{image.width} * image.height; ++i) {
        const std::uint8_t *const from = image.pixels.data() + i * step;
        const bool is_clear = step == 4 && from[3] == 0; // whose colour the library may drop
        const bool same =
            rgb[3 * i] == from[0] && rgb[3 * i + 1] == from[green] && rgb[3 * i + 2] == from[blue];
        if (!is_clear && !same) return false;
    }
    return true;
}

} // namespace

Result<std::vector<std::byte>> encode_webp(const Image &image) {
    if (image.width > kMaxWebpSide || image.height > kMaxWebpSide) {
        return make_error(Status::kInvalidArgument,
                          "{} x {} pixels; a WebP has sides of at most {}", image.width,
                          image.height, kMaxWebpSide);
    }
    const int width = static_cast<int>(image.width);
    const int height = static_cast<int>(image.height);
    std::uint8_t *out = nullptr;
    std::size_t size = 0;
    if (image.channels == 4) {
        size = WebPEncodeLosslessRGBA(image.pixels.data(), width, height, width * 4, &out);
    } else if (image.channels == 3) {
        size = WebPEncodeLosslessRGB(image.pixels.data(), width, height, width * 3, &out);
    } else {
        const auto rgb = with_three_channels(image);
        size = WebPEncodeLosslessRGB(rgb.data(), width, height, width * 3, &out);
    }
    if (size == 0) return make_error(Status::kOutOfMemory, "cannot make a WebP: out of memory");
    const std::unique_ptr<std::uint8_t, void (*)(void *)> freed(out, WebPFree);
    const auto *const encoded = reinterpret_cast<const std::byte *>(out);
    std::vector<std::byte> bytes(encoded, encoded + size);
    if (!is_whole(bytes, image)) {
        return make_error(Status::kOutOfMemory, "cannot make a WebP: out of memory");
    }
    return bytes;
}

} // namespace tessera
