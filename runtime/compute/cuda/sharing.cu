// "tessera.cuda/1", its functions: memory that Vulkan allocated as memory of the compute, and
// timelines that order what is written there with what reads it.
#include "compute/cuda/ops.hpp"
#include "core/file_descriptor.hpp"

#include <fcntl.h>
#include <memory>

namespace tessera::cuda {
namespace {

Cuda &cuda_of(const tessera_ext_cuda *extension) {
    return *static_cast<Cuda *>(extension->cuda_data);
}

// Of an import, which is no failure of the compute: it has been logged.
tessera_status refuse(const char *call, cudaError_t error) {
    (void)cudaGetLastError();
    log::error(Cuda::kSource, "{}: {} ({})", call, cudaGetErrorString(error),
               static_cast<int>(error));
    return error == cudaErrorMemoryAllocation ? TESSERA_ERROR_OUT_OF_MEMORY : TESSERA_ERROR_FAILED;
}

// CUDA takes over what it imports: it gets a descriptor of its own.
FileDescriptor another(int fd) { return FileDescriptor(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

// A thread of the program's that calls CUDA finds its device as it left it.
class OnDevice {
  public:
    explicit OnDevice(int device) {
        if (cudaGetDevice(&before_) != cudaSuccess) before_ = device;
        (void)cudaSetDevice(device);
    }
    ~OnDevice() { (void)cudaSetDevice(before_); }
    OnDevice(const OnDevice &) = delete;
    OnDevice &operator=(const OnDevice &) = delete;

  private:
    int before_ = 0;
};

// ---- memory ----

class SharedMemory {
  public:
    explicit SharedMemory(int device) : device_(device) {}
    ~SharedMemory() { // in the order that CUDA wants
        const OnDevice scope(device_);
        if (table_.data != nullptr) (void)cudaFree(table_.data);
        if (memory_ != nullptr) (void)cudaDestroyExternalMemory(memory_);
    }
    SharedMemory(const SharedMemory &) = delete;
    SharedMemory &operator=(const SharedMemory &) = delete;

    tessera_status import(int fd, std::uint64_t allocation_bytes, std::uint64_t size_bytes);
    [[nodiscard]] const tessera_cuda_memory *table() const { return &table_; }

  private:
    static SharedMemory &of(const tessera_cuda_memory *memory) {
        return *static_cast<SharedMemory *>(memory->memory_data);
    }
    tessera_status read(void *out, std::uint64_t size_bytes) const;

    int device_;
    cudaExternalMemory_t memory_ = nullptr;
    tessera_cuda_memory table_{};
};

tessera_status SharedMemory::import(int fd, std::uint64_t allocation_bytes,
                                    std::uint64_t size_bytes) {
    FileDescriptor own = another(fd);
    cudaExternalMemoryHandleDesc allocation{};
    allocation.type = cudaExternalMemoryHandleTypeOpaqueFd;
    allocation.handle.fd = own.get();
    allocation.size = allocation_bytes;
    allocation.flags = cudaExternalMemoryDedicated;
    if (const auto error = cudaImportExternalMemory(&memory_, &allocation); error != cudaSuccess) {
        memory_ = nullptr;
        return refuse("cudaImportExternalMemory", error);
    }
    own.release();
    cudaExternalMemoryBufferDesc range{};
    range.size = size_bytes;
    void *data = nullptr;
    const auto error = cudaExternalMemoryGetMappedBuffer(&data, memory_, &range);
    if (error != cudaSuccess) return refuse("cudaExternalMemoryGetMappedBuffer", error);
    table_.struct_size = sizeof table_;
    table_.data = data;
    table_.size_bytes = size_bytes;
    table_.memory_data = this;
    table_.read = [](const tessera_cuda_memory *memory, void *out, std::uint64_t bytes) {
        return of(memory).read(out, bytes);
    };
    table_.release = [](const tessera_cuda_memory *memory) { delete &of(memory); };
    return TESSERA_OK;
}

// On a stream of its own: the compute's may have ended, and others have nothing to do with it.
tessera_status SharedMemory::read(void *out, std::uint64_t size_bytes) const {
    if (size_bytes > table_.size_bytes) {
        log::error(Cuda::kSource, "read: {} bytes of shared memory; there are {}", size_bytes,
                   table_.size_bytes);
        return TESSERA_ERROR_INVALID_ARGUMENT;
    }
    const OnDevice scope(device_);
    cudaStream_t stream = nullptr;
    if (const auto error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
        error != cudaSuccess) {
        return refuse("a stream to read by", error);
    }
    cudaError_t error =
        cudaMemcpyAsync(out, table_.data, size_bytes, cudaMemcpyDeviceToHost, stream);
    const cudaError_t waited = cudaStreamSynchronize(stream);
    if (error == cudaSuccess) error = waited;
    (void)cudaStreamDestroy(stream);
    return error == cudaSuccess ? TESSERA_OK : refuse("reading shared memory", error);
}

tessera_status import_memory(const tessera_ext_cuda *extension, std::int32_t fd,
                             std::uint64_t allocation_bytes, std::uint64_t size_bytes,
                             const tessera_cuda_memory **out) {
    cuda_of(extension).make_current();
    auto memory = std::make_unique<SharedMemory>(extension->device);
    const tessera_status status = memory->import(fd, allocation_bytes, size_bytes);
    *out = status == TESSERA_OK ? memory.release()->table() : nullptr;
    return status;
}

// ---- timelines ----

tessera_status import_timeline(const tessera_ext_cuda *extension, std::int32_t fd,
                               void **out_timeline) {
    cuda_of(extension).make_current();
    *out_timeline = nullptr;
    int can = 0;
    const auto asked = cudaDeviceGetAttribute(&can, cudaDevAttrTimelineSemaphoreInteropSupported,
                                              extension->device);
    if (asked != cudaSuccess) return refuse("cudaDeviceGetAttribute", asked);
    if (can == 0) {
        log::error(Cuda::kSource, "device {} shares no timeline semaphores", extension->device);
        return TESSERA_ERROR_UNSUPPORTED;
    }
    FileDescriptor own = another(fd);
    cudaExternalSemaphoreHandleDesc desc{};
    desc.type = cudaExternalSemaphoreHandleTypeTimelineSemaphoreFd;
    desc.handle.fd = own.get();
    cudaExternalSemaphore_t semaphore = nullptr;
    const auto error = cudaImportExternalSemaphore(&semaphore, &desc);
    if (error != cudaSuccess) return refuse("cudaImportExternalSemaphore", error);
    own.release();
    *out_timeline = semaphore;
    return TESSERA_OK;
}

cudaExternalSemaphore_t semaphore_of(void *timeline) {
    return static_cast<cudaExternalSemaphore_t>(timeline);
}

void release_timeline(const tessera_ext_cuda *extension, void *timeline) {
    cuda_of(extension).make_current();
    (void)cudaDestroyExternalSemaphore(semaphore_of(timeline));
}

void wait(const tessera_ext_cuda *extension, void *timeline, std::uint64_t value) {
    Cuda &cuda = cuda_of(extension);
    cuda.make_current();
    cudaExternalSemaphore_t semaphore = semaphore_of(timeline);
    cudaExternalSemaphoreWaitParams params{};
    params.params.fence.value = value;
    cuda.check(cudaWaitExternalSemaphoresAsync(&semaphore, &params, 1, cuda.stream()), "wait");
}

// What was enqueued may have failed: then there is nothing to announce.
tessera_status signal(const tessera_ext_cuda *extension, void *timeline, std::uint64_t value) {
    Cuda &cuda = cuda_of(extension);
    cuda.make_current();
    if (!cuda.failed()) {
        cudaExternalSemaphore_t semaphore = semaphore_of(timeline);
        cudaExternalSemaphoreSignalParams params{};
        params.params.fence.value = value;
        cuda.check(cudaSignalExternalSemaphoresAsync(&semaphore, &params, 1, cuda.stream()),
                   "signal");
    }
    return static_cast<tessera_status>(cuda.status());
}

tessera_status finish(const tessera_ext_cuda *extension) {
    Cuda &cuda = cuda_of(extension);
    cuda.make_current();
    cuda.finish();
    return static_cast<tessera_status>(cuda.status());
}

} // namespace

void add_sharing(tessera_ext_cuda &extension) {
    extension.import_memory = import_memory;
    extension.import_timeline = import_timeline;
    extension.release_timeline = release_timeline;
    extension.wait = wait;
    extension.signal = signal;
    extension.finish = finish;
}

} // namespace tessera::cuda
