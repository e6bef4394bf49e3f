// Products of bf16 whose sums have a way to go: bias, activation, gate and residual, then the norm
// of the rows, in one launch. cuBLASLt would take two or three, and the bits of a row would be its
// choice; here they depend on the row alone.
//
// The norm of a row needs all its columns, which many blocks of threads make. The last of them to
// come, whichever it is, makes the norms of the rows that they share: it alone sees them whole.
#include "compute/cuda/kernels/linear.cuh"
#include "compute/cuda/kernels/mma_tile.cuh"

namespace tessera::cuda {
namespace {

struct Call {
    const __nv_bfloat16 *x;
    std::int64_t rows;
    MmaWeight weight;
    Epilogue epilogue;
    float *out;
    std::int64_t out_stride;
    bool pairs, vectors; // out takes two numbers at a time; it and the norm take four
    ProductNorm norm;
    unsigned *arrived; // by tile of rows: tiles of columns that are there; 0 before and after
    __nv_bfloat16 *narrow;
    std::int64_t narrow_stride;
};

// Columns `column` and the next one of a row.
__device__ void write_pair(const Call &call, std::int64_t row, std::int64_t column, float first,
                           float second) {
    float *const out = call.out + row * call.out_stride + column;
    const bool both = column + 1 < call.weight.columns;
    const float a = call.epilogue(row, column, first);
    const float b = both ? call.epilogue(row, column + 1, second) : 0.0F;
    if (both && call.pairs) {
        *reinterpret_cast<float2 *>(out) = float2{a, b};
    } else {
        out[0] = a;
        if (both) out[1] = b;
    }
    if (call.narrow == nullptr || call.norm.to != nullptr) return;
    __nv_bfloat16 *const narrow = call.narrow + row * call.narrow_stride + column;
    narrow[0] = __float2bfloat16_rn(a);
    if (both) narrow[1] = __float2bfloat16_rn(b);
}

// Whether this block is the last of those with the same rows to come here; all threads call it.
__device__ bool comes_last(unsigned *arrived, unsigned blocks) {
    __shared__ bool last;
    __threadfence(); // what this thread wrote is there for whoever comes after
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(arrived, 1U) + 1 == blocks;
        if (last) *arrived = 0;
    }
    __syncthreads();
    __threadfence();
    return last;
}

__device__ void normalise_rows(const Call &call, std::int64_t first, std::int64_t end) {
    for (std::int64_t row = first + threadIdx.x / kWarp; row < end; row += kWarps) {
        __nv_bfloat16 *const narrow =
            call.narrow != nullptr ? call.narrow + row * call.narrow_stride : nullptr;
        normalise_row(call.norm.norm, {call.out + row * call.out_stride}, call.vectors,
                      {{call.norm.to + row * call.norm.stride}, {narrow}, call.vectors});
    }
}

// Tiles of rows along x, of which there may be many.
template <class Tile>
__global__ void multiply_rows(const __grid_constant__ Call call) {
    const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.x) * Tile::kRows;
    const std::int64_t first_column = static_cast<std::int64_t>(blockIdx.y) * Tile::kColumns;
    typename Tile::Sums sums = {};
    multiply_tiles<Tile>(call.x, call.rows, call.weight, first_row, first_column, sums);
#pragma unroll
    for (int m = 0; m < Tile::kDown; ++m) {
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
            const std::int64_t row = first_row + tile_row<Tile>(m, i);
            if (row >= call.rows) continue;
#pragma unroll
            for (int n = 0; n < Tile::kAcross; ++n) {
                const std::int64_t column = first_column + tile_column<Tile>(n, i);
                if (column < call.weight.columns)
                    write_pair(call, row, column, sums[m][n][i], sums[m][n][i + 1]);
            }
        }
    }
    if (call.norm.to == nullptr) return;
    if (!comes_last(call.arrived + blockIdx.x, gridDim.y)) return;
    const std::int64_t end = first_row + Tile::kRows;
    normalise_rows(call, first_row, end < call.rows ? end : call.rows);
}

template <class Tile>
dim3 grid_of(const Call &call) {
    return {blocks_for(call.rows, Tile::kRows), blocks_for(call.weight.columns, Tile::kColumns), 1};
}

// How long it takes, by what the busiest multiprocessor reads.
template <class Tile>
std::int64_t cost_of(const Cuda &cuda, const Call &call) {
    const dim3 grid = grid_of<Tile>(call);
    const std::int64_t tiles = static_cast<std::int64_t>(grid.x) * grid.y;
    const std::int64_t turns = (tiles + cuda.multiprocessors() - 1) / cuda.multiprocessors();
    return turns * (Tile::kRows + Tile::kColumns);
}

template <class Tile>
void run(Cuda &cuda, const char *what, Call &call) {
    const dim3 grid = grid_of<Tile>(call);
    if (call.norm.to != nullptr) {
        call.arrived = cuda.counters(grid.x);
        if (call.arrived == nullptr) return;
    }
    cuda.launch_shared(what, multiply_rows<Tile>, grid, kThreads, Tile::kSharedBytes, call);
}

[[nodiscard]] bool at_bytes(std::uintptr_t bytes, const float *data, std::int64_t stride) {
    return reinterpret_cast<std::uintptr_t>(data) % bytes == 0 &&
           static_cast<std::uintptr_t>(stride) * sizeof(float) % bytes == 0;
}

} // namespace

void multiply_mma(Cuda &cuda, const char *what, const __nv_bfloat16 *x, std::int64_t rows,
                  const PackedWeight &weight, const Epilogue &epilogue, float *out,
                  std::int64_t out_stride, const ProductNorm &norm, __nv_bfloat16 *narrow,
                  std::int64_t narrow_stride) {
    Call call{
        .x = x,
        .rows = rows,
        .weight = {static_cast<const __nv_bfloat16 *>(weight.data), weight.stride, weight.columns},
        .epilogue = epilogue,
        .out = out,
        .out_stride = out_stride,
        .pairs = at_bytes(sizeof(float2), out, out_stride),
        .vectors = at_bytes(sizeof(float4), out, out_stride) &&
                   at_bytes(sizeof(float4), norm.to, norm.stride) && weight.columns % 4 == 0,
        .norm = norm,
        .arrived = nullptr,
        .narrow = narrow,
        .narrow_stride = narrow_stride};
    // The bits are the same in tiles of any size.
    using Large = MmaTile<4, 4>;
    using Middle = MmaTile<2, 2>;
    using Small = MmaTile<1, 1>;
    const std::int64_t large = cost_of<Large>(cuda, call);
    const std::int64_t middle = cost_of<Middle>(cuda, call);
    const std::int64_t small = cost_of<Small>(cuda, call);
    if (small < middle && small < large) return run<Small>(cuda, what, call);
    if (middle < large) return run<Middle>(cuda, what, call);
    run<Large>(cuda, what, call);
}

} // namespace tessera::cuda
