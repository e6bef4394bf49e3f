/* What an engine does with libtessera, a few times in one process: open, describe a model, make a
 * texture with maps, bind it, record it, save it, close. While something fails in a round,
 * every function that answers no OK has a text for it, and the last round works.
 *
 *   fault_scenario PLUGIN_FOLDER FILE ROUNDS [MODEL]
 *
 * On the CPU, since the constructors of the CUDA runtime cannot fail; or with TESSERA_CUDA_MODULE
 * on the execution double of CUDA that it names.
 *
 * Vulkan is a stand-in that counts: TESSERA_FAULT=vulkan:3 fails the third call or look-up, cuda:3
 * the third call of the double. With TESSERA_FAULT_REPORT it adds lines "vulkan COUNT", "cuda
 * COUNT" and "objects COUNT" (of both, not freed) there, with ".devices" at the end of the name.
 * Exit codes: 0, 1 what failed has a text, 3 it has none, 4 the last round failed. */
#include <tessera/runtime_vulkan.h>

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a device that does nothing ---- */

static long calls, wanted_call = -1;
static int objects;

static int fails(void) { return ++calls == wanted_call; }

static VKAPI_ATTR VkResult VKAPI_CALL create_buffer(VkDevice device, const VkBufferCreateInfo *info,
                                                    const VkAllocationCallbacks *callbacks,
                                                    VkBuffer *buffer) {
    (void)device, (void)info, (void)callbacks;
    if (fails()) return VK_ERROR_OUT_OF_HOST_MEMORY;
    ++objects;
    *buffer = (VkBuffer)(uintptr_t)1;
    return VK_SUCCESS;
}
static VKAPI_ATTR void VKAPI_CALL destroy_buffer(VkDevice device, VkBuffer buffer,
                                                 const VkAllocationCallbacks *callbacks) {
    (void)device, (void)buffer, (void)callbacks;
    --objects;
}
static VKAPI_ATTR void VKAPI_CALL buffer_needs(VkDevice device, VkBuffer buffer,
                                               VkMemoryRequirements *needs) {
    (void)device, (void)buffer;
    *needs = (VkMemoryRequirements){1 << 20, 64, 1};
}
static char memory_of_device[1 << 20];
static VKAPI_ATTR VkResult VKAPI_CALL allocate_memory(VkDevice device,
                                                      const VkMemoryAllocateInfo *info,
                                                      const VkAllocationCallbacks *callbacks,
                                                      VkDeviceMemory *memory) {
    (void)device, (void)info, (void)callbacks;
    if (fails()) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    ++objects;
    *memory = (VkDeviceMemory)(uintptr_t)1;
    return VK_SUCCESS;
}
static VKAPI_ATTR void VKAPI_CALL free_memory(VkDevice device, VkDeviceMemory memory,
                                              const VkAllocationCallbacks *callbacks) {
    (void)device, (void)memory, (void)callbacks;
    --objects;
}
static VKAPI_ATTR VkResult VKAPI_CALL bind_memory(VkDevice device, VkBuffer buffer,
                                                  VkDeviceMemory memory, VkDeviceSize offset) {
    (void)device, (void)buffer, (void)memory, (void)offset;
    return fails() ? VK_ERROR_OUT_OF_DEVICE_MEMORY : VK_SUCCESS;
}
static VKAPI_ATTR VkResult VKAPI_CALL map_memory(VkDevice device, VkDeviceMemory memory,
                                                 VkDeviceSize offset, VkDeviceSize size,
                                                 VkMemoryMapFlags flags, void **mapped) {
    (void)device, (void)memory, (void)offset, (void)size, (void)flags;
    if (fails()) return VK_ERROR_MEMORY_MAP_FAILED;
    *mapped = memory_of_device;
    return VK_SUCCESS;
}
static VKAPI_ATTR void VKAPI_CALL memory_properties(VkPhysicalDevice physical,
                                                    VkPhysicalDeviceMemoryProperties *properties) {
    (void)physical;
    memset(properties, 0, sizeof *properties);
    properties->memoryTypeCount = 1;
    properties->memoryTypes[0].propertyFlags =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
}
static VKAPI_ATTR void VKAPI_CALL queue_families(VkPhysicalDevice physical, uint32_t *count,
                                                 VkQueueFamilyProperties *families) {
    (void)physical;
    *count = 1;
    if (families != NULL)
        families[0] = (VkQueueFamilyProperties){VK_QUEUE_GRAPHICS_BIT, 1, 0, {1, 1, 1}};
}
static VKAPI_ATTR void VKAPI_CALL nothing(void) {}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_proc(VkDevice device, const char *name) {
    static const struct {
        const char *name;
        PFN_vkVoidFunction function;
    } kFunctions[] = {{"vkCreateBuffer", (PFN_vkVoidFunction)create_buffer},
                      {"vkDestroyBuffer", (PFN_vkVoidFunction)destroy_buffer},
                      {"vkGetBufferMemoryRequirements", (PFN_vkVoidFunction)buffer_needs},
                      {"vkAllocateMemory", (PFN_vkVoidFunction)allocate_memory},
                      {"vkFreeMemory", (PFN_vkVoidFunction)free_memory},
                      {"vkBindBufferMemory", (PFN_vkVoidFunction)bind_memory},
                      {"vkMapMemory", (PFN_vkVoidFunction)map_memory}};
    (void)device;
    if (fails()) return NULL;
    for (size_t i = 0; i < sizeof kFunctions / sizeof kFunctions[0]; ++i) {
        if (strcmp(kFunctions[i].name, name) == 0) return kFunctions[i].function;
    }
    return nothing; /* what only records */
}
static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_proc(VkInstance instance,
                                                              const char *name) {
    (void)instance;
    if (fails()) return NULL;
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (PFN_vkVoidFunction)device_proc;
    if (strcmp(name, "vkGetPhysicalDeviceMemoryProperties") == 0) {
        return (PFN_vkVoidFunction)memory_properties;
    }
    if (strcmp(name, "vkGetPhysicalDeviceQueueFamilyProperties") == 0) {
        return (PFN_vkVoidFunction)queue_families;
    }
    return nothing;
}

