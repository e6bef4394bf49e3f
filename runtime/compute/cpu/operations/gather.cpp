// Rows picked by index, pixels rearranged, images made into bytes.
#include "compute/cpu/ops.hpp"
#include "compute/cpu/rows.hpp"

#include <cstring>

namespace tessera::cpu {

namespace {

// Calls body(batch, i, row) for every index[batch][i] = row.
template <class Body>
void for_each_index(Cpu &cpu, const tessera_tensor &index, std::int64_t batch, std::int64_t count,
                    std::int64_t width, Body &&body) {
    const auto *values = static_cast<const std::int32_t *>(index.data);
    const std::int64_t batch_stride = index.rank == 2 ? index.stride[0] : 0;
    const std::int64_t stride = index.stride[index.rank - 1];
    const std::int64_t rows_per_piece = std::max<std::int64_t>(1, kPieceElements / width);
    const std::int64_t pieces = (batch * count + rows_per_piece - 1) / rows_per_piece;
    for_each_piece(cpu, pieces, [&](std::int64_t piece) {
        const std::int64_t end = std::min(batch * count, (piece + 1) * rows_per_piece);
        for (std::int64_t flat = piece * rows_per_piece; flat < end; ++flat) {
            const std::int64_t b = flat / count;
            const std::int64_t i = flat % count;
            body(b, i, static_cast<std::int64_t>(values[b * batch_stride + i * stride]));
        }
    });
}

float *row_at(const tessera_tensor &tensor, std::int64_t batch, std::int64_t row) {
    return data_of(tensor) + batch * tensor.stride[0] + row * tensor.stride[1];
}

float *pixel_at(const tessera_tensor &tensor, std::int64_t batch, std::int64_t y, std::int64_t x) {
    return data_of(tensor) + batch * tensor.stride[0] + y * tensor.stride[1] + x * tensor.stride[2];
}

// Walks (b, h, w, c r r) together with (b, h r, w r, c): calls move(packed element, spread
// element).
template <class Move>
void for_each_shuffled(Cpu &cpu, const tessera_tensor &packed, const tessera_tensor &spread,
                       std::uint32_t factor, Move &&move) {
    const auto r = static_cast<std::int64_t>(factor);
    const std::int64_t channels = spread.shape[3];
    for_each_piece(cpu, packed.shape[0] * packed.shape[1], [&](std::int64_t row) {
        const std::int64_t b = row / packed.shape[1];
        const std::int64_t y = row % packed.shape[1];
        for (std::int64_t x = 0; x < packed.shape[2]; ++x) {
            float *together = pixel_at(packed, b, y, x);
            for (std::int64_t corner = 0; corner < r * r; ++corner) {
                float *apart = pixel_at(spread, b, y * r + corner / r, x * r + corner % r);
                for (std::int64_t c = 0; c < channels; ++c)
                    move(together[c * r * r + corner], apart[c]);
            }
        }
    });
}

// (v + 1) / 2 * 255, clipped, rounded half to even; NaN gives 0.
std::uint8_t to_byte(float v) {
    const float scaled = (v + 1.0F) / 2.0F * 255.0F;
    const float clipped = scaled > 0.0F ? (scaled < 255.0F ? scaled : 255.0F) : 0.0F;
    constexpr float kToInteger = 8388608.0F; // 2^23: adding it leaves no fraction bits
    return static_cast<std::uint8_t>((clipped + kToInteger) - kToInteger);
}

} // namespace

void gather_rows(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &index,
                 const tessera_tensor &out) {
    const std::int64_t width = x.shape[2];
    for_each_index(cpu, index, x.shape[0], out.shape[1], width,
                   [&](std::int64_t b, std::int64_t i, std::int64_t row) {
                       std::memcpy(row_at(out, b, i), row_at(x, b, row),
                                   static_cast<std::size_t>(width) * sizeof(float));
                   });
}

void scatter_rows(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &index,
                  const tessera_tensor &out) {
    const std::int64_t width = x.shape[2];
    for_each_index(cpu, index, x.shape[0], x.shape[1], width,
                   [&](std::int64_t b, std::int64_t i, std::int64_t row) {
                       std::memcpy(row_at(out, b, row), row_at(x, b, i),
                                   static_cast<std::size_t>(width) * sizeof(float));
                   });
}

void pixel_shuffle(Cpu &cpu, const tessera_tensor &x, std::uint32_t factor,
                   const tessera_tensor &out) {
    for_each_shuffled(cpu, x, out, factor, [](const float &from, float &to) { to = from; });
}

void pixel_unshuffle(Cpu &cpu, const tessera_tensor &x, std::uint32_t factor,
                     const tessera_tensor &out) {
    for_each_shuffled(cpu, out, x, factor, [](float &to, const float &from) { to = from; });
}

void to_rgba8(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &out) {
    const std::int64_t channels = x.shape[2];
    const std::int64_t green = channels == 3 ? 1 : 0;
    const std::int64_t blue = channels == 3 ? 2 : 0;
    auto *bytes = static_cast<std::uint8_t *>(out.data);
    for_each_piece(cpu, x.shape[0], [&](std::int64_t y) {
        for (std::int64_t i = 0; i < x.shape[1]; ++i) {
            const float *pixel = data_of(x) + y * x.stride[0] + i * x.stride[1];
            std::uint8_t *rgba = bytes + y * out.stride[0] + i * out.stride[1];
            rgba[0] = to_byte(pixel[0]);
            rgba[1] = to_byte(pixel[green]);
            rgba[2] = to_byte(pixel[blue]);
            rgba[3] = 255;
        }
    });
}

} // namespace tessera::cpu
