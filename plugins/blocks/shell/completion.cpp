// What a request gives: the image, latents and mask inputs.
#include "blocks/shell/completion.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::blocks {
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

void check_image(const sdk::View &image, const TokenGrid &grid, const char *name) {
    check_host_bytes(image, name, 3);
    if (image.shape[0] != grid.height() || image.shape[1] != grid.width() || image.shape[2] != 4) {
        fail(std::string("input '") + name + "' is " + size_text(image.shape[0], image.shape[1]) +
             " with " + std::to_string(image.shape[2]) + " channels, expected " +
             size_text(grid.height(), grid.width()) + " with 4");
    }
}

// True when the mask is in cells, not in pixels.
bool check_mask(const sdk::View &mask, const TokenGrid &grid) {
    check_host_bytes(mask, "mask", 2);
    if (mask.shape[0] == grid.rows && mask.shape[1] == grid.columns) return true;
    if (mask.shape[0] != grid.height() || mask.shape[1] != grid.width()) {
        fail("input 'mask' is " + size_text(mask.shape[0], mask.shape[1]) + ", expected " +
             size_text(grid.height(), grid.width()) + " pixels or " +
             size_text(grid.rows, grid.columns) + " cells");
    }
    return false;
}

float read_color(const sdk::View &image, std::int64_t y, std::int64_t x, std::int64_t c) {
    return static_cast<float>(read(image, y, x, c)) / 255.0f * 2.0f - 1.0f;
}

} // namespace

std::vector<float> read_latents(const TokenGrid &grid, const sdk::View &latents) {
    const std::int64_t shape[] = {grid.latent_height(), grid.latent_width(), grid.latent_channels};
    const sdk::View expected =
        sdk::make_view(latents.data, TESSERA_DTYPE_F32, shape, TESSERA_MEMORY_HOST);
    if (latents.data == nullptr || latents.dtype != TESSERA_DTYPE_F32 ||
        latents.memory != TESSERA_MEMORY_HOST || latents.rank != 3 ||
        !std::equal(shape, shape + 3, latents.shape) ||
        !std::equal(expected.stride, expected.stride + 3, latents.stride)) {
        fail("input 'latents' " + sdk::shape_text(latents) + ": expected dense float32 " +
             sdk::shape_text(expected) + " on the host");
    }
    const auto *data = static_cast<const float *>(latents.data);
    std::vector<float> values(data, data + sdk::element_count(expected));
    if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); })) {
        fail("input 'latents' holds values that are not finite");
    }
    return values;
}

std::optional<Completion> read_completion(const TokenGrid &grid, std::int64_t channels,
                                          const sdk::View *image, const sdk::View *mask,
                                          const sdk::View *latents) {
    if (image == nullptr && mask == nullptr && latents == nullptr) return std::nullopt;
    if (mask == nullptr) {
        fail(std::string("input '") + (image != nullptr ? "image" : "latents") +
             "' came without 'mask', which says what to generate");
    }
    if (image == nullptr && latents == nullptr) {
        fail("input 'mask' came without 'image' or 'latents', one of which it needs");
    }
    if (image != nullptr) check_image(*image, grid, "image");
    const bool in_cells = check_mask(*mask, grid);

    Completion given;
    if (latents != nullptr) given.latents = read_latents(grid, *latents);
    given.known.assign(static_cast<std::size_t>(grid.tokens()), 1);
    const std::int64_t cell = grid.patch * grid.latent_stride; // pixels along a cell
    for (std::int64_t y = 0; y < grid.height(); ++y) {
        for (std::int64_t x = 0; x < grid.width(); ++x) {
            const bool keep =
                in_cells ? read(*mask, y / cell, x / cell) == 0 : read(*mask, y, x) == 0;
            if (!keep) given.known[(y / cell) * grid.columns + x / cell] = 0;
            if (image == nullptr) continue;
            if (keep) given.kept_pixels.push_back(static_cast<std::int32_t>(y * grid.width() + x));
            for (std::int64_t c = 0; c < channels; ++c) {
                const float value = read_color(*image, y, x, c);
                given.pixels.push_back(value);
                if (keep) given.kept_values.push_back(value);
            }
        }
    }
    return given;
}

Completion read_whole(const TokenGrid &grid, std::int64_t channels, const sdk::View &image,
                      const char *name) {
    check_image(image, grid, name);
    Completion given;
    given.known.assign(static_cast<std::size_t>(grid.tokens()), 1);
    for (std::int64_t y = 0; y < grid.height(); ++y) {
        for (std::int64_t x = 0; x < grid.width(); ++x) {
            for (std::int64_t c = 0; c < channels; ++c) {
                given.pixels.push_back(read_color(image, y, x, c));
            }
        }
    }
    return given;
}

} // namespace tessera::blocks
