/* Compute extension: the Vulkan device behind a compute, and where its tensors are.
 *
 * A tensor of a Vulkan compute has memory TESSERA_MEMORY_VULKAN, and `data` is its device address
 * (VkDeviceAddress): views into it are made by adding bytes, as with any pointer, but no host reads
 * there.
 *
 * Only data, constant as long as the compute lives, except what the counts point to.
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

/* What `get_extension` of a Vulkan compute returns. Growable. since 0.2 */
typedef struct tessera_ext_vulkan {
    uint32_t        struct_size;
    uint32_t        queue_family;
    void           *instance;        /* VkInstance */
    void           *physical_device; /* VkPhysicalDevice */
    void           *device;          /* VkDevice */
    uint8_t         uuid[16];        /* VkPhysicalDeviceIDProperties::deviceUUID */
    const uint64_t *dispatch_count;   /* kernels recorded so far; [worker] */
    const uint64_t *submission_count; /* submissions to the queue so far; [worker] */
} tessera_ext_vulkan;

#ifdef __cplusplus
}
#endif

#endif
