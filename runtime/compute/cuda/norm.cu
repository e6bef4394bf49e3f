// Layer norm, a warp for each row; group norm in three passes as the CPU backend has it.
#include "compute/cuda/kernels/activation.cuh"
#include "compute/cuda/kernels/warp_row.cuh"
#include "compute/cuda/ops.hpp"
#include "compute/operands.hpp"

namespace tessera::cuda {
namespace {

// One warp for each row.
__global__ void normalise_rows(const float *x, RowOffsets x_row, std::int64_t rows, RowNorm norm,
                               bool vectors, float *out, RowOffsets out_row, __nv_bfloat16 *narrow,
                               std::int64_t narrow_stride) {
    const std::int64_t row = global_thread() / kWarp;
    if (row >= rows) return;
    __nv_bfloat16 *const of_row = narrow != nullptr ? narrow + row * narrow_stride : nullptr;
    normalise_row(norm, {x + x_row(row)}, vectors, {{out + out_row(row)}, {of_row}, vectors});
}

// Whether all rows begin at 16 bytes.
[[nodiscard]] bool takes_vectors(const tessera_tensor &tensor) {
    bool all = reinterpret_cast<std::uintptr_t>(tensor.data) % sizeof(float4) == 0;
    for (std::int32_t d = 0; d + 1 < tensor.rank; ++d)
        all = all && (tensor.shape[d] == 1 || tensor.stride[d] % 4 == 0);
    return all;
}

// One warp for each row: rows are often heads, a few dozen numbers wide.
__global__ void scale_rows(const float *x, RowOffsets x_row, std::int64_t rows, const float *gamma,
                           std::int64_t width, float epsilon, float *out, RowOffsets out_row) {
    const std::int64_t row = global_thread() / kWarp;
    if (row >= rows) return;
    const float *from = x + x_row(row);
    float *to = out + out_row(row);
    float squares = 0.0F;
    for (std::int64_t i = threadIdx.x % kWarp; i < width; i += kWarp)
        squares = fmaf(from[i], from[i], squares);
    const float mean = warp_sum(squares) / static_cast<float>(width);
    const float scale = 1.0F / sqrtf(mean + epsilon);
    for (std::int64_t i = threadIdx.x % kWarp; i < width; i += kWarp)
        to[i] = gamma != nullptr ? from[i] * scale * gamma[i] : from[i] * scale;
}

// ---- group norm ----

constexpr std::int64_t kBlockPixels = 64; // of one partial statistic

// One group_norm: x and out are (batch, height, width, channels).
struct GroupNorm {
    const float *x;
    std::int64_t x_stride[3];
    float *out;
    std::int64_t out_stride[3];
    std::int64_t height, width, channels, groups;
    float *mean;    // (batch, blocks, channels), of the pixels of a block
    float *squares; // the same: sums of squared distances from that mean
    float *apply;   // (3, batch, channels): mean, scale, offset

