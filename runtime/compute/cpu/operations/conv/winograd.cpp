// 3x3 convolution of stride 1 by winograd.hpp: transformed tiles times transformed weights, as 36
// products of the core. Weights are transformed in every call: kept, they would take four times the
// memory of the packed weight, and making them costs a few percent of the product.
#include "compute/cpu/operations/conv/conv.hpp"
#include "compute/cpu/rows.hpp"

#include <algorithm>
#include <cstring>

namespace tessera::cpu {

namespace {

// Floats of transformed tiles that are in memory at once: they should stay in the last cache.
constexpr std::int64_t kTileFloats = 2 * 1024 * 1024;
constexpr std::int64_t kFewestTiles = 16;
constexpr std::int64_t kSkew = 16; // floats, one cache line
constexpr std::int64_t kTilesOfPiece = 4;
constexpr std::int64_t kChannelsOfPiece = 16;
constexpr std::int64_t kPixelsIn = kWinogradIn * kWinogradIn;
constexpr std::int64_t kPixelsOut = kWinogradOut * kWinogradOut;

std::int64_t tiles_along(std::int64_t extent) { return (extent + kWinogradOut - 1) / kWinogradOut; }

struct WinogradConv {
    Cpu &cpu;
    const ConvCall &call;
    std::int64_t in = call.weight->in_channels;
    std::int64_t out = call.weight->out_channels;
    // Tiles lie where they lie in the whole result, so that a part has its bytes.
    std::int64_t first_tile_row = call.first_row / kWinogradOut;
    std::int64_t tile_rows = tiles_along(call.first_row + call.out->shape[1]) - first_tile_row;
    std::int64_t first_row = first_tile_row * kWinogradOut;
    std::int64_t row_count = tile_rows * kWinogradOut;
    ConvInput input{call, false, first_row, row_count};
    std::int64_t tile_columns = tiles_along(call.out->shape[2]);
    std::int64_t tiles = call.out->shape[0] * tile_rows * tile_columns;
    // One of the 36 weights, as the core wants it.
    PackedMatrix weight{
        .data = nullptr, .columns = out, .segments = 1, .segment_length = in, .bf16 = false};
    // Weights are transformed by half panels.
    std::int64_t halves = 2 * panel_count(cpu.kernels().gemm, weight);
    std::int64_t half_floats =
        panel_bytes(cpu.kernels().gemm, weight) / 2 / static_cast<std::int64_t>(sizeof(float));
    std::int64_t block_tiles = 0;
    // The 36 rows of a tile lie together; tiles are spaced so that neighbours fall on different
    // cache sets.
    std::int64_t in_matrix = padded_stride(in);
    std::int64_t out_matrix = padded_stride(out);
    std::int64_t in_tile = kWinogradMatrices * in_matrix + kSkew;
    std::int64_t out_tile = kWinogradMatrices * out_matrix + kSkew;
    std::int64_t weight_matrix = halves * half_floats + kSkew;

    float *weights = nullptr;     // (36, half panels)
    float *spread = nullptr;      // (tiles of a block, 36, in)
    float *products = nullptr;    // (tiles of a block, 36, out)
    const float *zeros = nullptr; // one pixel of padding

