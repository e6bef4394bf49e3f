// The part of the CUDA runtime that the CUDA backend uses, over an execution double on the CPU:
// same names, so that the backend's sources compile as they are. See ../README.md.
#pragma once

#include "../fibres.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))

// ---- inside kernels ----

struct __attribute__((may_alias)) float2 {
    float x, y;
};
struct __attribute__((may_alias)) float4 {
    float x, y, z, w;
};
struct __attribute__((may_alias)) uint2 {
    unsigned x, y;
};
struct __attribute__((may_alias)) uint4 {
    unsigned x, y, z, w;
};

using cuda_double::blockDim;
using cuda_double::blockIdx;
using cuda_double::dim3;
using cuda_double::gridDim;
using cuda_double::threadIdx;

template <class T>
T __ldg(const T *at) {
    return *at;
}
template <class T>
T __ldcg(const T *at) {
    return *at;
}
inline float __uint_as_float(unsigned bits) {
    float value = 0.0F;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline void __syncthreads() { cuda_double::block_barrier(); }
inline int __syncthreads_or(int value) { return cuda_double::block_any(value != 0) ? 1 : 0; }

template <class T>
T __shfl_sync(unsigned mask, T value, int lane) {
    static_assert(sizeof(T) <= sizeof(std::uint64_t));
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    bits = cuda_double::warp_exchange(mask, bits, static_cast<unsigned>(lane));
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int apart) {
    return __shfl_sync(mask, value, static_cast<int>(cuda_double::lane()) ^ apart);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
    return cuda_double::warp_ballot(mask, predicate != 0);
}

// Blocks and threads run one after the other.
inline void __threadfence() {}
inline unsigned atomicAdd(unsigned *at, unsigned value) { return std::exchange(*at, *at + value); }
template <class T>
T atomicCAS(T *at, T expected, T wanted) {
    const T before = *at;
    if (before == expected) *at = wanted;
    return before;
}
template <class T>
T atomicMin(T *at, T value) {
    const T before = *at;
    if (value < before) *at = value;
    return before;
}

// ---- the runtime ----

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorLaunchOutOfResources = 701,
    cudaErrorLaunchFailure = 719,
    cudaErrorCooperativeLaunchTooLarge = 720,
    cudaErrorNotSupported = 801,
    cudaErrorStreamCaptureUnsupported = 900,
};
enum cudaMemcpyKind {
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDeviceToDevice = 3
};
enum cudaDeviceAttr {
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76,
    cudaDevAttrTimelineSemaphoreInteropSupported = 114,
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
enum cudaDataType_t { CUDA_R_32F = 0, CUDA_R_16BF = 14 };
constexpr unsigned cudaStreamNonBlocking = 1;
constexpr unsigned cudaEventDisableTiming = 2;
constexpr unsigned cudaHostAllocDefault = 0;

struct cudaUUID_t {
    char bytes[16];
};
struct cudaDeviceProp {
    char name[256];
    cudaUUID_t uuid;
    std::size_t totalGlobalMem;
    int major;
    int minor;
    int multiProcessorCount;
    int cooperativeLaunch;
    std::size_t sharedMemPerBlockOptin;
};

using cudaStream_t = cuda_double::Stream *;
using cudaEvent_t = cuda_double::Event *;
using cudaGraph_t = cuda_double::Graph *;
using cudaGraphExec_t = cuda_double::Graph *;

enum cudaLaunchAttributeID { cudaLaunchAttributeCooperative = 2 };
struct cudaLaunchAttribute {
    cudaLaunchAttributeID id;
    struct {
        int cooperative;
    } val;
};
struct cudaLaunchConfig_t {
    dim3 gridDim;
    dim3 blockDim;
    std::size_t dynamicSmemBytes = 0;
    cudaStream_t stream = nullptr;
    cudaLaunchAttribute *attrs = nullptr;
    unsigned numAttrs = 0;
};

const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);
cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaMalloc(void **memory, std::size_t size_bytes);
cudaError_t cudaFree(void *memory);
cudaError_t cudaHostAlloc(void **memory, std::size_t size_bytes, unsigned flags);
cudaError_t cudaFreeHost(void *memory);
cudaError_t cudaMemGetInfo(std::size_t *free_bytes, std::size_t *total_bytes);
cudaError_t cudaMemsetAsync(void *memory, int value, std::size_t size_bytes, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void *to, const void *from, std::size_t size_bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph,
                                 unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);

