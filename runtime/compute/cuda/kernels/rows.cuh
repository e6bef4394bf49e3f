// How kernels walk tensors: rows of any stride, one thread per element.
#pragma once

#include "compute/cuda/cuda.hpp"
#include "compute/row_shape.hpp"

#include <algorithm>

namespace tessera::cuda {

constexpr unsigned kThreads = 256; // of a block, where nothing else is said

[[nodiscard]] inline unsigned blocks_for(std::int64_t count, std::int64_t per_block = kThreads) {
    return static_cast<unsigned>((count + per_block - 1) / per_block);
}

// Element i of rows of `width` numbers: by 32-bit division where that will do, which is several
// times as fast.
struct Cell {
    std::int64_t row, column;
};
[[nodiscard]] __device__ inline Cell cell_of(std::int64_t i, std::int64_t width) {
    if (((i | width) >> 32) == 0) {
        const auto at = static_cast<std::uint32_t>(i);
        const auto of = static_cast<std::uint32_t>(width);
        const std::uint32_t row = at / of;
        return {row, at - row * of};
    }
    const std::int64_t row = i / width;
    return {row, i - row * width};
}

[[nodiscard]] __device__ inline std::int64_t global_thread() {
    return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// The shared memory that the launch asked for.
template <class T>
[[nodiscard]] __device__ T *dynamic_shared() {
#ifdef TESSERA_CUDA_DOUBLE
    return static_cast<T *>(cuda_double::dynamic_shared());
#else
    extern __shared__ __align__(16) unsigned char memory[];
    return reinterpret_cast<T *>(memory);
#endif
}

// Where row r of `over` begins in `tensor`, whose missing or single dimensions are repeated.
struct RowOffsets {
    std::int64_t extent[TESSERA_MAX_RANK - 1]{1, 1, 1};
    std::int64_t stride[TESSERA_MAX_RANK - 1]{};

    RowOffsets() = default;
    RowOffsets(const tessera_tensor &tensor, const tessera_tensor &over) {
        for (std::int32_t d = 0; d + 1 < over.rank; ++d) {
            const std::int32_t in_over = over.rank - 2 - d;
            const std::int32_t in_tensor = tensor.rank - 2 - d;
            extent[d] = over.shape[in_over];
            stride[d] =
                in_tensor >= 0 && tensor.shape[in_tensor] != 1 ? tensor.stride[in_tensor] : 0;
        }
    }

    [[nodiscard]] __device__ std::int64_t operator()(std::int64_t row) const {
        const Cell lower = cell_of(row, extent[0]);
        const Cell upper = cell_of(lower.row, extent[1]);
        return lower.column * stride[0] + upper.column * stride[1] + upper.row * stride[2];
    }
};

template <int N>
struct Offsets {
    RowOffsets of[N];
};

// body(where the row begins in each of N tensors, column) for every element.
template <int N, class Body>
__global__ void each_element(std::int64_t rows, std::int64_t width, Offsets<N> offsets, Body body) {
    const std::int64_t i = global_thread();
    if (i >= rows * width) return;
    const Cell cell = cell_of(i, width);
    std::int64_t at[N];
    for (int n = 0; n < N; ++n) at[n] = offsets.of[n](cell.row);
    body(at, cell.column);
}

// Launches it over the rows of `over`.
template <int N, class Body>
void for_each_row_element(Cuda &cuda, const char *what, const tessera_tensor &over,
                          const std::array<const tessera_tensor *, N> &tensors, const Body &body) {
    Offsets<N> offsets;
    for (std::size_t n = 0; n < N; ++n) offsets.of[n] = RowOffsets(*tensors[n], over);
    const std::int64_t rows = row_count(over);
    const std::int64_t width = row_width(over);
    cuda.launch(what, each_element<N, Body>, blocks_for(rows * width), kThreads, rows, width,
                offsets, body);
}

// The same for operations that do not care where rows end: gapless tensors of one shape are one
// long row.
template <int N, class Body>
void for_each_element(Cuda &cuda, const char *what, const tessera_tensor &over,
                      const std::array<const tessera_tensor *, N> &tensors, const Body &body) {
    const bool flat = std::all_of(tensors.begin(), tensors.end(), [&](const tessera_tensor *t) {
        return is_contiguous(*t) && has_same_shape(*t, over);
    });
    if (!flat) return for_each_row_element<N>(cuda, what, over, tensors, body);
    const std::int64_t count = row_count(over) * row_width(over);
    cuda.launch(what, each_element<N, Body>, blocks_for(count), kThreads, std::int64_t{1}, count,
                Offsets<N>{}, body);
}

} // namespace tessera::cuda
