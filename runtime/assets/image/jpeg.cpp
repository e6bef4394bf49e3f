#include "assets/image/jpeg.hpp"

#include <turbojpeg.h>

#include <memory>

namespace tessera {
namespace {

struct CloseDecoder {
    void operator()(void *decoder) const { tjDestroy(decoder); }
};
using Decoder = std::unique_ptr<void, CloseDecoder>;

Error jpeg_error(const Decoder &decoder) {
    return make_error(Status::kInvalidArgument, "not a readable JPEG: {}",
                      tjGetErrorStr2(decoder.get()));
}

const unsigned char *jpeg_bytes(std::span<const std::byte> bytes) {
    return reinterpret_cast<const unsigned char *>(bytes.data());
}

Result<JpegSize> read_size(const Decoder &decoder, std::span<const std::byte> bytes) {
    int width = 0;
    int height = 0;
    int subsampling = 0;
    int colors = 0;
    if (tjDecompressHeader3(decoder.get(), jpeg_bytes(bytes), bytes.size(), &width, &height,
                            &subsampling, &colors) != 0) {
        return jpeg_error(decoder);
    }
    return JpegSize{static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(height)};
}

} // namespace

Result<JpegSize> read_jpeg_size(std::span<const std::byte> bytes) {
    const Decoder decoder(tjInitDecompress());
    return read_size(decoder, bytes);
}

Result<Image> decode_jpeg(std::span<const std::byte> bytes, std::uint32_t channels) {
    const Decoder decoder(tjInitDecompress());
    auto size = read_size(decoder, bytes);
    if (!size) return size.error();
    const auto count = std::size_t{size->width} * size->height * channels;
    Image image{size->width, size->height, channels, std::vector<std::uint8_t>(count)};
    const TJPF format = channels == 1 ? TJPF_GRAY : channels == 3 ? TJPF_RGB : TJPF_RGBA;
    // A warning means data that are damaged or missing: half a picture is not what was asked for.
    if (tjDecompress2(decoder.get(), jpeg_bytes(bytes), bytes.size(), image.pixels.data(),
                      static_cast<int>(size->width), 0, static_cast<int>(size->height), format,
                      TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING) != 0) {
        return jpeg_error(decoder);
    }
    return image;
}

} // namespace tessera
