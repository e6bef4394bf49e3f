// Products of bf16 rows with bf16 weights by tensor cores, for kernels that multiply themselves: a
// tile of rows in shared memory with the weights of a few columns, the inner index spread over the
// warps of a block. Sums have one order whatever the rows next to them. Capability 8.0 and newer.
#pragma once

#include "compute/cuda/kernels/block.cuh"

#include <cuda_bf16.h>

namespace tessera::cuda {

constexpr int kMmaRows = 16;
constexpr int kMmaColumns = 8;
constexpr int kMmaSlab = 32; // of the inner index: two products, eight numbers of a lane

// Elements from row to row in shared memory: whole slabs, and rows that begin in other banks.
[[nodiscard]] __host__ __device__ inline std::int64_t mma_stride(std::int64_t inner) {
    return (inner + 63) / 64 * 64 + 32;
}

// (rows, columns) of each warp.
using MmaSums = float[kWarps][kMmaRows][kMmaColumns];

// sums += a b for (16, 16) and (16, 8), spread over the lanes of a warp (PTX, mma.m16n8k16).
__device__ inline void multiply_add(float (&sums)[4], const unsigned (&a)[4],
                                    const unsigned (&b)[2]) {
#ifdef TESSERA_CUDA_DOUBLE
    cuda_double::warp_product(sums, a, b);
#elif __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    __trap(); // never launched there
#endif
}

// Eight numbers of a weight, which never change. Volatile, so that they are asked for where it says
// so: before a barrier, not after it.
[[nodiscard]] __device__ inline uint4 weight_at(const __nv_bfloat16 *at) {
#if defined(TESSERA_CUDA_DOUBLE) || !defined(__CUDA_ARCH__)
    return *reinterpret_cast<const uint4 *>(at);
#else
    uint4 w;
    asm volatile("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w)
                 : "l"(at));
    return w;
#endif
}

// A (columns, inner) weight: rows of `stride` numbers, a multiple of 8, zeros after the last.
struct MmaWeight {
    const __nv_bfloat16 *data;
    std::int64_t stride;
    std::int64_t columns;
};

// What a lane multiplies of kMmaColumns columns of a weight: all of it for up to 1,536 numbers a
// column, the beginning otherwise.
constexpr int kMmaKept = 6; // slabs of a warp
struct MmaPart {
    uint4 of_slab[kMmaKept];
    std::int64_t first_column;
};
[[nodiscard]] __device__ inline MmaPart load_part(const MmaWeight &weight,
                                                  std::int64_t first_column) {
    const std::int64_t column = first_column + threadIdx.x % kWarp / 4;
    const __nv_bfloat16 *const of_column = weight.data + column * weight.stride;
    MmaPart part{{}, first_column};
#pragma unroll
    for (int i = 0; i < kMmaKept; ++i) {
        const std::int64_t k =
            (threadIdx.x / kWarp + i * kWarps) * kMmaSlab + 8 * (threadIdx.x % 4);
        if (column < weight.columns && k < weight.stride)
            part.of_slab[i] = weight_at(of_column + k);
    }
    return part;
}

// `rows`: kMmaRows rows of `stride` numbers in shared memory, zeros from `inner` on.
//
// A lane takes eight neighbours of the inner index at once, of the rows and of the weight alike:
// the sum does not mind which of them the two products call which.
__device__ inline void multiply_tile(const __nv_bfloat16 *rows, std::int64_t stride,
                                     const MmaWeight &weight, const MmaPart &part, MmaSums &sums) {
    const unsigned warp = threadIdx.x / kWarp;
    const unsigned group = threadIdx.x % kWarp / 4;
    const unsigned in_group = threadIdx.x % 4;
    const std::int64_t column = part.first_column + group;
    const __nv_bfloat16 *const of_column = weight.data + column * weight.stride;
    const __nv_bfloat16 *const upper = rows + group * stride;
    const __nv_bfloat16 *const lower = upper + kMmaRows / 2 * stride;
    float own[4] = {};
    const auto add = [&](std::int64_t k, const uint4 &w) {
        const uint4 u = *reinterpret_cast<const uint4 *>(upper + k);
        const uint4 l = *reinterpret_cast<const uint4 *>(lower + k);
        multiply_add(own, {u.x, l.x, u.y, l.y}, {w.x, w.y});
        multiply_add(own, {u.z, l.z, u.w, l.w}, {w.z, w.w});
    };
#pragma unroll
    for (int i = 0; i < kMmaKept; ++i) {
        const std::int64_t slab = warp + i * kWarps;
        if (slab * kMmaSlab < weight.stride) add(slab * kMmaSlab + 8 * in_group, part.of_slab[i]);
    }
    for (std::int64_t slab = warp + kMmaKept * kWarps; slab * kMmaSlab < weight.stride;
         slab += kWarps) {
        const std::int64_t k = slab * kMmaSlab + 8 * in_group;
        uint4 w{0, 0, 0, 0};
        if (column < weight.columns && k < weight.stride) w = weight_at(of_column + k);
        add(k, w);
    }
    for (unsigned i = 0; i < 4; ++i)
        sums[warp][group + i / 2 * (kMmaRows / 2)][2 * in_group + i % 2] = own[i];
}

// The sum of an element over the warps, after a barrier.
[[nodiscard]] __device__ inline float sum_of_warps(const MmaSums &sums, unsigned row,
                                                   unsigned column) {
    float total = 0.0F;
    for (const auto &of_warp : sums) total += of_warp[row][column];
    return total;
}

} // namespace tessera::cuda
