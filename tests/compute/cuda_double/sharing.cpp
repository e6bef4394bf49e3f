// Memory and timelines of other APIs on the double. How a descriptor becomes memory is the other
// API's affair: the test says it, and hears of what is signalled and waited for.
#include "world.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <unistd.h>

namespace cuda_double {

struct ExternalMemory {
    int fd;
    std::size_t size_bytes;
    std::byte *mapped = nullptr;
    bool by_test = false; // mapped by hooks
};
struct ExternalSemaphore {
    int fd;
};

namespace {

// Of tests.
struct Hooks {
    void *user = nullptr;
    // The memory behind a descriptor, which becomes the hook's.
    void *(*map)(void *user, int fd, unsigned long size_bytes) = nullptr;
    void (*unmap)(void *user, void *data) = nullptr;
    void (*on_signal)(void *user, unsigned long value) = nullptr;
    void (*on_wait)(void *user, unsigned long value) = nullptr;
    bool shares_timelines = true;
} hooks;

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

} // namespace

bool shares_timelines() { return hooks.shares_timelines; }

void unmap_shared(ExternalMemory &memory) {
    if (memory.by_test)
        hooks.unmap(hooks.user, memory.mapped);
    else
        std::free(memory.mapped);
    memory.mapped = nullptr;
}

} // namespace cuda_double

using cuda_double::failed;
using cuda_double::hooks;
using cuda_double::world;

cudaError_t cudaImportExternalMemory(cudaExternalMemory_t *memory,
                                     const cudaExternalMemoryHandleDesc *desc) {
    CUDA_DOUBLE_ENTER();
    const bool right = desc->type == cudaExternalMemoryHandleTypeOpaqueFd &&
                       desc->flags == cudaExternalMemoryDedicated && desc->size > 0 &&
                       cuda_double::is_open(desc->handle.fd);
    if (!right) return failed(cudaErrorInvalidValue);
    auto *const made = new cuda_double::ExternalMemory{desc->handle.fd, desc->size};
    *memory = *world().shared.insert(made).first;
    return cudaSuccess;
}

cudaError_t cudaExternalMemoryGetMappedBuffer(void **data, cudaExternalMemory_t memory,
                                              const cudaExternalMemoryBufferDesc *desc) {
    CUDA_DOUBLE_ENTER();
    const bool right = world().shared.count(memory) != 0 && memory->mapped == nullptr &&
                       desc->offset == 0 && desc->size > 0 && desc->size <= memory->size_bytes;
    if (!right) return failed(cudaErrorInvalidValue);
    memory->by_test = hooks.map != nullptr;
    const int own = memory->by_test ? ::fcntl(memory->fd, F_DUPFD_CLOEXEC, 0) : -1;
    memory->mapped = static_cast<std::byte *>(
        memory->by_test ? hooks.map(hooks.user, own, memory->size_bytes) : std::malloc(desc->size));
    if (memory->mapped == nullptr) return failed(cudaErrorMemoryAllocation);
    world().memory[memory->mapped] = {nullptr, 0, desc->size, memory};
    *data = memory->mapped;
    return cudaSuccess;
}

// Before its mapping it cannot go.
cudaError_t cudaDestroyExternalMemory(cudaExternalMemory_t memory) {
    CUDA_DOUBLE_LOCK();
    if (world().shared.count(memory) == 0 || memory->mapped != nullptr)
        return failed(cudaErrorInvalidValue);
    world().shared.erase(memory);
    ::close(memory->fd);
    delete memory;
    return cudaSuccess;
}

cudaError_t cudaImportExternalSemaphore(cudaExternalSemaphore_t *semaphore,
                                        const cudaExternalSemaphoreHandleDesc *desc) {
    CUDA_DOUBLE_ENTER();
    const bool right = desc->type == cudaExternalSemaphoreHandleTypeTimelineSemaphoreFd &&
                       cuda_double::is_open(desc->handle.fd);
    if (!right) return failed(cudaErrorInvalidValue);
    auto *const made = new cuda_double::ExternalSemaphore{desc->handle.fd};
    *semaphore = *world().timelines.insert(made).first;
    return cudaSuccess;
}

cudaError_t cudaDestroyExternalSemaphore(cudaExternalSemaphore_t semaphore) {
    CUDA_DOUBLE_LOCK();
    if (world().timelines.erase(semaphore) == 0) return failed(cudaErrorInvalidValue);
    cuda_double::run_everything();
    ::close(semaphore->fd);
    delete semaphore;
    return cudaSuccess;
}

cudaError_t cudaSignalExternalSemaphoresAsync(const cudaExternalSemaphore_t *semaphores,
                                              const cudaExternalSemaphoreSignalParams *params,
                                              unsigned count, cudaStream_t stream) {
    CUDA_DOUBLE_ENTER();
    if (count != 1 || world().timelines.count(*semaphores) == 0)
        return failed(cudaErrorInvalidValue);
    return cuda_double::enqueue(stream, [value = params->params.fence.value] {
        if (hooks.on_signal != nullptr) hooks.on_signal(hooks.user, value);
    });
}

cudaError_t cudaWaitExternalSemaphoresAsync(const cudaExternalSemaphore_t *semaphores,
                                            const cudaExternalSemaphoreWaitParams *params,
                                            unsigned count, cudaStream_t stream) {
    CUDA_DOUBLE_ENTER();
    if (count != 1 || world().timelines.count(*semaphores) == 0)
        return failed(cudaErrorInvalidValue);
    return cuda_double::enqueue(stream, [value = params->params.fence.value] {
        if (hooks.on_wait != nullptr) hooks.on_wait(hooks.user, value);
    });
}

// ---- for tests ----

extern "C" {
// What `user` is for the functions below; all of them are forgotten.
__attribute__((visibility("default"))) void tessera_cuda_double_user(void *user) {
    hooks = {};
    hooks.user = user;
}
// The memory behind a descriptor, which becomes the caller's; without them it is some memory.
__attribute__((visibility("default"))) void
tessera_cuda_double_maps(void *(*map)(void *user, int fd, unsigned long size_bytes),
                         void (*unmap)(void *user, void *data)) {
    hooks.map = map;
    hooks.unmap = unmap;
}
// Called when the stream gets there.
__attribute__((visibility("default"))) void
tessera_cuda_double_timelines(void (*on_signal)(void *user, unsigned long value),
                              void (*on_wait)(void *user, unsigned long value)) {
    hooks.on_signal = on_signal;
    hooks.on_wait = on_wait;
}
// Whether it shares timelines (it does).
__attribute__((visibility("default"))) void tessera_cuda_double_shares_timelines(int can) {
    hooks.shares_timelines = can != 0;
}
// The device's, in the place of its own: 16 bytes.
__attribute__((visibility("default"))) void tessera_cuda_double_uuid(const unsigned char *bytes) {
    std::memcpy(world().uuid.bytes, bytes, sizeof world().uuid.bytes);
}
// Bytes that were copied from the device to the host so far.
__attribute__((visibility("default"))) unsigned long tessera_cuda_double_downloaded() {
    return world().downloaded_bytes;
}
}
