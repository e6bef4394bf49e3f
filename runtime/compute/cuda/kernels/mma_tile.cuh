// Products of bf16 by tensor cores, a tile of the result for each block of threads. Both operands
// come through shared memory, some slabs of the inner index ahead of the products. An element's sum
// runs over the inner index in one order, whatever the size of the tile it lies in.
#pragma once

#include "compute/cuda/kernels/mma.cuh"

namespace tessera::cuda {

// ---- copies into shared memory that run meanwhile, in groups ----

// 16 bytes, or zeros where nothing is there; `from` is an address that exists either way.
__device__ inline void copy_later(void *to, const void *from, bool there) {
#ifdef TESSERA_CUDA_DOUBLE
    cuda_double::copy_later(to, there ? from : nullptr);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(to))), "l"(from),
                   "r"(there ? 16 : 0)
                 : "memory");
#else
    __trap(); // never launched there
#endif
}
// What was asked for since the last group is a group.
__device__ inline void end_group() {
#ifdef TESSERA_CUDA_DOUBLE
    cuda_double::end_group();
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" : : : "memory");
#endif
}
// Waits for this thread's groups, but for the last kLeft ones.
template <int kLeft>
__device__ inline void await_groups() {
#ifdef TESSERA_CUDA_DOUBLE
    cuda_double::await_groups(kLeft);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" : : "n"(kLeft) : "memory");
#endif
}

// ---- tiles ----

constexpr int kTileSlab = 64;              // of the inner index in shared memory at once
constexpr int kTileChunks = kTileSlab / 8; // of 16 bytes, in a row of a slab
constexpr int kWarpsDown = 2, kWarpsAcross = 4;

// Each warp makes kDown times kAcross products of 16 rows and 8 columns.
template <int kDownOfWarp, int kAcrossOfWarp>
struct MmaTile {
    static constexpr int kDown = kDownOfWarp, kAcross = kAcrossOfWarp;
    static constexpr int kRows = kWarpsDown * kDown * kMmaRows;
    static constexpr int kColumns = kWarpsAcross * kAcross * kMmaColumns;
    static constexpr int kStages = kDown > 2 ? 3 : 4;
    static constexpr int kStageNumbers = (kRows + kColumns) * kTileSlab;
    static constexpr std::size_t kSharedBytes =
        sizeof(__nv_bfloat16) * kStages * static_cast<std::size_t>(kStageNumbers);
    // Of a lane: elements as mma leaves them, see tile_row and tile_column.
    using Sums = float[kDown][kAcross][4];
};

// Where element i of a lane's product (down, across) lies in the tile.
template <class Tile>
[[nodiscard]] __device__ int tile_row(int down, int i) {
    const int warp = static_cast<int>(threadIdx.x / kWarp) / kWarpsAcross;
    return (warp * Tile::kDown + down) * kMmaRows + static_cast<int>(threadIdx.x % kWarp) / 4 +
           i / 2 * (kMmaRows / 2);
}
template <class Tile>
[[nodiscard]] __device__ int tile_column(int across, int i) {
    const int warp = static_cast<int>(threadIdx.x / kWarp) % kWarpsAcross;
    return (warp * Tile::kAcross + across) * kMmaColumns + 2 * static_cast<int>(threadIdx.x % 4) +
           i % 2;
}

// Where chunk `chunk` of a row lies in a slab: rows next to each other have their halves the other
// way round, so that a quarter of a warp, which reads half of two rows, meets every bank once.
[[nodiscard]] __device__ inline int chunk_at(int row, int chunk) {
    return (row * kTileChunks + (chunk ^ ((row & 1) << 2))) * 8;
}

// What a thread copies of every slab: a chunk of some rows of both operands.
template <class Tile>
struct SlabSource {
    static constexpr int kAsks =
        (Tile::kRows + Tile::kColumns) * kTileChunks / static_cast<int>(kThreads);
    const __nv_bfloat16 *from[kAsks]; // of slab 0
    unsigned there;                   // bit by bit: whether there is such a row
    int inner;                        // numbers of a row

