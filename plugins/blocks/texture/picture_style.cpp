// Given pictures as tokens and style.
#include "blocks/texture/picture_style.hpp"

#include "blocks/codec/fill.hpp"

#include <algorithm>
#include <string>

namespace tessera::texture {
namespace {

constexpr std::int64_t kCell = blocks::kWaveletCell;
constexpr std::int64_t kMostStylePixels = 512; // along a side
constexpr std::int64_t kFewestStylePixels = 16;

std::string size_text(std::int64_t width, std::int64_t height) {
    return std::to_string(width) + " x " + std::to_string(height);
}

[[noreturn]] void reject_style(const std::string &why) {
    throw sdk::Failure(sdk::Status::kInvalidArgument,
                       std::string("input '") + kStyleInput + "' " + why);
}

void check_style(const sdk::View &image) {
    if (image.data == nullptr || image.dtype != TESSERA_DTYPE_U8 ||
        image.memory != TESSERA_MEMORY_HOST || image.rank != 3 || image.shape[2] != 4) {
        reject_style(sdk::shape_text(image) + ": expected (height, width, 4) bytes on the host");
    }
    if (image.shape[0] < kFewestStylePixels || image.shape[1] < kFewestStylePixels) {
        reject_style("is " + size_text(image.shape[1], image.shape[0]) + ", expected at least " +
                     size_text(kFewestStylePixels, kFewestStylePixels));
    }
}

// Rows [y, y + height) and columns [x, x + width) as (height, width, 3).
std::vector<float> pixels_of(const sdk::View &image, std::int64_t y, std::int64_t x,
                             std::int64_t height, std::int64_t width) {
    std::vector<float> pixels;
    pixels.reserve(static_cast<std::size_t>(height * width * 3));
    const auto *bytes = static_cast<const std::uint8_t *>(image.data);
    for (std::int64_t i = y; i < y + height; ++i) {
        for (std::int64_t k = x; k < x + width; ++k) {
            const std::uint8_t *pixel = bytes + i * image.stride[0] + k * image.stride[1];
            for (std::int64_t c = 0; c < 3; ++c) {
                pixels.push_back(static_cast<float>(pixel[c * image.stride[2]]) / 127.5F - 1.0F);
            }
        }
    }
    return pixels;
}

std::vector<float> analyse(const sdk::Compute &compute, const blocks::Wavelet &wavelet, Grid grid,
                           const std::vector<float> &pixels) {
    const blocks::WaveletRun run(wavelet, blocks::WaveletRun::Direction::kAnalysis, grid.rows,
                                 grid.columns);
    compute.upload(sdk::host_view(pixels.data(), {kCell * grid.rows, kCell * grid.columns, 3}),
                   run.picture());
    run.run_all();
    std::vector<float> tokens(static_cast<std::size_t>(grid.tokens() * kTokenNumbers));
    compute.download(run.tokens(),
                     sdk::host_view(tokens.data(), {grid.rows, grid.columns, kTokenNumbers}));
    compute.synchronize();
    return tokens;
}

} // namespace

tessera_input_slot style_slot() {
    return {sizeof(tessera_input_slot),
            TESSERA_INPUT_TYPE_RGBA8,
            kStyleInput,
            "Style",
            "A picture whose colours and grain are taken, not its content.",
            0,
            0,
            0,
            0,
            0,
            0};
}

std::optional<blocks::Style> read_style(const sdk::Request &request, const sdk::Compute &compute,
                                        const blocks::Wavelet &wavelet) {
    const sdk::View *image = request.input(kStyleInput);
    if (image == nullptr) return std::nullopt;
    check_style(*image);
    const std::int64_t height = std::min(image->shape[0], kMostStylePixels) / kCell * kCell;
    const std::int64_t width = std::min(image->shape[1], kMostStylePixels) / kCell * kCell;
    const std::vector<float> pixels = pixels_of(*image, (image->shape[0] - height) / 2,
                                                (image->shape[1] - width) / 2, height, width);
    std::vector<float> tokens = analyse(compute, wavelet, {height / kCell, width / kCell}, pixels);
    blocks::Style style = blocks::exact_style(tokens, {});
    blocks::take_out(style, tokens);
    blocks::describe_style(pixels, height, width, tokens, {}, style);
    return style;
}

std::vector<float> given_tokens(const blocks::Completion &completion, Grid grid,
                                const sdk::Compute &compute, const blocks::Wavelet &wavelet,
                                const blocks::StyleBank &bank, std::int64_t label) {
    if (!completion.latents.empty()) return completion.latents;
    const std::int64_t height = kCell * grid.rows, width = kCell * grid.columns;
    std::vector<std::uint8_t> kept(static_cast<std::size_t>(height * width));
    for (const std::int32_t pixel : completion.kept_pixels) {
        kept[static_cast<std::size_t>(pixel)] = 1;
    }
    const auto known =
        std::count(completion.known.begin(), completion.known.end(), std::uint8_t{1});
    std::vector<float> filled = completion.pixels;
    if (known < grid.tokens()) blocks::fill_holes(filled, kept, height, width, 3);
    std::vector<float> tokens = analyse(compute, wavelet, grid, filled);
    blocks::Style style{};
    if (known > 0) {
        style = blocks::exact_style(tokens, completion.known);
        blocks::take_out(style, tokens);
        if (2 * known < grid.tokens()) {
            style = bank.complete(style, label);
        } else {
            blocks::describe_style(filled, height, width, tokens, completion.known, style);
        }
    }
    std::vector<float> wide;
    wide.reserve(static_cast<std::size_t>(grid.tokens() * kTokenWidth));
    for (std::int64_t token = 0; token < grid.tokens(); ++token) {
        const float *from = tokens.data() + token * kTokenNumbers;
        wide.insert(wide.end(), from, from + kTokenNumbers);
        wide.insert(wide.end(), style.begin(), style.end());
    }
    return wide;
}

} // namespace tessera::texture
