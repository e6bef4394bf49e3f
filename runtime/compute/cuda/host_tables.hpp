// Small host arrays (ranks, indices, coefficients) on their way to the device: a pinned ring in two
// halves with a mirror on the device, so that nothing waits and nothing is allocated on the way.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <vector>

namespace tessera::cuda {

class HostTables {
  public:
    static constexpr std::size_t kHalfBytes = std::size_t{1} << 20;

    cudaError_t open(cudaStream_t stream);
    void close();

    // Both take at most kHalfBytes; the source may change when they return.
    // An array for the operations that follow; one of the same bytes that is still on the device is
    // used again.
    cudaError_t copy(const void *host, std::size_t size_bytes, const void **out_device);
    cudaError_t copy_to(const void *host, std::size_t size_bytes, void *device);

  private:
    struct Entry {
        std::size_t offset;
        std::size_t size_bytes;
    };

    cudaError_t reserve(std::size_t size_bytes, std::size_t *out_offset);
    cudaError_t turn();

    cudaStream_t stream_ = nullptr;
    std::byte *pinned_ = nullptr;       // (2 kHalfBytes)
    std::byte *device_ = nullptr;       // the same
    std::array<cudaEvent_t, 2> left_{}; // recorded when a half is full
    std::size_t half_ = 0;
    std::size_t used_ = 0;       // of the half
    std::vector<Entry> entries_; // of the half
};

} // namespace tessera::cuda
