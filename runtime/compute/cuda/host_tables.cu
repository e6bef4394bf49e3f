#include "compute/cuda/host_tables.hpp"

#include <cstring>

namespace tessera::cuda {

namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kLookBack = 32; // arrays that are compared with a new one

} // namespace

cudaError_t HostTables::open(cudaStream_t stream) {
    stream_ = stream;
    entries_.reserve(kHalfBytes / kAlignment);
    void *pinned = nullptr;
    cudaError_t error = cudaHostAlloc(&pinned, 2 * kHalfBytes, cudaHostAllocDefault);
    pinned_ = static_cast<std::byte *>(pinned);
    void *device = nullptr;
    if (error == cudaSuccess) error = cudaMalloc(&device, 2 * kHalfBytes);
    device_ = static_cast<std::byte *>(device);
    for (cudaEvent_t &event : left_) {
        if (error == cudaSuccess) error = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    }
    return error;
}

void HostTables::close() {
    for (cudaEvent_t &event : left_) {
        if (event != nullptr) (void)cudaEventDestroy(event);
        event = nullptr;
    }
    if (device_ != nullptr) (void)cudaFree(device_);
    if (pinned_ != nullptr) (void)cudaFreeHost(pinned_);
    device_ = pinned_ = nullptr;
}

// Goes on in the other half, once the copies out of it have run.
cudaError_t HostTables::turn() {
    cudaError_t error = cudaEventRecord(left_[half_], stream_);
    half_ = 1 - half_;
    used_ = 0;
    entries_.clear();
    // An event that was never recorded counts as reached.
    if (error == cudaSuccess) error = cudaEventSynchronize(left_[half_]);
    return error;
}

cudaError_t HostTables::reserve(std::size_t size_bytes, std::size_t *out_offset) {
    if (used_ + size_bytes > kHalfBytes) {
        if (const cudaError_t error = turn(); error != cudaSuccess) return error;
    }
    *out_offset = half_ * kHalfBytes + used_;
    used_ += (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
    return cudaSuccess;
}

cudaError_t HostTables::copy(const void *host, std::size_t size_bytes, const void **out_device) {
    const std::size_t oldest = entries_.size() > kLookBack ? entries_.size() - kLookBack : 0;
    for (std::size_t i = entries_.size(); i-- > oldest;) {
        const Entry &entry = entries_[i];
        if (entry.size_bytes == size_bytes &&
            std::memcmp(pinned_ + entry.offset, host, size_bytes) == 0) {
            *out_device = device_ + entry.offset;
            return cudaSuccess;
        }
    }
    std::size_t offset = 0;
    cudaError_t error = reserve(size_bytes, &offset);
    if (error != cudaSuccess) return error;
    std::memcpy(pinned_ + offset, host, size_bytes);
    error = cudaMemcpyAsync(device_ + offset, pinned_ + offset, size_bytes, cudaMemcpyHostToDevice,
                            stream_);
    if (error != cudaSuccess) return error;
    entries_.push_back({offset, size_bytes});
    *out_device = device_ + offset;
    return cudaSuccess;
}

cudaError_t HostTables::copy_to(const void *host, std::size_t size_bytes, void *device) {
    std::size_t offset = 0;
    const cudaError_t error = reserve(size_bytes, &offset);
    if (error != cudaSuccess) return error;
    std::memcpy(pinned_ + offset, host, size_bytes);
    return cudaMemcpyAsync(device, pinned_ + offset, size_bytes, cudaMemcpyHostToDevice, stream_);
}

} // namespace tessera::cuda
