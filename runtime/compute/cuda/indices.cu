#include "compute/cuda/kernels/indices.cuh"

#include "compute/cuda/cuda.hpp"

namespace tessera::cuda {

bool take_indices(Cuda &cuda, const tessera_tensor &index, Indices *out) {
    const auto *values = static_cast<const std::int32_t *>(index.data);
    const std::int64_t width = index.shape[index.rank - 1];
    const bool many = index.rank == 2 && index.shape[0] > 1;
    if (index.memory == TESSERA_MEMORY_CUDA) {
        *out = {values, many ? index.stride[0] : 0};
        return true;
    }
    *out = {nullptr, many ? width : 0};
    const std::int64_t count = *element_count(index);
    if (is_contiguous(index)) {
        out->values = cuda.table(values, count);
        return out->values != nullptr;
    }
    std::vector<std::int32_t> dense;
    dense.reserve(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t row = index.rank == 2 ? i / width * index.stride[0] : 0;
        dense.push_back(values[row + i % width * index.stride[index.rank - 1]]);
    }
    out->values = cuda.table(dense.data(), count);
    return out->values != nullptr;
}

} // namespace tessera::cuda
