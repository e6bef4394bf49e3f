// The functions of the CUDA driver that sharing needs, looked up at run time: no library of CUDA is
// linked. A table, so that tests can put another driver in its place.
#pragma once

#include "core/result.hpp"

#include <string_view>

#include <cuda.h>

namespace tessera {

struct CudaDriver {
    decltype(::cuInit) *init = nullptr;
    decltype(::cuGetErrorName) *error_name = nullptr;
    decltype(::cuGetErrorString) *error_text = nullptr;
    decltype(::cuDeviceGet) *device_get = nullptr;
    decltype(::cuDeviceGetUuid) *device_uuid = nullptr;
    decltype(::cuDeviceGetAttribute) *device_attribute = nullptr;
    decltype(::cuDevicePrimaryCtxRetain) *context_retain = nullptr;
    decltype(::cuDevicePrimaryCtxRelease) *context_release = nullptr;
    decltype(::cuCtxPushCurrent) *context_push = nullptr;
    decltype(::cuCtxPopCurrent) *context_pop = nullptr;
    decltype(::cuStreamSynchronize) *stream_synchronize = nullptr;
    decltype(::cuImportExternalMemory) *import_memory = nullptr;
    decltype(::cuExternalMemoryGetMappedBuffer) *map_memory = nullptr;
    decltype(::cuMemFree) *unmap_memory = nullptr;
    decltype(::cuDestroyExternalMemory) *destroy_memory = nullptr;
    decltype(::cuImportExternalSemaphore) *import_semaphore = nullptr;
    decltype(::cuDestroyExternalSemaphore) *destroy_semaphore = nullptr;
    decltype(::cuWaitExternalSemaphoresAsync) *wait_semaphores = nullptr;
    decltype(::cuSignalExternalSemaphoresAsync) *signal_semaphores = nullptr;

    // NotFound without a driver. It stays loaded: contexts may live in it.
    [[nodiscard]] static Result<CudaDriver> load();
    // "cuImportExternalMemory: CUDA_ERROR_INVALID_HANDLE (invalid resource handle)".
    [[nodiscard]] Result<void> check(CUresult result, std::string_view what) const;
};

} // namespace tessera