    [[nodiscard]] __device__ std::int64_t pixels() const { return height * width; }
    [[nodiscard]] __host__ __device__ std::int64_t blocks() const {
        return (height * width + kBlockPixels - 1) / kBlockPixels;
    }
    [[nodiscard]] __device__ std::int64_t pixels_of(std::int64_t block) const {
        const std::int64_t left = pixels() - block * kBlockPixels;
        return left < kBlockPixels ? left : kBlockPixels;
    }
    [[nodiscard]] __device__ float at(std::int64_t image, std::int64_t pixel,
                                      std::int64_t channel) const {
        const Cell at = cell_of(pixel, width);
        return x[image * x_stride[0] + at.row * x_stride[1] + at.column * x_stride[2] + channel];
    }
};

// One thread per (image, block of pixels, channel).
__global__ void measure(GroupNorm norm, std::int64_t batch) {
    const std::int64_t i = global_thread();
    if (i >= batch * norm.blocks() * norm.channels) return;
    const auto [of_all, channel] = cell_of(i, norm.channels);
    const auto [image, block] = cell_of(of_all, norm.blocks());
    const std::int64_t first = block * kBlockPixels;
    const std::int64_t count = norm.pixels_of(block);
    float sum = 0.0F;
    for (std::int64_t p = 0; p < count; ++p) sum += norm.at(image, first + p, channel);
    const float mean = sum / static_cast<float>(count);
    float squares = 0.0F;
    for (std::int64_t p = 0; p < count; ++p) {
        const float d = norm.at(image, first + p, channel) - mean;
        squares = fmaf(d, d, squares);
    }
    norm.mean[i] = mean;
    norm.squares[i] = squares;
}

// Count, mean and squared distances; two are joined as Chan, Golub and LeVeque (1983) do.
struct Moments {
    double count, mean, squares;
    __device__ void join(const Moments &other) {
        if (other.count == 0.0) return;
        const double difference = other.mean - mean;
        const double share = other.count / (count + other.count);
        mean += difference * share;
        squares += other.squares + difference * difference * count * share;
        count += other.count;
    }
};

// One block of threads per (image, group): each joins every kThreads-th part, then pairs are
// joined.
__global__ void join_groups(GroupNorm norm, const float *gamma, const float *beta, float epsilon,
                            std::int64_t batch) {
    __shared__ Moments parts[kThreads];
    const std::int64_t image = blockIdx.x / norm.groups;
    const std::int64_t each = norm.channels / norm.groups;
    const std::int64_t first = blockIdx.x % norm.groups * each;
    Moments own{};
    for (std::int64_t part = threadIdx.x; part < norm.blocks() * each; part += kThreads) {
        const std::int64_t block = part / each;
        const std::int64_t at =
            (image * norm.blocks() + block) * norm.channels + first + part % each;
        own.join({static_cast<double>(norm.pixels_of(block)), static_cast<double>(norm.mean[at]),
                  static_cast<double>(norm.squares[at])});
    }
    parts[threadIdx.x] = own;
    for (unsigned apart = kThreads / 2; apart > 0; apart /= 2) {
        __syncthreads();
        if (threadIdx.x < apart) parts[threadIdx.x].join(parts[threadIdx.x + apart]);
    }
    __syncthreads();
    const Moments all = parts[0];
    const double deviation = sqrt(all.squares / all.count + static_cast<double>(epsilon));
    for (std::int64_t c = first + threadIdx.x; c < first + each; c += kThreads) {
        const std::int64_t at = image * norm.channels + c;
        const std::int64_t apart = batch * norm.channels;
        const auto mean = static_cast<float>(all.mean);
        const double factor = static_cast<double>(gamma[c]) / deviation;
        norm.apply[at] = mean;
        norm.apply[apart + at] = static_cast<float>(factor);
        // What rounding the mean to float loses goes into the offset.
        norm.apply[2 * apart + at] = static_cast<float>(
            static_cast<double>(beta[c]) - (all.mean - static_cast<double>(mean)) * factor);
    }
}

// One thread per number.
__global__ void apply_groups(GroupNorm norm, tessera_activation_kind activation,
                             std::int64_t batch) {
    const std::int64_t i = global_thread();
    if (i >= batch * norm.pixels() * norm.channels) return;
    const auto [of_all, channel] = cell_of(i, norm.channels);
    const auto [image, pixel] = cell_of(of_all, norm.pixels());
    const Cell place = cell_of(pixel, norm.width);
    const std::int64_t at = image * norm.channels + channel;
    const std::int64_t apart = batch * norm.channels;
    const float centred = norm.at(image, pixel, channel) - norm.apply[at];
    norm.out[image * norm.out_stride[0] + place.row * norm.out_stride[1] +
             place.column * norm.out_stride[2] + channel] =
        activated(fmaf(centred, norm.apply[apart + at], norm.apply[2 * apart + at]), activation);
}

} // namespace

void layer_norm(Cuda &cuda, const tessera_tensor &x, const tessera_tensor *gamma,
                const tessera_tensor *beta, float epsilon, const tessera_tensor &out) {
    // A product comes next, nearly always.
    const auto rows = operands::as_rows(out);
    __nv_bfloat16 *const narrow =
        rows ? cuda.leave_bf16({data_of(out), rows->count, rows->width, rows->stride}) : nullptr;
    if (cuda.failed()) return;
    const std::int64_t width = row_width(x);
    const RowNorm norm{.gamma = gamma != nullptr ? data_of(*gamma) : nullptr,
                       .beta = beta != nullptr ? data_of(*beta) : nullptr,
                       .epsilon = epsilon,
                       .width = static_cast<int>(width)};
    const std::int64_t count = row_count(x);
    cuda.launch("layer_norm", normalise_rows, blocks_for(count * kWarp), kThreads, data_of(x),
                RowOffsets(x, x), count, norm, takes_vectors(x) && takes_vectors(out), data_of(out),
                RowOffsets(out, out), narrow, Cuda::bf16_stride(width));
}

void rms_norm(Cuda &cuda, const tessera_tensor &x, const tessera_tensor *gamma, float epsilon,
              const tessera_tensor &out) {
    const std::int64_t rows = row_count(x);
    cuda.launch("rms_norm", scale_rows, blocks_for(rows * kWarp), kThreads, data_of(x),
                RowOffsets(x, x), rows, gamma != nullptr ? data_of(*gamma) : nullptr, row_width(x),
                epsilon, data_of(out), RowOffsets(out, out));
}

void group_norm(Cuda &cuda, const tessera_tensor &x, std::uint32_t groups,
                const tessera_tensor &gamma, const tessera_tensor &beta, float epsilon,
                tessera_activation_kind activation, const tessera_tensor &out) {
    GroupNorm norm{.x = data_of(x),
                   .x_stride = {x.stride[0], x.stride[1], x.stride[2]},
                   .out = data_of(out),
                   .out_stride = {out.stride[0], out.stride[1], out.stride[2]},
                   .height = x.shape[1],
                   .width = x.shape[2],
                   .channels = x.shape[3],
                   .groups = groups,
                   .mean = nullptr,
                   .squares = nullptr,
                   .apply = nullptr};
    const std::int64_t batch = x.shape[0];
    const std::int64_t measured = batch * norm.blocks() * norm.channels;
    norm.mean = cuda.scratch<float>(Scratch::kA, 2 * measured);
    norm.apply = cuda.scratch<float>(Scratch::kB, 3 * batch * norm.channels);
    if (norm.mean == nullptr || norm.apply == nullptr) return;
    norm.squares = norm.mean + measured;
    cuda.launch("group_norm", measure, blocks_for(measured), kThreads, norm, batch);
    cuda.launch("group_norm", join_groups, static_cast<unsigned>(batch * norm.groups), kThreads,
                norm, data_of(gamma), data_of(beta), epsilon, batch);
    cuda.launch("group_norm", apply_groups, blocks_for(*element_count(x)), kThreads, norm,
                activation, batch);
}

} // namespace tessera::cuda
