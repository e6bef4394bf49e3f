// A tensor as rows along its last dimension.
#pragma once

#include <tessera/compute.h>

#include <cstdint>

namespace tessera {

[[nodiscard]] inline std::int64_t row_width(const tessera_tensor &tensor) {
    return tensor.rank == 0 ? 1 : tensor.shape[tensor.rank - 1];
}

[[nodiscard]] inline std::int64_t row_count(const tessera_tensor &tensor) {
    std::int64_t count = 1;
    for (std::int32_t i = 0; i + 1 < tensor.rank; ++i) count *= tensor.shape[i];
    return count;
}

} // namespace tessera
