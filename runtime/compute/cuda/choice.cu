// Softmax, the largest of each row, draws by logits, and rows that hold what is not finite: a block
// of threads for each row. Every sum has one order.
#include "compute/cuda/kernels/block.cuh"
#include "compute/cuda/kernels/random.cuh"
#include "compute/cuda/ops.hpp"
#include "compute/operands.hpp"

#include <bit>
#include <limits>

namespace tessera::cuda {
namespace {

constexpr std::int32_t kNone = -1;

// What the threads of a block hold, joined pair by pair; the same for each of them.
template <class T, class Join>
[[nodiscard]] __device__ T block_fold(T own, const Join &join) {
    __shared__ T parts[kThreads];
    __syncthreads(); // the fold before this one has been read
    parts[threadIdx.x] = own;
    for (unsigned apart = kThreads / 2; apart > 0; apart /= 2) {
        __syncthreads();
        if (threadIdx.x < apart)
            parts[threadIdx.x] = join(parts[threadIdx.x], parts[threadIdx.x + apart]);
    }
    __syncthreads();
    return parts[0];
}

[[nodiscard]] __device__ double block_total(double own) {
    return block_fold(own, [](double a, double b) { return a + b; });
}
[[nodiscard]] __device__ std::int32_t block_count(std::int32_t own) {
    return block_fold(own, [](std::int32_t a, std::int32_t b) { return a + b; });
}

// The largest number of a row and where it is first; at kNone: some number is not one.
struct Largest {
    float value;
    std::int32_t at;
};

[[nodiscard]] __device__ Largest largest(const float *x, std::int64_t width) {
    Largest own{-INFINITY, std::numeric_limits<std::int32_t>::max()};
    for (std::int64_t i = threadIdx.x; i < width; i += kThreads) {
        if (x[i] != x[i]) own.at = kNone;
        if (own.at == kNone) break;
        if (x[i] > own.value || own.at == std::numeric_limits<std::int32_t>::max())
            own = {x[i], static_cast<std::int32_t>(i)};
    }
    return block_fold(own, [](Largest a, Largest b) {
        if (a.at == kNone || b.at == kNone) return Largest{0.0F, kNone};
        if (a.value != b.value) return a.value > b.value ? a : b;
        return a.at < b.at ? a : b;
    });
}

__global__ void soften(const float *x, RowOffsets x_row, std::int64_t width, float scale,
                       float *out, RowOffsets out_row) {
    const float *from = x + x_row(blockIdx.x);
    float *to = out + out_row(blockIdx.x);
    // As fmaxf: what is not a number shows in the sum.
    float own = -INFINITY;
    for (std::int64_t i = threadIdx.x; i < width; i += kThreads) own = fmaxf(own, from[i] * scale);
    const float top = block_fold(own, [](float a, float b) { return fmaxf(a, b); });
    const bool nothing = top == -INFINITY;
    float sum = 0.0F;
    for (std::int64_t i = threadIdx.x; i < width; i += kThreads)
        sum += expf(from[i] * scale - (nothing ? 0.0F : top));
    const float total = block_sum(sum);
    for (std::int64_t i = threadIdx.x; i < width; i += kThreads) {
        const float weight = expf(from[i] * scale - (nothing ? 0.0F : top));
        to[i] = total == 0.0F ? 0.0F : weight / total;
    }
}

__global__ void find_largest(const float *x, std::int64_t stride, std::int64_t width,
                             std::int32_t *out) {
    const Largest found = largest(x + static_cast<std::int64_t>(blockIdx.x) * stride, width);
    if (threadIdx.x == 0) out[blockIdx.x] = found.at;
}

// Bits whose order as integers is that of the numbers.
[[nodiscard]] __device__ std::uint32_t ordered(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

struct Draw {
    const float *x; // (rows, width)
    std::int64_t stride, width;
    float temperature, top_p;
    std::int32_t top_k;
    NormalSource source;
    const std::int32_t *index; // (rows, 2)
    std::int32_t *out;
};

// The logits of a row that are kept, and their weights.
struct Kept {
    const float *x;
    std::int64_t width;
    float scale, top;
    std::uint32_t least_logit = 0, least_weight = 0; // ordered bits

    [[nodiscard]] __device__ float weight(std::int64_t i) const {
        if (ordered(x[i]) < least_logit) return 0.0F;
        const float weight = expf(x[i] * scale - top * scale);
        return ordered(weight) < least_weight ? 0.0F : weight;
    }
    [[nodiscard]] __device__ double total() const {
        double own = 0.0;
        for (std::int64_t i = threadIdx.x; i < width; i += kThreads)
            own += static_cast<double>(weight(i));
        return block_total(own);
    }

    // Both find the largest threshold that keeps enough, bit by bit from the highest one.
    __device__ void keep_largest(std::int32_t count) {
        std::uint32_t least = 0;
        for (std::uint32_t bit = 0x80000000U; bit != 0; bit >>= 1U) {
            std::int32_t own = 0;
            for (std::int64_t i = threadIdx.x; i < width; i += kThreads)
                own += ordered(x[i]) >= (least | bit) ? 1 : 0;
            if (block_count(own) >= count) least |= bit;
        }
        least_logit = least;
    }
    __device__ void keep_likeliest(float share) {
        const double wanted = total() * static_cast<double>(share);
        std::uint32_t least = 0;
        for (std::uint32_t bit = 0x80000000U; bit != 0; bit >>= 1U) {
            least_weight = least | bit;
            if (total() >= wanted) least = least_weight;
        }
        least_weight = least;
    }

    // The first index at which the running sum exceeds u times the total. Every thread sums a
    // stretch of the row, one finds whose stretch it is, and that one finds the place.
    __device__ void pick(float u, std::int32_t *out) const {
        __shared__ double sums[kThreads];
        const std::int64_t stretch = (width + kThreads - 1) / kThreads;
        const std::int64_t begin = threadIdx.x * stretch;
        const std::int64_t end = begin + stretch < width ? begin + stretch : width;
        double own = 0.0;
        for (std::int64_t i = begin; i < end; ++i) own += static_cast<double>(weight(i));
        sums[threadIdx.x] = own;
        __syncthreads();
        if (threadIdx.x != 0) return;
        double all = 0.0;
        std::int64_t last = 0; // stretch that has a weight
        for (std::int64_t t = 0; t < kThreads; ++t) {
            all += sums[t];
            if (sums[t] > 0.0) last = t;
        }
        const double target = all * static_cast<double>(u);
        double before = 0.0;
        std::int64_t found = 0;
        while (found < last && before + sums[found] <= target) before += sums[found++];
        std::int64_t chosen = found * stretch;
        for (std::int64_t i = found * stretch; i < width && i < (found + 1) * stretch; ++i) {
            const float share = weight(i);
            if (share > 0.0F) chosen = i;
            before += static_cast<double>(share);
            if (before > target) break;
        }
        *out = static_cast<std::int32_t>(chosen);
    }
};

__global__ void draw_rows(Draw draw) {
    const std::int64_t row = blockIdx.x;
    const float *x = draw.x + row * draw.stride;
    const Largest best = largest(x, draw.width);
    std::int32_t *out = draw.out + row;
    if (best.at == kNone || draw.temperature == 0.0F || !(fabsf(best.value) < INFINITY)) {
        const bool fits = draw.temperature == 0.0F && best.at != kNone;
        if (threadIdx.x == 0) *out = fits ? best.at : kNone;
        return;
    }
    Kept kept{x, draw.width, 1.0F / draw.temperature, best.value};
    if (draw.top_k > 0 && draw.top_k < draw.width) kept.keep_largest(draw.top_k);
    if (draw.top_p > 0.0F && draw.top_p < 1.0F) kept.keep_likeliest(draw.top_p);
    kept.pick(draw.source.share(draw.index[2 * row], draw.index[2 * row + 1]), out);
}

__global__ void set_integer(std::int32_t *out, std::int32_t value) { *out = value; }

__global__ void find_not_finite(const float *x, RowOffsets x_row, std::int64_t rows,
                                std::int64_t width, std::int32_t *first) {
    const std::int64_t i = global_thread();
    if (i >= rows * width) return;
    const std::int64_t row = i / width;
    if (!(fabsf(x[x_row(row) + i - row * width]) < INFINITY))
        atomicMin(first, static_cast<std::int32_t>(row));
}

} // namespace

void softmax(Cuda &cuda, const tessera_tensor &x, float scale, const tessera_tensor &out) {
    cuda.launch("softmax", soften, static_cast<unsigned>(row_count(x)), kThreads, data_of(x),
                RowOffsets(x, x), row_width(x), scale, data_of(out), RowOffsets(out, out));
}

void argmax(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &out) {
    const auto rows = operands::as_rows(x);
    cuda.launch("argmax", find_largest, static_cast<unsigned>(rows->count), kThreads, data_of(x),
                rows->stride, rows->width, static_cast<std::int32_t *>(out.data));
}

void choose(Cuda &cuda, const tessera_tensor &x, const tessera_choice &options,
            const tessera_tensor &out) {
    if (options.temperature == 0.0F) return argmax(cuda, x, out);
    const auto rows = operands::as_rows(x);
    const tessera_random random = operations::copy_options(options.random);
    const std::int32_t *index = image_positions(cuda, *random.index);
    if (index == nullptr) return;
    const std::int64_t most = std::min<std::int64_t>(options.top_k, rows->width);
    const Draw draw{.x = data_of(x),
                    .stride = rows->stride,
                    .width = rows->width,
                    .temperature = options.temperature,
                    .top_p = options.top_p,
                    .top_k = static_cast<std::int32_t>(most),
                    .source = NormalSource(random),
                    .index = index,
                    .out = static_cast<std::int32_t *>(out.data)};
    cuda.launch("choose", draw_rows, static_cast<unsigned>(rows->count), kThreads, draw);
}

void first_not_finite(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &out) {
    const std::int64_t rows = row_count(x);
    auto *first = static_cast<std::int32_t *>(out.data);
    cuda.launch("first_not_finite", set_integer, 1, 1, first, static_cast<std::int32_t>(rows));
    cuda.launch("first_not_finite", find_not_finite, blocks_for(rows * row_width(x)), kThreads,
                data_of(x), RowOffsets(x, x), rows, row_width(x), first);
}

} // namespace tessera::cuda
