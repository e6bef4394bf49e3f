/* Compute extension: the Vulkan device behind a compute, and where its tensors are.
 *
 * A tensor of a Vulkan compute has memory TESSERA_MEMORY_VULKAN, and `data` is its device address
 * (VkDeviceAddress): views into it are made by adding bytes, as with any pointer, but no host reads
 * there.
 *
 * Where the compute is on the device that shows pictures, they are written where they are drawn:
 *
 *   vulkan->use_buffer(vulkan, buffer, size, &data);     the view's slots, as memory of the compute
 *   vulkan->wait(vulkan, released, 7);                   after the view has read this one
 *   compute->to_rgba8(compute, &picture, &frame);        frame.data is in [data, data + size)
 *   vulkan->signal(vulkan, ready, 8);                    and now the view may read it
 */
#ifndef TESSERA_EXT_VULKAN_H
#define TESSERA_EXT_VULKAN_H

#include <tessera/compute.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TESSERA_EXT_VULKAN "tessera.vulkan/1"

/* Where a tensor's bytes are, next to those of base.h. since 0.2 */
enum { TESSERA_MEMORY_VULKAN = 2 };

typedef struct tessera_ext_vulkan tessera_ext_vulkan;

/* What `get_extension` of a Vulkan compute returns. Growable. since 0.2
 * Data is constant as long as the compute lives, except what the counts point to; functions are called
 * on the thread that uses the compute. Buffers and timelines are handles of `device`. */
struct tessera_ext_vulkan {
    uint32_t        struct_size;
    uint32_t        queue_family;
    void           *instance;        /* VkInstance */
    void           *physical_device; /* VkPhysicalDevice */
    void           *device;          /* VkDevice */
    uint8_t         uuid[16];        /* VkPhysicalDeviceIDProperties::deviceUUID */
    const uint64_t *dispatch_count;   /* kernels recorded so far; [worker] */
    const uint64_t *submission_count; /* submissions to the queue so far; [worker] */
    void           *vulkan_data;      /* the compute's own */
    /* Not 0: the driver lost the device. Everything fails from now on; another compute may work. */
    int32_t (*is_lost)(const tessera_ext_vulkan *vulkan);
    /* A VkBuffer of somebody else's, of usage SHADER_DEVICE_ADDRESS, TRANSFER_SRC and TRANSFER_DST, as
     * memory of the compute from `out_data` on. The buffer stays until forget_buffer and until what was
     * enqueued before it is done. */
    tessera_status (*use_buffer)(const tessera_ext_vulkan *vulkan, uint64_t buffer, uint64_t size_bytes,
                                 void **out_data);
    void (*forget_buffer)(const tessera_ext_vulkan *vulkan, void *data);
    /* What is enqueued from now on runs after the timeline semaphore has this value, and maybe more
     * that is not submitted yet. */
    void (*wait)(const tessera_ext_vulkan *vulkan, uint64_t timeline, uint64_t value);
    /* The timeline gets this value when all that was enqueued is done. Submits. */
    tessera_status (*signal)(const tessera_ext_vulkan *vulkan, uint64_t timeline, uint64_t value);
    /* Waits for all that was enqueued. The first failure so far, which stays for `synchronize`. */
    tessera_status (*finish)(const tessera_ext_vulkan *vulkan);
};

/* A program's Vulkan device that a compute may run on. It outlives the compute. Growable. since 0.2
 * Made for Vulkan 1.3 with timelineSemaphore, synchronization2, bufferDeviceAddress, scalarBlockLayout,
 * shaderInt8 and storageBuffer8BitAccess. */
typedef struct tessera_vulkan_device {
    uint32_t struct_size;
    uint32_t queue_family;    /* that computes */
    void    *instance;        /* VkInstance */
    void    *physical_device; /* VkPhysicalDevice */
    void    *device;          /* VkDevice */
    void    *queue;           /* VkQueue */
    void    *queue_data;
    /* Round every use of the queue, from any thread, never nested. Both NULL: nobody else uses it. */
    void (*lock_queue)(void *queue_data);
    void (*unlock_queue)(void *queue_data);
} tessera_vulkan_device;

#ifdef __cplusplus
}
#endif

#endif