    bool prepare();
    void transform_weights(Region &region) const;
    // Row and column of the result at the corner of a tile of the call.
    [[nodiscard]] std::int64_t top_of(std::int64_t tile) const {
        return first_row + tile / tile_columns % tile_rows * kWinogradOut;
    }
    [[nodiscard]] std::int64_t left_of(std::int64_t tile) const {
        return tile % tile_columns * kWinogradOut;
    }
    void transform_tile(std::int64_t tile, std::int64_t at) const;
    void finish_tile(std::int64_t tile, std::int64_t at) const;
    void multiply(Region &region, std::int64_t count) const;
    void run(Region &region) const;
};

bool WinogradConv::prepare() {
    if (!input.prepare(cpu)) return false;
    const std::int64_t fitting = kTileFloats / (in_tile + out_tile);
    block_tiles = std::min(tiles, std::max(fitting, kFewestTiles));
    weights = cpu.scratch<float>(Scratch::kC, kWinogradMatrices * weight_matrix);
    auto *memory = cpu.scratch<float>(Scratch::kB, block_tiles * (in_tile + out_tile) + in_matrix);
    if (weights == nullptr || memory == nullptr) return false;
    spread = memory;
    products = spread + block_tiles * in_tile;
    float *padding = products + block_tiles * out_tile;
    std::memset(padding, 0, static_cast<std::size_t>(in) * sizeof(float));
    zeros = padding;
    return true;
}

void WinogradConv::transform_weights(Region &region) const {
    const PackedMatrix packed = call.weight->matrix();
    const std::int64_t bytes = panel_bytes(cpu.kernels().gemm, packed) / 2;
    const std::int64_t chunks = (in + kChannelsOfPiece - 1) / kChannelsOfPiece;
    region.for_each(halves * chunks, [&](std::int64_t piece) {
        const std::int64_t half = piece / chunks;
        const std::int64_t begin = piece % chunks * kChannelsOfPiece;
        cpu.kernels().winograd.weight(
            static_cast<const std::byte *>(packed.data) + half * bytes, packed.bf16, in, begin,
            std::min(in, begin + kChannelsOfPiece), weights + half * half_floats, weight_matrix);
    });
}

// Tile `tile` of the call into row `at` of the block.
void WinogradConv::transform_tile(std::int64_t tile, std::int64_t at) const {
    const std::int64_t image = tile / (tile_rows * tile_columns);
    const std::int64_t top = top_of(tile);
    const std::int64_t left = left_of(tile);
    const float *pixels[kPixelsIn];
    std::int64_t columns[kWinogradIn];
    for (std::int64_t x = 0; x < kWinogradIn; ++x) columns[x] = call.source_column(left + x);
    for (std::int64_t y = 0; y < kWinogradIn; ++y) {
        const std::int64_t row = call.source_row(top + y);
        for (std::int64_t x = 0; x < kWinogradIn; ++x) {
            const bool padding = row < 0 || columns[x] < 0;
            pixels[y * kWinogradIn + x] =
                padding ? zeros
                        : reinterpret_cast<const float *>(input.pixel(image, row, columns[x]));
        }
    }
    cpu.kernels().winograd.input(pixels, in, spread + at * in_tile, in_matrix);
}

void WinogradConv::finish_tile(std::int64_t tile, std::int64_t at) const {
    const std::int64_t image = tile / (tile_rows * tile_columns);
    const std::int64_t top = top_of(tile);
    const std::int64_t left = left_of(tile);
    float *pixels[kPixelsOut];
    const float *residual[kPixelsOut];
    const auto pixel_of = [&](const tessera_tensor &tensor, std::int64_t y, std::int64_t x) {
        return data_of(tensor) + image * tensor.stride[0] + y * tensor.stride[1] +
               x * tensor.stride[2];
    };
    for (std::int64_t i = 0; i < kPixelsOut; ++i) {
        const std::int64_t y = top + i / kWinogradOut - call.first_row;
        const std::int64_t x = left + i % kWinogradOut;
        const bool inside = y >= 0 && y < call.out->shape[1] && x < call.out->shape[2];
        pixels[i] = inside ? pixel_of(*call.out, y, x) : nullptr;
        residual[i] = inside && call.residual != nullptr ? pixel_of(*call.residual, y, x) : nullptr;
    }
    cpu.kernels().winograd.output(products + at * out_tile, out_matrix, out, call.bias,
                                  call.activation, call.residual != nullptr ? residual : nullptr,
                                  pixels);
}

void WinogradConv::multiply(Region &region, std::int64_t count) const {
    const GemmKernels &gemm = cpu.kernels().gemm;
    GemmCall product;
    product.weight = weight;
    product.rows = count;
    product.a_stride = in_tile;
    product.out_stride = out_tile;
    const std::int64_t pieces = gemm_pieces(gemm, product);
    region.for_each(kWinogradMatrices * pieces, [&](std::int64_t i) {
        const std::int64_t matrix = i / pieces;
        GemmCall one = product;
        one.weight.data = weights + matrix * weight_matrix;
        one.a = spread + matrix * in_matrix;
        one.out = products + matrix * out_matrix;
        run_piece(gemm, one, i % pieces);
    });
}

void WinogradConv::run(Region &region) const {
    input.convert(cpu, region);
    transform_weights(region);
    for (std::int64_t first = 0; first < tiles; first += block_tiles) {
        const std::int64_t count = std::min(block_tiles, tiles - first);
        const std::int64_t pieces = (count + kTilesOfPiece - 1) / kTilesOfPiece;
        const auto each_tile = [&](auto &&body) {
            region.for_each(pieces, [&](std::int64_t piece) {
                const std::int64_t end = std::min(count, (piece + 1) * kTilesOfPiece);
                for (std::int64_t at = piece * kTilesOfPiece; at < end; ++at) body(first + at, at);
            });
        };
        each_tile([&](std::int64_t tile, std::int64_t at) { transform_tile(tile, at); });
        multiply(region, count);
        each_tile([&](std::int64_t tile, std::int64_t at) { finish_tile(tile, at); });
    }
}

} // namespace

bool takes_winograd(const ConvCall &call) {
    const PackedConv &weight = *call.weight;
    if (call.exact) return false;
    if (weight.kernel_height != 3 || weight.kernel_width != 3 || call.stride != 1) return false;
    if (weight.in_channels < 16 || weight.out_channels < 16) return false;
    // Products per channel pair; the transforms of weights and tiles cost about as much as `extra`
    // more tiles.
    const std::int64_t width = call.out->shape[2];
    const std::int64_t tiles = tiles_along(call.height) * tiles_along(width);
    constexpr std::int64_t kExtraTiles = 12;
    return kWinogradMatrices * (tiles + kExtraTiles) < 9 * call.height * width;
}

void conv2d_winograd(Cpu &cpu, const ConvCall &call) {
    WinogradConv conv{.cpu = cpu, .call = call};
    if (!conv.prepare()) return;
    cpu.pool().run([&](Region &region) { conv.run(region); });
}

} // namespace tessera::cpu
