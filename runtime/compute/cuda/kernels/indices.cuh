// Indices, ranks and positions on their way into kernels, from the host or from the device.
//
// Of those on the host a rule has looked at every value. Of those on the device a kernel does:
// where one is out of range it notes the first in a word that the host reads when it waits anyway,
// and writes not-a-number or nothing in its place.
#pragma once

#include <tessera/compute.h>

#include <cuda_runtime.h>

#include <cstdint>

namespace tessera::cuda {

class Cuda;

// (count), the same for every image, or (images, count).
struct Indices {
    const std::int32_t *values = nullptr;
    std::int64_t batch = 0; // elements from image to image; 0: one for all
    [[nodiscard]] __device__ std::int64_t operator()(std::int64_t image, std::int64_t i) const {
        return values[image * batch + i];
    }
};
// False when it failed, which has been reported then.
[[nodiscard]] bool take_indices(Cuda &cuda, const tessera_tensor &index, Indices *out);

// The first index that was out of range since the host looked.
struct BadIndex {
    unsigned long long operation; // address of its name in the host's memory; 0: none
    std::int32_t value;
    std::int32_t limit;
};

// How a kernel checks the indices of an operation; made by Cuda::check_indices.
struct IndexCheck {
    BadIndex *bad;
    unsigned long long operation;

    // Whether it is in [0, limit); a failure is noted.
    [[nodiscard]] __device__ bool operator()(std::int64_t index, std::int64_t limit) const {
        if (index >= 0 && index < limit) return true;
        if (atomicCAS(&bad->operation, 0ULL, operation) == 0ULL) {
            bad->value = static_cast<std::int32_t>(index);
            bad->limit = static_cast<std::int32_t>(limit);
        }
        return false;
    }
};

} // namespace tessera::cuda
