// What a request gives: the image and mask inputs.
#include "mar/completion.hpp"

#include <algorithm>

namespace tessera::mar {
namespace {

[[noreturn]] void fail(const std::string &message) {
    throw sdk::Failure(sdk::Status::kInvalidArgument, message);
}

std::string size_text(std::int64_t height, std::int64_t width) {
    return std::to_string(width) + " x " + std::to_string(height);
}

std::uint8_t read(const sdk::View &view, std::int64_t y, std::int64_t x, std::int64_t c = 0) {
    const auto *data = static_cast<const std::uint8_t *>(view.data);
    return data[y * view.stride[0] + x * view.stride[1] +
                (view.rank == 3 ? c * view.stride[2] : 0)];
}

void check_host_bytes(const sdk::View &view, const char *what, int rank) {
    if (view.data == nullptr || view.dtype != TESSERA_DTYPE_U8 ||
        view.memory != TESSERA_MEMORY_HOST || view.rank != rank) {
        fail(std::string("input '") + what + "' " + sdk::shape_text(view) +
             ": expected bytes on the host with " + std::to_string(rank) + " dimensions");
    }
}

} // namespace

std::optional<Completion> read_completion(const MarConfig &config, std::int64_t channels,
                                          const sdk::View *image, const sdk::View *mask) {
    if (image == nullptr && mask == nullptr) return std::nullopt;
    if (image == nullptr) fail("input 'mask' came without 'image', which it needs");
    if (mask == nullptr) fail("input 'image' came without 'mask', which says what to generate");
    const std::int64_t size = config.pixel_side();
    const std::int64_t side = config.side();
    check_host_bytes(*image, "image", 3);
    check_host_bytes(*mask, "mask", 2);
    if (image->shape[0] != size || image->shape[1] != size || image->shape[2] != 4) {
        fail("input 'image' is " + size_text(image->shape[0], image->shape[1]) + " with " +
             std::to_string(image->shape[2]) + " channels, expected " + size_text(size, size) +
             " with 4");
    }
    const bool in_cells = mask->shape[0] == side && mask->shape[1] == side;
    if (!in_cells && (mask->shape[0] != size || mask->shape[1] != size)) {
        fail("input 'mask' is " + size_text(mask->shape[0], mask->shape[1]) + ", expected " +
             size_text(size, size) + " pixels or " + size_text(side, side) + " cells");
    }

    Completion given;
    given.known.assign(static_cast<std::size_t>(side * side), 1);
    const std::int64_t cell = size / side; // pixels along a cell
    for (std::int64_t y = 0; y < size; ++y) {
        for (std::int64_t x = 0; x < size; ++x) {
            const bool keep =
                in_cells ? read(*mask, y / cell, x / cell) == 0 : read(*mask, y, x) == 0;
            if (!keep) given.known[(y / cell) * side + x / cell] = 0;
            if (keep) given.kept_pixels.push_back(static_cast<std::int32_t>(y * size + x));
            for (std::int64_t c = 0; c < channels; ++c) {
                const float value =
                    static_cast<float>(read(*image, y, x, c)) / 255.0f * 2.0f - 1.0f;
                given.pixels.push_back(value);
                if (keep) given.kept_values.push_back(value);
            }
        }
    }
    return given;
}

} // namespace tessera::mar
