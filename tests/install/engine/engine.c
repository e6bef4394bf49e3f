/* Somebody else's engine in plain C: its own instance, device, queue and image, on which a texture
 * appears while its frame loop runs. At the end the image is read back: it holds the picture.
 *   engine CLASS SEED     prints the hash of the picture */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include ENGINE_VULKAN /* <vulkan/vulkan.h> with the loader, or <volk.h> */
#include <tessera/runtime_vulkan.h>

enum { SIDE = 256, MIPS = 9, BYTES = SIDE * SIDE * 4 };

static void check(int ok, const char *what) {
    if (ok) return;
    char text[512] = "";
    tessera_last_error(text, sizeof text, NULL);
    fprintf(stderr, "engine: %s failed: %s\n", what, text);
    exit(1);
}
#define VK(call) check((call) == VK_SUCCESS, #call)
#ifndef VOLK_H_ /* the loader has it all */
#define volkInitialize() VK_SUCCESS
#define volkLoadInstance(instance)
#endif
#define TS(call) check((call) == TESSERA_OK, #call)

static VkPhysicalDevice gpu; static VkDevice device; static VkQueue queue;

static VkDeviceMemory memory_for(VkMemoryRequirements needs, VkMemoryPropertyFlags flags) {
    VkPhysicalDeviceMemoryProperties all;
    vkGetPhysicalDeviceMemoryProperties(gpu, &all);
    for (uint32_t i = 0; i < all.memoryTypeCount; ++i) {
        if (!(needs.memoryTypeBits & 1u << i) || (all.memoryTypes[i].propertyFlags & flags) != flags) continue;
        VkDeviceMemory memory;
        VK(vkAllocateMemory(device, &(VkMemoryAllocateInfo){VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, NULL,
                                                            needs.size, i}, NULL, &memory));
        return memory;
    }
    return check(0, "memory"), VK_NULL_HANDLE;
}

