// gpu_facts: what this machine has of all that the CUDA backend builds on, a line each, before
// anything is run: the driver and its entry points by version, cooperative launches, shared memory
// of a block, stream priorities, sharing of memory and timelines with Vulkan, cuBLASLt. A line says
// what happens where something is missing. Exit status 77: no device.
#include <cuda.h>
#include <dlfcn.h>

#include <cstdio>
#include <optional>
#include <string>

namespace tessera::bench {
namespace {

int missing = 0; // things that have another way

void say(bool there, const char *what, const std::string &value, const char *otherwise) {
    std::printf("%-4s %-34s %s%s%s\n", there ? "ok" : "NO", what, value.c_str(),
                there ? "" : "; instead: ", there ? "" : otherwise);
    if (!there) ++missing;
}

template <class Function>
Function *entry(void *library, const char *name) {
    return reinterpret_cast<Function *>(dlsym(library, name));
}

// Half a gigabyte, of CUDA 13: next to the toolkit, or in PyTorch's packages.
void ask_cublas() {
    void *library = dlopen(TESSERA_CUBLASLT, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        const char *why = dlerror();
        say(false, "products of bf16", why != nullptr ? why : "", "float32 only (--precision f32)");
        return;
    }
    const auto version = entry<std::size_t()>(library, "cublasLtGetVersion");
    say(version != nullptr, "products of bf16",
        TESSERA_CUBLASLT " " + (version != nullptr ? std::to_string(version()) : std::string("?")),
        "float32 only");
}

void ask_device(void *library) {
    const auto ask =
        entry<CUresult(int *, CUdevice_attribute, CUdevice)>(library, "cuDeviceGetAttribute");
    const auto number = [&](CUdevice_attribute attribute) {
        int value = 0;
        return ask != nullptr && ask(&value, attribute, 0) == CUDA_SUCCESS ? value : -1;
    };
    const auto text = [&](CUdevice_attribute attribute) {
        return std::to_string(number(attribute));
    };
    const int major = number(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
    const int minor = number(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    say(major * 10 + minor >= 75, "compute capability",
        std::to_string(major) + "." + std::to_string(minor), "nothing: 7.5 is the oldest");
    say(true, "multiprocessors", text(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT), "");
    say(major >= 8 && number(CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH) > 0, "cooperative launches",
        text(CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH), "the denoiser runs as graphs");
    const int shared = number(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
    say(shared >= 99 << 10, "shared memory of a block", std::to_string(shared) + " bytes",
        "an error for attention heads wider than 256, which decode pictures of KL-16");
    say(number(CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED) > 0, "stream priorities",
        text(CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED),
        "a stream without: a window on this device may wait");
    say(number(CU_DEVICE_ATTRIBUTE_TIMELINE_SEMAPHORE_INTEROP_SUPPORTED) > 0,
        "timelines shared with Vulkan",
        text(CU_DEVICE_ATTRIBUTE_TIMELINE_SEMAPHORE_INTEROP_SUPPORTED),
        "frames go by way of the host");
    say(number(CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED) > 0,
        "memory as file descriptors",
        text(CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED),
        "frames go by way of the host");
    const int mode = number(CU_DEVICE_ATTRIBUTE_COMPUTE_MODE);
    say(mode == CU_COMPUTEMODE_DEFAULT, "compute mode", std::to_string(mode),
        "one process at a time, or none at all: nvidia-smi -c 0");
}

// Of the driver, which the backend's runtime calls for it.
void ask_sharing(void *library) {
    std::string without;
    for (const char *name :
         {"cuImportExternalMemory", "cuExternalMemoryGetMappedBuffer", "cuImportExternalSemaphore",
          "cuSignalExternalSemaphoresAsync", "cuWaitExternalSemaphoresAsync"}) {
        if (dlsym(library, name) == nullptr) without += std::string(" ") + name;
    }
    say(without.empty(), "entry points for sharing",
        without.empty() ? "all there" : "without" + without, "frames go by way of the host");
}

// Why there is no device to ask.
std::optional<std::string> start(void *library) {
    const auto init = entry<CUresult(unsigned)>(library, "cuInit");
    const auto get = entry<CUresult(CUdevice *, int)>(library, "cuDeviceGet");
    const auto name_of = entry<CUresult(CUresult, const char **)>(library, "cuGetErrorName");
    if (init == nullptr || get == nullptr || name_of == nullptr) return "no cuInit";
    CUdevice device = 0;
    CUresult result = init(0);
    if (result == CUDA_SUCCESS) result = get(&device, 0);
    if (result == CUDA_SUCCESS) return std::nullopt;
    const char *name = nullptr;
    (void)name_of(result, &name);
    return name != nullptr ? name : std::to_string(result);
}

int run() {
    void *const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        const char *why = dlerror();
        std::printf("no device: no CUDA driver (%s)\n", why != nullptr ? why : "libcuda.so.1");
        return 77;
    }
    int version = 0;
    if (const auto ask = entry<CUresult(int *)>(library, "cuDriverGetVersion"); ask != nullptr)
        ask(&version);
    say(version >= TESSERA_CUDART_VERSION, "driver for CUDA",
        std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10),
        "nothing: the backend needs " TESSERA_CUDART_TEXT);
    ask_sharing(library);
    if (const auto why = start(library); why) {
        std::printf("no device: %s\n", why->c_str());
        return 77;
    }
    ask_device(library);
    ask_cublas();
    std::printf("%d of these take another way\n", missing);
    return 0;
}

} // namespace
} // namespace tessera::bench

int main() { return tessera::bench::run(); }