// ---- what other APIs share ----

using cudaExternalMemory_t = cuda_double::ExternalMemory *;
using cudaExternalSemaphore_t = cuda_double::ExternalSemaphore *;
enum cudaExternalMemoryHandleType { cudaExternalMemoryHandleTypeOpaqueFd = 1 };
enum cudaExternalSemaphoreHandleType { cudaExternalSemaphoreHandleTypeTimelineSemaphoreFd = 9 };
constexpr unsigned cudaExternalMemoryDedicated = 1;

struct cudaExternalMemoryHandleDesc {
    cudaExternalMemoryHandleType type;
    struct {
        int fd;
    } handle;
    unsigned long long size;
    unsigned flags;
};
struct cudaExternalMemoryBufferDesc {
    unsigned long long offset;
    unsigned long long size;
    unsigned flags;
};
struct cudaExternalSemaphoreHandleDesc {
    cudaExternalSemaphoreHandleType type;
    struct {
        int fd;
    } handle;
};
struct cudaExternalSemaphoreSignalParams {
    struct {
        struct {
            unsigned long long value;
        } fence;
    } params;
};
using cudaExternalSemaphoreWaitParams = cudaExternalSemaphoreSignalParams;

cudaError_t cudaImportExternalMemory(cudaExternalMemory_t *memory,
                                     const cudaExternalMemoryHandleDesc *desc);
cudaError_t cudaExternalMemoryGetMappedBuffer(void **data, cudaExternalMemory_t memory,
                                              const cudaExternalMemoryBufferDesc *desc);
cudaError_t cudaDestroyExternalMemory(cudaExternalMemory_t memory);
cudaError_t cudaImportExternalSemaphore(cudaExternalSemaphore_t *semaphore,
                                        const cudaExternalSemaphoreHandleDesc *desc);
cudaError_t cudaDestroyExternalSemaphore(cudaExternalSemaphore_t semaphore);
cudaError_t cudaSignalExternalSemaphoresAsync(const cudaExternalSemaphore_t *semaphores,
                                              const cudaExternalSemaphoreSignalParams *params,
                                              unsigned count, cudaStream_t stream);
cudaError_t cudaWaitExternalSemaphoresAsync(const cudaExternalSemaphore_t *semaphores,
                                            const cudaExternalSemaphoreWaitParams *params,
                                            unsigned count, cudaStream_t stream);

namespace cuda_double {
// Puts a piece of work on a stream, or into the graph that is being captured from it.
cudaError_t enqueue(Stream *stream, std::function<void()> work);
// Whether kernels and products are left out (TESSERA_CUDA_DOUBLE_COUNT).
[[nodiscard]] bool counts_only();
// Whether it may run; what run_grid gets for it.
cudaError_t check_launch(const cudaLaunchConfig_t &config, Grid *out);
constexpr int kSharedBytes = 99 << 10; // of a block: the least that capability 8.0 and newer have
cudaError_t blocks_at_once(int *count, int threads, std::size_t shared_bytes);
} // namespace cuda_double

template <class... Parameters, class... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(Parameters...),
                               Args... args) {
    static_assert((std::is_same_v<Parameters, Args> && ...));
    cuda_double::Grid grid;
    if (const cudaError_t error = cuda_double::check_launch(*config, &grid); error != cudaSuccess)
        return error;
    if (cuda_double::counts_only()) return cudaSuccess;
    return cuda_double::enqueue(config->stream, [grid, kernel, args...] {
        cuda_double::run_grid(grid, [&] { kernel(args...); });
    });
}

template <class... Parameters>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *count, void (*)(Parameters...),
                                                          int threads, std::size_t shared_bytes) {
    return cuda_double::blocks_at_once(count, threads, shared_bytes);
}

template <class... Parameters>
cudaError_t cudaFuncSetAttribute(void (*)(Parameters...), cudaFuncAttribute, int bytes) {
    return bytes <= cuda_double::kSharedBytes ? cudaSuccess : cudaErrorInvalidValue;
}
