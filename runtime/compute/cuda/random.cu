// normal: Philox words and Box-Muller, the bits of the CPU backend.
#include "compute/cuda/kernels/random.cuh"

#include "compute/cuda/kernels/rows.cuh"
#include "compute/cuda/ops.hpp"
#include "compute/operands.hpp"

namespace tessera::cuda {
namespace {

// One thread per counter, so per four elements of a row.
__global__ void draw(NormalSource source, const std::int32_t *index, std::int64_t rows,
                     std::int64_t width, float *out, std::int64_t stride) {
    const std::int64_t quads = (width + 3) / 4;
    const std::int64_t i = global_thread();
    if (i >= rows * quads) return;
    const std::int64_t row = i / quads;
    const std::int64_t quad = i % quads;
    const auto numbers = source.quad(index[2 * row], index[2 * row + 1], 0, quad);
    for (std::int64_t e = 4 * quad; e < width && e < 4 * quad + 4; ++e)
        out[row * stride + e] = numbers[static_cast<std::size_t>(e - 4 * quad)];
}

} // namespace

const std::int32_t *image_positions(Cuda &cuda, const tessera_tensor &index) {
    const auto *values = static_cast<const std::int32_t *>(index.data);
    if (is_contiguous(index)) return cuda.table(values, 2 * index.shape[0]);
    std::vector<std::int32_t> pairs;
    for (std::int64_t row = 0; row < index.shape[0]; ++row) {
        pairs.push_back(values[row * index.stride[0]]);
        pairs.push_back(values[row * index.stride[0] + index.stride[1]]);
    }
    return cuda.table(pairs.data(), 2 * index.shape[0]);
}

void normal(Cuda &cuda, const tessera_random &random, const tessera_tensor &out) {
    const auto rows = operands::as_rows(out);
    const std::int32_t *index = image_positions(cuda, *random.index);
    if (index == nullptr) return;
    cuda.launch("normal", draw, blocks_for(rows->count * ((rows->width + 3) / 4)), kThreads,
                NormalSource(random), index, rows->count, rows->width, data_of(out), rows->stride);
}

} // namespace tessera::cuda