    __device__ SlabSource(const __nv_bfloat16 *x, std::int64_t rows, const MmaWeight &weight,
                          std::int64_t first_row, std::int64_t first_column)
        : there(0), inner(static_cast<int>(weight.stride)) {
#pragma unroll
        for (int ask = 0; ask < kAsks; ++ask) {
            const bool of_x = row(ask) < Tile::kRows;
            const std::int64_t at =
                of_x ? first_row + row(ask) : first_column + row(ask) - Tile::kRows;
            const bool is = at < (of_x ? rows : weight.columns);
            from[ask] = (of_x ? x : weight.data) + (is ? at * weight.stride : 0) +
                        (8 * chunk() < inner ? 8 * chunk() : 0);
            there |= (is ? 1U : 0U) << ask;
        }
    }
    [[nodiscard]] static __device__ int chunk() {
        return static_cast<int>(threadIdx.x) % kTileChunks;
    }
    [[nodiscard]] static __device__ int row(int ask) {
        return (static_cast<int>(threadIdx.x) + ask * static_cast<int>(kThreads)) / kTileChunks;
    }
    // Asks for a slab; zeros beyond the rows and their numbers.
    __device__ void ask(int slab, __nv_bfloat16 *stage) const {
        const bool inside = slab * kTileSlab + 8 * chunk() < inner;
#pragma unroll
        for (int ask = 0; ask < kAsks; ++ask) {
            copy_later(stage + chunk_at(row(ask), chunk()),
                       from[ask] + (inside ? slab * kTileSlab : 0),
                       inside && (there >> ask & 1U) != 0);
        }
    }
};

// sums += the products of a slab.
template <class Tile>
__device__ void multiply_slab(const __nv_bfloat16 *stage, typename Tile::Sums &sums) {
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    const auto read = [&](int row, int half) {
        return *reinterpret_cast<const uint4 *>(stage + chunk_at(row, 4 * half + lane % 4));
    };
#pragma unroll
    for (int half = 0; half < kTileSlab / kMmaSlab; ++half) {
        uint4 columns[Tile::kAcross];
#pragma unroll
        for (int n = 0; n < Tile::kAcross; ++n) {
            const int first = tile_column<Tile>(n, 0) - 2 * (lane % 4);
            columns[n] = read(Tile::kRows + first + lane / 4, half);
        }
#pragma unroll
        for (int m = 0; m < Tile::kDown; ++m) {
            const uint4 u = read(tile_row<Tile>(m, 0), half);
            const uint4 l = read(tile_row<Tile>(m, 2), half);
#pragma unroll
            for (int n = 0; n < Tile::kAcross; ++n) {
                multiply_add(sums[m][n], {u.x, l.x, u.y, l.y}, {columns[n].x, columns[n].y});
                multiply_add(sums[m][n], {u.z, l.z, u.w, l.w}, {columns[n].z, columns[n].w});
            }
        }
    }
}

// sums = x w^T for the tile whose first element is given; by all threads of the block, with
// Tile::kSharedBytes of shared memory. x: rows of weight.stride numbers from 16 bytes on, zeros
// from the weight's own width on.
template <class Tile>
__device__ void multiply_tiles(const __nv_bfloat16 *x, std::int64_t rows, const MmaWeight &weight,
                               std::int64_t first_row, std::int64_t first_column,
                               typename Tile::Sums &sums) {
    auto *const stages = dynamic_shared<__nv_bfloat16>();
    const int slabs = static_cast<int>((weight.stride + kTileSlab - 1) / kTileSlab);
    const SlabSource<Tile> source(x, rows, weight, first_row, first_column);
    const auto stage_of = [&](int slab) {
        return stages + slab % Tile::kStages * Tile::kStageNumbers;
    };
    const auto ask = [&](int slab) {
        if (slab < slabs) source.ask(slab, stage_of(slab));
        end_group(); // also an empty one: the groups are counted
    };
#pragma unroll
    for (int slab = 0; slab < Tile::kStages - 1; ++slab) ask(slab);
    const int first_of_warp = tile_row<Tile>(0, 0) - static_cast<int>(threadIdx.x % kWarp) / 4;
    const bool works = first_row + first_of_warp < rows; // all lanes of a warp alike
    for (int slab = 0; slab < slabs; ++slab) {
        await_groups<Tile::kStages - 2>();
        __syncthreads(); // the slab is there for all, the one before it has been read by all
        ask(slab + Tile::kStages - 1);
        if (works) multiply_slab<Tile>(stage_of(slab), sums);
    }
}

} // namespace tessera::cuda
