/* Textures on images of the program's own Vulkan device.
 *
 *   tessera_vulkan_open(rt, &(tessera_vulkan_desc){.struct_size = ..., .get_proc = vkGetInstanceProcAddr,
 *                       .instance = instance, .physical = gpu, .device = device}, &vulkan);
 *   tessera_vulkan_bind(vulkan, &(tessera_vulkan_binding){.struct_size = ..., .texture = bark,
 *                       .image = image, .format = VK_FORMAT_R8G8B8A8_SRGB, .width = 256, .height = 256,
 *                       .mips = 9, .layout = VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL,
 *                       .stages = VK_PIPELINE_STAGE_FRAGMENT_SHADER_BIT,
 *                       .access = VK_ACCESS_SHADER_READ_BIT});
 *   every frame, into a command buffer that is being recorded, outside a render pass:
 *     tessera_vulkan_record(vulkan, commands, 4 << 20, frame, frame_that_the_gpu_has_done, NULL);
 *
 * The program owns images, queue and submission. The runtime records and never submits, makes no image
 * and takes no queue: there is nothing to lock, and no semaphore to wait for. Every Vulkan function
 * comes from get_proc, so the library loads no Vulkan and fits a program with volk, a loader or layers
 * of its own.
 *
 * Pixels of the CPU go through memory that the host writes (staging). Models on CUDA, on the device that
 * draws, write where record copies from, and no pixel of a colour passes through the host, when the
 * program's device is of Vulkan 1.1 or newer with VK_KHR_external_memory_fd enabled; it is theirs to
 * use, whichever was opened first. Otherwise the log says why, in one line, and pictures are staged.
 * Who reads or saves a picture, asks for its hash (tessera_texture_get of a final one) or for maps brings
 * it to the host, once.
 *
 * Blocks (BC1, BC5, BC7) and KTX2 files are not made: of what Debian has only libsquish makes blocks, BC1
 * to BC3. Give tessera_texture_read's pixels to your own tools.
 *
 * With `compute_queue` models of backend "vulkan" that are opened afterwards compute on the program's
 * device, by the process's libvulkan.so.1, and record copies from where a kernel has written: no pixel
 * of a colour passes through the host. Without it, or when the device cannot, they take a device of
 * their own and staging; the log says so.
 */
#ifndef TESSERA_RUNTIME_VULKAN_H
#define TESSERA_RUNTIME_VULKAN_H

#include <tessera/runtime.h>
#include <vulkan/vulkan_core.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tessera_vulkan {
    uint64_t id;
} tessera_vulkan;

/* Needs Vulkan 1.0 and no extension; VK_KHR_external_memory_fd is made use of. */
typedef struct tessera_vulkan_desc {
    uint32_t                  struct_size;
    uint32_t                  queue_family; /* that will run what is recorded */
    PFN_vkGetInstanceProcAddr get_proc;
    VkInstance                instance;
    VkPhysicalDevice          physical;
    VkDevice                  device;
    /* NULL, or a queue for models, best in a family of its own and of low priority. The device is then of
     * Vulkan 1.3 with timelineSemaphore, synchronization2, bufferDeviceAddress, scalarBlockLayout,
     * shaderInt8 and storageBuffer8BitAccess. */
    VkQueue                   compute_queue;
    uint32_t                  compute_family;
    uint32_t                  reserved;
    void                     *queue_data;
    void (*lock_queue)(void *queue_data); /* round every use of the queue, [any], never nested; both */
    void (*unlock_queue)(void *queue_data); /* NULL: nobody else uses it */
} tessera_vulkan_desc;

typedef struct tessera_vulkan_binding {
    uint32_t             struct_size;
    uint32_t             layer; /* of the image's array */
    tessera_texture      texture;
    VkImage              image;  /* with usage TRANSFER_DST, and TRANSFER_SRC for mips */
    VkFormat             format; /* R8G8B8A8_SRGB, so that shaders read linear light; or _UNORM: as is. Of
                                  * maps: R8G8B8A8_UNORM for normals and ORM, R16_UNORM for heights, R8_UNORM
                                  * for one of occlusion, roughness and metallic */
    uint32_t             width, height; /* of level 0: as the texture's pictures */
    uint32_t             mips;          /* levels to fill, by linear blits; 0 is 1 */
    VkImageLayout        layout; /* as the program keeps it between frames */
    VkPipelineStageFlags stages; /* that read it */
    VkAccessFlags        access;
    uint32_t             map; /* TESSERA_MAP_*; of a texture that was opened with maps */
} tessera_vulkan_binding;

/* What is missing (a handle, a function, an ability of the queue family) comes as one text. */
TESSERA_API tessera_status tessera_vulkan_open(tessera_runtime runtime, const tessera_vulkan_desc *desc,
                                               tessera_vulkan *out);
/* Before the device is destroyed, when nothing recorded runs any more. `lost` not 0: after
 * VK_ERROR_DEVICE_LOST; touches no Vulkan object but those of models on the compute queue and of memory
 * that is shared with CUDA. Models, textures and their pictures live on: open and bind again, and the
 * next record brings them back. Models on the compute queue are evicted and their runs begin again; waits
 * for a step of theirs, and for whoever reads a picture. BUSY: one did not return, and the device must
 * stay. */
TESSERA_API tessera_status tessera_vulkan_close(tessera_vulkan vulkan, int32_t lost);
/* A texture may be bound to several images, an image (and layer) to one texture: the last one. With
 * texture 0 the image is forgotten; do that before it is destroyed. */
TESSERA_API tessera_status tessera_vulkan_bind(tessera_vulkan vulkan,
                                               const tessera_vulkan_binding *binding);
/* [frame] Records the copy of each picture that its image does not show yet, newest bindings last, until
 * `max_bytes` are passed (at least one; 0: all), with barriers before and after and the mips. The first
 * record after bind puts every image into its layout: with a picture, or cleared while there is none: to
 * dark grey, or a map to that of a flat surface. `frame` is this submission's number in the program's own count, `done` the newest that the
 * device has finished: memory of those is used again. `updated` may be NULL: images written.
 * INVALID_ARGUMENT: a picture has another size than its image; all others are recorded. */
TESSERA_API tessera_status tessera_vulkan_record(tessera_vulkan vulkan, VkCommandBuffer commands,
                                                 uint64_t max_bytes, uint64_t frame, uint64_t done,
                                                 uint32_t *updated);

#ifdef __cplusplus
}
#endif

#endif
