#include "interop/cuda/cuda_driver.hpp"

#include <dlfcn.h>

namespace tessera {
namespace {

constexpr int kDriverVersion = 12000; // of the functions' form

using Lookup = CUresult (*)(const char *, void **, int, cuuint64_t,
                            CUdriverProcAddressQueryResult *);

template <class Function>
Result<void> find(Lookup lookup, Function *&function, const char *name) {
    void *address = nullptr;
    const CUresult result =
        lookup(name, &address, kDriverVersion, CU_GET_PROC_ADDRESS_DEFAULT, nullptr);
    if (result != CUDA_SUCCESS || address == nullptr) {
        return make_error(Status::kUnsupported, "the CUDA driver has no {}", name);
    }
    function = reinterpret_cast<Function *>(address);
    return {};
}

} // namespace

Result<CudaDriver> CudaDriver::load() {
    void *const library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        return make_error(Status::kNotFound, "no CUDA driver: libcuda.so.1 not found");
    }
    const auto lookup = reinterpret_cast<Lookup>(::dlsym(library, "cuGetProcAddress_v2"));
    if (lookup == nullptr) {
        return make_error(Status::kUnsupported, "the CUDA driver is older than 12.0");
    }
    CudaDriver driver;
    Result<void> found;
    const auto add = [&](auto *&function, const char *name) {
        if (found) found = find(lookup, function, name);
    };
    add(driver.init, "cuInit");
    add(driver.error_name, "cuGetErrorName");
    add(driver.error_text, "cuGetErrorString");
    add(driver.device_get, "cuDeviceGet");
    add(driver.device_uuid, "cuDeviceGetUuid");
    add(driver.device_attribute, "cuDeviceGetAttribute");
    add(driver.context_retain, "cuDevicePrimaryCtxRetain");
    add(driver.context_release, "cuDevicePrimaryCtxRelease");
    add(driver.context_push, "cuCtxPushCurrent");
    add(driver.context_pop, "cuCtxPopCurrent");
    add(driver.stream_synchronize, "cuStreamSynchronize");
    add(driver.import_memory, "cuImportExternalMemory");
    add(driver.map_memory, "cuExternalMemoryGetMappedBuffer");
    add(driver.unmap_memory, "cuMemFree");
    add(driver.destroy_memory, "cuDestroyExternalMemory");
    add(driver.import_semaphore, "cuImportExternalSemaphore");
    add(driver.destroy_semaphore, "cuDestroyExternalSemaphore");
    add(driver.wait_semaphores, "cuWaitExternalSemaphoresAsync");
    add(driver.signal_semaphores, "cuSignalExternalSemaphoresAsync");
    if (!found) return found.error();
    return driver;
}

Result<void> CudaDriver::check(CUresult result, std::string_view what) const {
    if (result == CUDA_SUCCESS) return {};
    const char *name = nullptr;
    const char *text = nullptr;
    error_name(result, &name);
    error_text(result, &text);
    const Status status =
        result == CUDA_ERROR_OUT_OF_MEMORY ? Status::kOutOfMemory : Status::kFailed;
    return make_error(status, "{}: {} ({})", what, name != nullptr ? name : "unknown CUDA error",
                      text != nullptr ? text : std::to_string(result));
}

} // namespace tessera
