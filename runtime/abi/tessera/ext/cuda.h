/* Compute extension: the stream and the device behind a CUDA compute, for kernels and shared memory of
 * one's own.
 *
 * Only data, constant as long as the compute lives, except what the counts point to. Work put on
 * `stream` runs in order with the operations of the compute. The context is the primary context of the
 * device (another copy of the CUDA runtime in the process shares it): a thread that calls CUDA selects
 * the device first, cudaSetDevice(device). The stream belongs to the compute and is not destroyed by
 * others; what waits for it is put on other streams with an event.
 */
#ifndef TESSERA_EXT_CUDA_H
#define TESSERA_EXT_CUDA_H

#include <tessera/compute.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TESSERA_EXT_CUDA "tessera.cuda/1"

/* What `get_extension` of a CUDA compute returns. Growable. since 0.1 */
typedef struct tessera_ext_cuda {
    uint32_t        struct_size;
    int32_t         device;       /* ordinal, as cudaSetDevice takes it */
    void           *stream;       /* CUstream (cudaStream_t); non-blocking, of the lowest priority */
    uint8_t         uuid[16];     /* of the device: equals VkPhysicalDeviceIDProperties::deviceUUID */
    const uint64_t *launch_count; /* kernels, products and graphs enqueued so far; [worker] */
    const uint64_t *persistent_count; /* of these, launches of the persistent denoise kernel; [worker] */
} tessera_ext_cuda;

#ifdef __cplusplus
}
#endif

#endif