/* ---- CUDA ---- */

static void *cuda_double;

static void open_cuda(const char *module, long failing_call) {
    cuda_double = dlopen(module, RTLD_NOW | RTLD_LOCAL);
    if (cuda_double == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
    void (*fail)(long, int);
    *(void **)&fail = dlsym(cuda_double, "tessera_cuda_double_fail");
    fail(failing_call, 2 /* cudaErrorMemoryAllocation */);
}
static long ask_cuda(const char *what) {
    if (cuda_double == NULL) return 0;
    long (*ask)(void);
    *(void **)&ask = dlsym(cuda_double, what);
    return ask();
}

/* ---- the scenario ---- */

static int without_text;

/* Whether it went well; of what did not, the text is there. */
static int went(const char *what, tessera_status status) {
    if (status == TESSERA_OK) return 1;
    char text[2048] = "";
    tessera_last_error(text, sizeof text, NULL);
    fprintf(stderr, "%s: status %d, %s\n", what, (int)status, text);
    if (text[0] == '\0') without_text = 1;
    return 0;
}

#define TEXTURE_SIDE 32

static int show(tessera_runtime runtime, tessera_texture texture) {
    void *const handle = &objects; /* any that is not NULL */
    tessera_vulkan vulkan;
    if (!went("vulkan_open",
              tessera_vulkan_open(runtime,
                                  &(tessera_vulkan_desc){.struct_size = sizeof(tessera_vulkan_desc),
                                                         .get_proc = instance_proc,
                                                         .instance = (VkInstance)handle,
                                                         .physical = (VkPhysicalDevice)handle,
                                                         .device = (VkDevice)handle},
                                  &vulkan))) {
        return 0;
    }
    const tessera_vulkan_binding binding = {.struct_size = sizeof binding,
                                            .texture = texture,
                                            .image = (VkImage)(uintptr_t)1,
                                            .format = VK_FORMAT_R8G8B8A8_SRGB,
                                            .width = TEXTURE_SIDE,
                                            .height = TEXTURE_SIDE,
                                            .layout = VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL,
                                            .stages = VK_PIPELINE_STAGE_FRAGMENT_SHADER_BIT,
                                            .access = VK_ACCESS_SHADER_READ_BIT};
    int well = went("bind", tessera_vulkan_bind(vulkan, &binding));
    uint32_t updated = 0;
    well = well && went("record",
                        tessera_vulkan_record(vulkan, (VkCommandBuffer)handle, 0, 1, 0, &updated));
    return went("vulkan_close", tessera_vulkan_close(vulkan, 0)) && well && updated == 1;
}

static int make(tessera_runtime runtime, const char *model_name, const char *file) {
    tessera_model described, model;
    tessera_texture texture;
    if (!went("scan", tessera_runtime_scan(runtime, 60000))) return 0;
    if (!went("model_open",
              tessera_model_open(runtime,
                                 &(tessera_model_desc){.struct_size = sizeof(tessera_model_desc),
                                                       .model = model_name,
                                                       .lazy = 1},
                                 &described)) ||
        !went("model_wait", tessera_model_wait(described, 60000)) ||
        !went("model_close", tessera_model_close(described))) {
        return 0;
    }
    if (!went("model_open",
              tessera_model_open(runtime,
                                 &(tessera_model_desc){.struct_size = sizeof(tessera_model_desc),
                                                       .plugin = "org.tessera.gradient",
                                                       .backend = cuda_double ? "cuda" : "cpu"},
                                 &model)) ||
        !went("model_wait", tessera_model_wait(model, 60000)) ||
        !went("texture_open", tessera_texture_open(model,
                                                   &(tessera_texture_desc){
                                                       .struct_size = sizeof(tessera_texture_desc),
                                                       .seed = 7,
                                                       .values = "{\"size\": 32, \"steps\": 2}",
                                                       .maps = 1},
                                                   &texture)) ||
        !went("texture_wait", tessera_texture_wait(texture, 60000))) {
        return 0;
    }
    return show(runtime, texture) && went("save", tessera_texture_save(texture, file));
}

static int round_of(const char *plugins, const char *file, const char *model) {
    const char *const dirs[] = {plugins, NULL};
    tessera_runtime runtime;
    if (!went("runtime_open",
              tessera_runtime_open(
                  &(tessera_runtime_desc){.struct_size = sizeof(tessera_runtime_desc),
                                          .abi_version = TESSERA_ABI_VERSION,
                                          .plugin_dirs = dirs,
                                          .threads = 2,
                                          .nice = -1},
                  &runtime))) {
        return 0;
    }
    const int well = make(runtime, model, file);
    return went("runtime_close", tessera_runtime_close(runtime, 60000)) && well;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    const char *const fault = getenv("TESSERA_FAULT");
    if (fault != NULL && strncmp(fault, "vulkan:", 7) == 0)
        wanted_call = strtol(fault + 7, NULL, 10);
    const int fails_cuda = fault != NULL && strncmp(fault, "cuda:", 5) == 0;
    const char *const module = getenv("TESSERA_CUDA_MODULE");
    if (module != NULL) open_cuda(module, fails_cuda ? strtol(fault + 5, NULL, 10) - 1 : -1);
    const char *const model = argc > 4 ? argv[4] : "materials_mar_latents";
    int all = 1, last = 1;
    for (long rounds = strtol(argv[3], NULL, 10); rounds > 0; --rounds) {
        last = round_of(argv[1], argv[2], model);
        all = all && last;
    }
    const char *const report = getenv("TESSERA_FAULT_REPORT");
    if (report != NULL) {
        char path[4096];
        snprintf(path, sizeof path, "%s.devices", report);
        FILE *const out = fopen(path, "w");
        if (out != NULL) {
            fprintf(out, "vulkan %ld\ncuda %ld\nobjects %ld\n", calls,
                    ask_cuda("tessera_cuda_double_calls"),
                    objects + ask_cuda("tessera_cuda_double_live"));
            fclose(out);
        }
    }
    if (without_text) return 3;
    if (!last) return 4;
    return all ? 0 : 1;
}