int main(int argc, char **argv) {
    check(argc == 3, "usage: engine CLASS SEED");
    VkInstance instance;
    VK(volkInitialize());
    VkApplicationInfo app = {VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_1};
    VK(vkCreateInstance(&(VkInstanceCreateInfo){VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &app},
                        NULL, &instance));
    volkLoadInstance(instance);
    uint32_t one = 1;
    check(vkEnumeratePhysicalDevices(instance, &one, &gpu) >= 0 && one == 1, "a device");
    VkDeviceQueueCreateInfo queues = {VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1,
                                      .pQueuePriorities = &(float){1}};
    VK(vkCreateDevice(gpu, &(VkDeviceCreateInfo){VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .queueCreateInfoCount = 1,
                                                 .pQueueCreateInfos = &queues}, NULL, &device));
    vkGetDeviceQueue(device, 0, 0, &queue);
    VkImage image; VkBuffer buffer; VkMemoryRequirements needs;
    VK(vkCreateImage(device, &(VkImageCreateInfo){VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO, .imageType = VK_IMAGE_TYPE_2D,
        .format = VK_FORMAT_R8G8B8A8_SRGB, .extent = {SIDE, SIDE, 1}, .mipLevels = MIPS, .arrayLayers = 1,
        .samples = VK_SAMPLE_COUNT_1_BIT, .usage = VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT |
        VK_IMAGE_USAGE_TRANSFER_SRC_BIT}, NULL, &image));
    vkGetImageMemoryRequirements(device, image, &needs);
    VkDeviceMemory image_memory = memory_for(needs, 0);
    VK(vkBindImageMemory(device, image, image_memory, 0));
    VK(vkCreateBuffer(device, &(VkBufferCreateInfo){VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = BYTES,
                                                    .usage = VK_BUFFER_USAGE_TRANSFER_DST_BIT}, NULL, &buffer));
    vkGetBufferMemoryRequirements(device, buffer, &needs);
    VkDeviceMemory buffer_memory = memory_for(needs, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT);
    VK(vkBindBufferMemory(device, buffer, buffer_memory, 0));
    VkCommandPool pool; VkCommandBuffer commands; void *shown, *pixels = malloc(BYTES);
    VK(vkMapMemory(device, buffer_memory, 0, BYTES, 0, &shown));
    VK(vkCreateCommandPool(device, &(VkCommandPoolCreateInfo){.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO}, NULL, &pool));
    VK(vkAllocateCommandBuffers(device, &(VkCommandBufferAllocateInfo){VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        NULL, pool, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 1}, &commands));

    tessera_runtime runtime; tessera_model model; tessera_texture texture; tessera_vulkan vulkan; char values[256];
    snprintf(values, sizeof values, "{\"class\": \"%s\"}", argv[1]);
    TS(tessera_runtime_open(&(tessera_runtime_desc){.struct_size = sizeof(tessera_runtime_desc),
                            .abi_version = TESSERA_ABI_VERSION, .program = "engine"}, &runtime));
    TS(tessera_model_open(runtime, &(tessera_model_desc){.struct_size = sizeof(tessera_model_desc),
                          .model = "materials", .backend = "cpu"}, &model));
    TS(tessera_texture_open(model, &(tessera_texture_desc){.struct_size = sizeof(tessera_texture_desc),
        .preview_every = 1, .seed = strtoull(argv[2], NULL, 10), .width = SIDE, .height = SIDE, .values = values}, &texture));
    TS(tessera_vulkan_open(runtime, &(tessera_vulkan_desc){.struct_size = sizeof(tessera_vulkan_desc),
        .get_proc = vkGetInstanceProcAddr, .instance = instance, .physical = gpu, .device = device}, &vulkan));
    TS(tessera_vulkan_bind(vulkan, &(tessera_vulkan_binding){.struct_size = sizeof(tessera_vulkan_binding),
        .texture = texture, .image = image, .format = VK_FORMAT_R8G8B8A8_SRGB, .width = SIDE, .height = SIDE,
        .mips = MIPS, .layout = VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, .stages = VK_PIPELINE_STAGE_TRANSFER_BIT,
        .access = VK_ACCESS_TRANSFER_READ_BIT}));

    tessera_texture_info info = {.struct_size = sizeof info};
    uint32_t updates = 0, updated;
    for (uint64_t frame = 1, last = 0; !last; ++frame) { /* the frame loop; it draws by copying the image */
        TS(tessera_runtime_frame(runtime, &(tessera_frame_info){.struct_size = sizeof(tessera_frame_info),
                                                                .cpu_us = UINT32_MAX}, NULL, NULL));
        TS(tessera_texture_get(texture, &info));
        check(info.state < TESSERA_TEXTURE_CANCELLED, "the texture");
        last = info.state == TESSERA_TEXTURE_DONE; /* recorded below, so this is the last frame */
        VK(vkResetCommandPool(device, pool, 0));
        VK(vkBeginCommandBuffer(commands, &(VkCommandBufferBeginInfo){.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO}));
        TS(tessera_vulkan_record(vulkan, commands, 0, frame, frame - 1, &updated));
        updates += updated;
        vkCmdCopyImageToBuffer(commands, image, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, buffer, 1,
            &(VkBufferImageCopy){.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1}, .imageExtent = {SIDE, SIDE, 1}});
        VK(vkEndCommandBuffer(commands));
        VK(vkQueueSubmit(queue, 1, &(VkSubmitInfo){VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1,
                                                   .pCommandBuffers = &commands}, VK_NULL_HANDLE));
        VK(vkQueueWaitIdle(queue));
    }
    TS(tessera_texture_read(texture, &(tessera_pixels){.struct_size = sizeof(tessera_pixels), .data = pixels, .bytes = BYTES}));
    check(updates > 2 && memcmp(pixels, shown, BYTES) == 0, "the picture on the image");
    printf("hash %016llx, %u updates\n", (unsigned long long)info.hash, updates);
    TS(tessera_vulkan_close(vulkan, 0));
    TS(tessera_runtime_close(runtime, 5000));
    vkDestroyCommandPool(device, pool, NULL);
    vkDestroyBuffer(device, buffer, NULL), vkFreeMemory(device, buffer_memory, NULL);
    vkDestroyImage(device, image, NULL), vkFreeMemory(device, image_memory, NULL);
    vkDestroyDevice(device, NULL), vkDestroyInstance(instance, NULL);
}
