// Rows picked by index, pixels rearranged, images made into bytes.
#include "compute/cuda/kernels/rows.cuh"
#include "compute/cuda/ops.hpp"

namespace tessera::cuda {
namespace {

// The rows of a (batch, rows, width) tensor.
struct Rows3 {
    float *data;
    std::int64_t batch_stride;
    std::int64_t stride;
    explicit Rows3(const tessera_tensor &t)
        : data(data_of(t)), batch_stride(t.stride[0]), stride(t.stride[1]) {}
    [[nodiscard]] __device__ float *at(std::int64_t b, std::int64_t row) const {
        return data + b * batch_stride + row * stride;
    }
};

// One thread per number of the picked rows (batch, count, width).
template <bool Scatter>
__global__ void pick_rows(Rows3 x, Rows3 out, Indices index, IndexCheck check, std::int64_t limit,
                          std::int64_t batch, std::int64_t count, std::int64_t width) {
    const std::int64_t i = global_thread();
    if (i >= batch * count * width) return;
    const std::int64_t flat = i / width;
    const std::int64_t c = i % width;
    const std::int64_t b = flat / count;
    const std::int64_t nth = flat % count;
    const std::int64_t row = index(b, nth);
    const bool inside = check(row, limit);
    if (Scatter && inside) out.at(b, row)[c] = x.at(b, nth)[c];
    if (!Scatter) out.at(b, nth)[c] = inside ? x.at(b, row)[c] : NAN;
}

template <bool Scatter>
void pick(Cuda &cuda, const char *what, const tessera_tensor &x, const tessera_tensor &index,
          const tessera_tensor &out) {
    Indices indices;
    if (!take_indices(cuda, index, &indices)) return;
    const tessera_tensor &picked = Scatter ? x : out;
    const std::int64_t count = picked.shape[1];
    cuda.launch(what, pick_rows<Scatter>, blocks_for(picked.shape[0] * count * picked.shape[2]),
                kThreads, Rows3(x), Rows3(out), indices, cuda.check_indices(what, &index),
                (Scatter ? out : x).shape[1], picked.shape[0], count, picked.shape[2]);
}

// A (batch, height, width, channels) tensor.
struct Pixels {
    float *data;
    std::int64_t stride[3];
    explicit Pixels(const tessera_tensor &t)
        : data(data_of(t)), stride{t.stride[0], t.stride[1], t.stride[2]} {}
    [[nodiscard]] __device__ float *at(std::int64_t b, std::int64_t y, std::int64_t x) const {
        return data + b * stride[0] + y * stride[1] + x * stride[2];
    }
};

// One thread per number of `packed` (b, h, w, c r r); `spread` is (b, h r, w r, c).
template <bool Spread>
__global__ void shuffle(Pixels packed, Pixels spread, std::int64_t batch, std::int64_t height,
                        std::int64_t width, std::int64_t channels, std::int64_t factor) {
    const std::int64_t i = global_thread();
    const std::int64_t together = channels * factor * factor;
    if (i >= batch * height * width * together) return;
    const std::int64_t pixel = i / together;
    const std::int64_t channel = i % together;
    const std::int64_t x = pixel % width;
    const std::int64_t y = pixel / width % height;
    const std::int64_t b = pixel / width / height;
    const std::int64_t corner = channel % (factor * factor);
    float *one = packed.at(b, y, x) + channel;
    float *other = spread.at(b, y * factor + corner / factor, x * factor + corner % factor) +
                   channel / (factor * factor);
    if (Spread)
        *other = *one;
    else
        *one = *other;
}

template <bool Spread>
void run_shuffle(Cuda &cuda, const char *what, const tessera_tensor &packed,
                 const tessera_tensor &spread, std::uint32_t factor) {
    cuda.launch(what, shuffle<Spread>, blocks_for(*element_count(packed)), kThreads, Pixels(packed),
                Pixels(spread), packed.shape[0], packed.shape[1], packed.shape[2], spread.shape[3],
                static_cast<std::int64_t>(factor));
}

// (v + 1) / 2 * 255, clipped, rounded half to even; NaN gives 0.
__device__ std::uint8_t to_byte(float v) {
    const float scaled = (v + 1.0F) / 2.0F * 255.0F;
    const float clipped = scaled > 0.0F ? (scaled < 255.0F ? scaled : 255.0F) : 0.0F;
    constexpr float kToInteger = 8388608.0F; // 2^23: adding it leaves no fraction bits
    return static_cast<std::uint8_t>((clipped + kToInteger) - kToInteger);
}

// One thread per pixel; x is (height, width, 1 or 3).
__global__ void pixels_to_bytes(const float *x, std::int64_t x_row, std::int64_t x_column,
                                std::int64_t height, std::int64_t width, std::int64_t channels,
                                std::uint8_t *out, std::int64_t out_row, std::int64_t out_column) {
    const std::int64_t i = global_thread();
    if (i >= height * width) return;
    const float *pixel = x + i / width * x_row + i % width * x_column;
    std::uint8_t *rgba = out + i / width * out_row + i % width * out_column;
    const std::uint8_t red = to_byte(pixel[0]);
    rgba[0] = red;
    rgba[1] = channels == 3 ? to_byte(pixel[1]) : red;
    rgba[2] = channels == 3 ? to_byte(pixel[2]) : red;
    rgba[3] = 255;
}

} // namespace

void gather_rows(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &index,
                 const tessera_tensor &out) {
    pick<false>(cuda, "gather_rows", x, index, out);
}

void scatter_rows(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &index,
                  const tessera_tensor &out) {
    pick<true>(cuda, "scatter_rows", x, index, out);
}

void pixel_shuffle(Cuda &cuda, const tessera_tensor &x, std::uint32_t factor,
                   const tessera_tensor &out) {
    run_shuffle<true>(cuda, "pixel_shuffle", x, out, factor);
}

void pixel_unshuffle(Cuda &cuda, const tessera_tensor &x, std::uint32_t factor,
                     const tessera_tensor &out) {
    run_shuffle<false>(cuda, "pixel_unshuffle", out, x, factor);
}

void to_rgba8(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &out) {
    cuda.launch("to_rgba8", pixels_to_bytes, blocks_for(x.shape[0] * x.shape[1]), kThreads,
                data_of(x), x.stride[0], x.stride[1], x.shape[0], x.shape[1], x.shape[2],
                static_cast<std::uint8_t *>(out.data), out.stride[0], out.stride[1]);
}

} // namespace tessera::cuda
