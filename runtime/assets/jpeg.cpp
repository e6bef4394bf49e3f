#include "assets/jpeg.hpp"

#include <limits>
#include <memory>

#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <stb/stb_image.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace tessera {
namespace {

Error jpeg_error() {
    const char *const reason = stbi_failure_reason();
    return make_error(Status::kInvalidArgument, "not a readable JPEG: {}",
                      reason != nullptr ? reason : "no reason given");
}

// The library counts bytes in int.
bool fits(std::span<const std::byte> bytes) {
    return bytes.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max());
}

const stbi_uc *stbi_bytes(std::span<const std::byte> bytes) {
    return reinterpret_cast<const stbi_uc *>(bytes.data());
}

} // namespace

Result<JpegSize> read_jpeg_size(std::span<const std::byte> bytes) {
    int width = 0;
    int height = 0;
    int channels = 0;
    if (!fits(bytes) || stbi_info_from_memory(stbi_bytes(bytes), static_cast<int>(bytes.size()),
                                              &width, &height, &channels) == 0) {
        return jpeg_error();
    }
    return JpegSize{static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(height)};
}

Result<Image> decode_jpeg(std::span<const std::byte> bytes, std::uint32_t channels) {
    if (!fits(bytes)) return jpeg_error();
    int width = 0;
    int height = 0;
    int found = 0;
    const std::unique_ptr<stbi_uc, void (*)(void *)> pixels(
        stbi_load_from_memory(stbi_bytes(bytes), static_cast<int>(bytes.size()), &width, &height,
                              &found, static_cast<int>(channels)),
        stbi_image_free);
    if (pixels == nullptr) return jpeg_error();
    const auto count =
        static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * channels;
    return Image{static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(height), channels,
                 std::vector<std::uint8_t>(pixels.get(), pixels.get() + count)};
}

} // namespace tessera
