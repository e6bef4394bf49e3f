/* Compute extension: the stream and the device behind a CUDA compute, for kernels of one's own, and
 * memory and timelines that Vulkan shares with it.
 *
 * Work put on `stream` runs in order with the operations of the compute. The context is the primary
 * context of the device (another copy of the CUDA runtime in the process shares it): a thread that calls
 * CUDA selects the device first, cudaSetDevice(device). The stream belongs to the compute and is not
 * destroyed by others; what waits for it is put on other streams with an event.
 *
 * Pictures are written where Vulkan reads them, in what Vulkan on the same device (told by `uuid`)
 * exports as opaque file descriptors:
 *
 *   cuda->import_memory(cuda, memory_fd, allocation_bytes, bytes, &memory);
 *   cuda->import_timeline(cuda, ready_fd, &ready);
 *   compute->to_rgba8(compute, &picture, &frame);         frame.data is in [memory->data, + bytes)
 *   cuda->signal(cuda, ready, 8);                         and now Vulkan may read it
 */
#ifndef TESSERA_EXT_CUDA_H
#define TESSERA_EXT_CUDA_H

#include <tessera/compute.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TESSERA_EXT_CUDA "tessera.cuda/1"

typedef struct tessera_ext_cuda tessera_ext_cuda;
typedef struct tessera_cuda_memory tessera_cuda_memory;

/* Memory of a Vulkan device as CUDA sees it, until it is released: it may outlive the compute. Growable.
 * since 0.2 */
struct tessera_cuda_memory {
    uint32_t struct_size;
    uint32_t reserved;
    void    *data; /* a device address: tensors there have memory TESSERA_MEMORY_CUDA */
    uint64_t size_bytes;
    void    *memory_data; /* its own */
    /* [any] Its first bytes to the host, once nobody writes them any more. Waits. */
    tessera_status (*read)(const tessera_cuda_memory *memory, void *out, uint64_t size_bytes);
    /* [any] After all that was enqueued for it is done, and before Vulkan frees the allocation. */
    void (*release)(const tessera_cuda_memory *memory);
};

/* What `get_extension` of a CUDA compute returns. Growable. since 0.1
 * Data is constant as long as the compute lives, except what the counts point to; functions (since 0.2)
 * are called on the thread that uses the compute. Descriptors stay the caller's. Of an import that fails
 * the reason is in the log, and the compute works on. */
struct tessera_ext_cuda {
    uint32_t        struct_size;
    int32_t         device;       /* ordinal, as cudaSetDevice takes it */
    void           *stream;       /* CUstream (cudaStream_t); non-blocking, of the lowest priority */
    uint8_t         uuid[16];     /* of the device: equals VkPhysicalDeviceIDProperties::deviceUUID */
    const uint64_t *launch_count; /* kernels, products and graphs enqueued so far; [worker] */
    const uint64_t *persistent_count; /* of these, launches of the persistent denoise kernel; [worker] */
    void           *cuda_data;        /* the compute's own */
    /* A whole VkDeviceMemory of `allocation_bytes`, dedicated to a buffer of `size_bytes`. */
    tessera_status (*import_memory)(const tessera_ext_cuda *cuda, int32_t fd, uint64_t allocation_bytes,
                                    uint64_t size_bytes, const tessera_cuda_memory **out);
    /* A timeline semaphore. UNSUPPORTED: the driver shares none. */
    tessera_status (*import_timeline)(const tessera_ext_cuda *cuda, int32_t fd, void **out_timeline);
    void (*release_timeline)(const tessera_ext_cuda *cuda, void *timeline);
    /* What is enqueued from now on runs after the timeline has this value. */
    void (*wait)(const tessera_ext_cuda *cuda, void *timeline, uint64_t value);
    /* The timeline gets this value when all that was enqueued is done. */
    tessera_status (*signal)(const tessera_ext_cuda *cuda, void *timeline, uint64_t value);
    /* Waits for all that was enqueued. The first failure so far, which stays for `synchronize`. */
    tessera_status (*finish)(const tessera_ext_cuda *cuda);
};

#ifdef __cplusplus
}
#endif

#endif
