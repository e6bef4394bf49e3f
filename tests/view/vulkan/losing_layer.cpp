// A Vulkan layer that loses devices: TESSERA_LOSE=submit:3,wait:10,acquire:2,present:1 makes the
// third submission of the process report VK_ERROR_DEVICE_LOST, and from then on every call on that
// device that can; "submit:3+" every one from the third. "make:5" loses nothing: the fifth call
// that makes or records something finds no memory. "room:1000": so many bytes are free by
// VK_EXT_memory_budget, which every device has then. In a test's own process tessera_lose(TEXT)
// begins to count again. What was submitted before is done, as on a device whose driver has given
// up.
//
// With TESSERA_SECOND_FAMILY=1 every device has one more queue family, which computes and does not
// draw: its queue is the driver's first one by another name. tessera_shared_buffers() tells how
// many buffers were made for several families. Validation has to be above this layer, or it sees
// only what the driver has.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#define VK_NO_PROTOTYPES
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

namespace {

enum Kind { kSubmit, kWait, kAcquire, kPresent, kMake, kKinds };
constexpr std::array<std::string_view, kKinds> kNames{"submit", "wait", "acquire", "present",
                                                      "make"};
constexpr int kMostWishes = 8;

struct Wishes {
    std::array<std::array<long, kMostWishes>, kKinds> at{}; // 0: none
    std::array<long, kKinds> every_from{};
    std::optional<VkDeviceSize> room;
};

// What the handles of one device, and of its queues, have in common.
const void *key_of(const void *handle) { return *static_cast<const void *const *>(handle); }

// The queue of the second family. It begins as handles do.
struct SecondQueue {
    const void *key = nullptr;
    VkQueue real = VK_NULL_HANDLE;
};

struct Device {
    PFN_vkGetDeviceProcAddr next = nullptr;
    VkDevice device = VK_NULL_HANDLE;
    std::atomic<bool> lost{false};
    SecondQueue second;
    std::mutex queue_mutex; // both queues are one
};

std::mutex mutex; // for all that follows
Wishes wishes;
std::array<long, kKinds> counts{};
long shared_buffers = 0;
// Functions below this layer, asked for while there was nothing above it yet: later the loader
// would answer with those of the first layer.
struct Instance {
    PFN_vkGetInstanceProcAddr next = nullptr;
    PFN_vkDestroyInstance destroy = nullptr;
    PFN_vkCreateDevice create_device = nullptr;
    PFN_vkGetPhysicalDeviceQueueFamilyProperties queue_families = nullptr;
    PFN_vkGetPhysicalDeviceMemoryProperties2 memory = nullptr;
    PFN_vkEnumerateDeviceExtensionProperties extensions = nullptr;
};
std::map<const void *, Instance> instances; // by a key that their physical devices have too
std::map<const void *, Device> devices;     // elements stay where they are

void read_wishes(std::string_view text) {
    wishes = {};
    counts = {};
    std::array<int, kKinds> used{};
    while (!text.empty()) {
        const std::string_view wish = text.substr(0, text.find(','));
        text.remove_prefix(std::min(text.size(), wish.size() + 1));
        if (wish.starts_with("room:")) wishes.room = std::strtoull(wish.data() + 5, nullptr, 10);
        for (int kind = 0; kind < kKinds; ++kind) {
            if (!wish.starts_with(kNames[kind])) continue;
            const long number = std::atol(wish.data() + kNames[kind].size() + 1);
            if (wish.ends_with('+')) {
                wishes.every_from[kind] = number;
            } else if (used[kind] < kMostWishes) {
                wishes.at[kind][used[kind]++] = number;
            }
        }
    }
}

Device &device_of(const void *handle) {
    const std::lock_guard lock(mutex);
    return devices.at(key_of(handle));
}

VkQueue real_queue(const Device &device, VkQueue queue) {
    const void *const handle = queue;
    return handle == &device.second ? device.second.real : queue;
}

Instance instance_of(VkPhysicalDevice physical) {
    const std::lock_guard lock(mutex);
    return instances.at(key_of(physical));
}

// Counts the call; true: it is one of those wished for. The caller holds the mutex.
bool is_wished(Kind kind) {
    const long number = ++counts[kind];
    const auto &at = wishes.at[kind];
    return std::find(at.begin(), at.end(), number) != at.end() ||
           (wishes.every_from[kind] > 0 && number >= wishes.every_from[kind]);
}

// Counts the call; true: the device is lost, now or before.
bool loses(Device &device, Kind kind) {
    const std::lock_guard lock(mutex);
    if (is_wished(kind)) device.lost = true;
    return device.lost;
}

bool finds_no_memory() {
    const std::lock_guard lock(mutex);
    return is_wished(kMake);
}

template <class Function>
Function next(const Device &device, const char *name) {
    return reinterpret_cast<Function>(device.next(device.device, name));
}

VkResult VKAPI_CALL queue_submit(VkQueue queue, uint32_t count, const VkSubmitInfo *infos,
                                 VkFence fence) {
    Device &device = device_of(queue);
    if (loses(device, kSubmit)) return VK_ERROR_DEVICE_LOST;
    const std::lock_guard lock(device.queue_mutex);
    return next<PFN_vkQueueSubmit>(device, "vkQueueSubmit")(real_queue(device, queue), count, infos,
                                                            fence);
}
VkResult VKAPI_CALL queue_submit2(VkQueue queue, uint32_t count, const VkSubmitInfo2 *infos,
                                  VkFence fence) {
    Device &device = device_of(queue);
    if (loses(device, kSubmit)) return VK_ERROR_DEVICE_LOST;
    const std::lock_guard lock(device.queue_mutex);
    return next<PFN_vkQueueSubmit2>(device, "vkQueueSubmit2")(real_queue(device, queue), count,
                                                              infos, fence);
}
VkResult VKAPI_CALL queue_present(VkQueue queue, const VkPresentInfoKHR *info) {
    Device &device = device_of(queue);
    if (loses(device, kPresent)) return VK_ERROR_DEVICE_LOST;
    const std::lock_guard lock(device.queue_mutex);
    return next<PFN_vkQueuePresentKHR>(device, "vkQueuePresentKHR")(queue, info);
}
VkResult VKAPI_CALL acquire(VkDevice handle, VkSwapchainKHR swapchain, uint64_t timeout,
                            VkSemaphore semaphore, VkFence fence, uint32_t *index) {
    Device &device = device_of(handle);
    if (loses(device, kAcquire)) return VK_ERROR_DEVICE_LOST;
    return next<PFN_vkAcquireNextImageKHR>(device, "vkAcquireNextImageKHR")(
        handle, swapchain, timeout, semaphore, fence, index);
}

// Waiting for everything waits for what really runs, also on a lost device.
VkResult VKAPI_CALL queue_wait_idle(VkQueue queue) {
    Device &device = device_of(queue);
    const std::lock_guard lock(device.queue_mutex);
    const VkResult result =
        next<PFN_vkQueueWaitIdle>(device, "vkQueueWaitIdle")(real_queue(device, queue));
    return device.lost ? VK_ERROR_DEVICE_LOST : result;
}
VkResult VKAPI_CALL device_wait_idle(VkDevice handle) {
    Device &device = device_of(handle);
    const VkResult result = next<PFN_vkDeviceWaitIdle>(device, "vkDeviceWaitIdle")(handle);
    return device.lost ? VK_ERROR_DEVICE_LOST : result;
}
VkResult VKAPI_CALL wait_semaphores(VkDevice handle, const VkSemaphoreWaitInfo *info,
                                    uint64_t timeout) {
    Device &device = device_of(handle);
    if (loses(device, kWait)) return VK_ERROR_DEVICE_LOST;
    return next<PFN_vkWaitSemaphores>(device, "vkWaitSemaphores")(handle, info, timeout);
}
VkResult VKAPI_CALL wait_fences(VkDevice handle, uint32_t count, const VkFence *fences,
                                VkBool32 all, uint64_t timeout) {
    Device &device = device_of(handle);
    if (loses(device, kWait)) return VK_ERROR_DEVICE_LOST;
    return next<PFN_vkWaitForFences>(device, "vkWaitForFences")(handle, count, fences, all,
                                                                timeout);
}
VkResult VKAPI_CALL counter_value(VkDevice handle, VkSemaphore semaphore, uint64_t *value) {
    Device &device = device_of(handle);
    if (device.lost) return VK_ERROR_DEVICE_LOST;
    return next<PFN_vkGetSemaphoreCounterValue>(device, "vkGetSemaphoreCounterValue")(
        handle, semaphore, value);
}

// A function that makes or records something: kNumber is its place in kMaking.
template <std::size_t kNumber, class Function>
struct Making;
constexpr std::array<const char *, 13> kMaking{
    "vkCreateBuffer",       "vkAllocateMemory",       "vkBindBufferMemory",
    "vkMapMemory",          "vkCreateCommandPool",    "vkAllocateCommandBuffers",
    "vkBeginCommandBuffer", "vkEndCommandBuffer",     "vkCreateShaderModule",
    "vkCreateSemaphore",    "vkCreatePipelineLayout", "vkCreateComputePipelines",
    "vkCreateQueryPool"};
template <std::size_t kNumber, class Handle, class... A>
struct Making<kNumber, VkResult(VKAPI_PTR *)(Handle, A...)> {
    static VkResult VKAPI_CALL call(Handle handle, A... arguments) {
        Device &device = device_of(handle);
        if (finds_no_memory()) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
        using Function = VkResult(VKAPI_PTR *)(Handle, A...);
        return next<Function>(device, kMaking[kNumber])(handle, arguments...);
    }
};

// ---- how much memory is free

std::optional<VkDeviceSize> room() {
    const std::lock_guard lock(mutex);
    return wishes.room;
}

// The list of `all` as Vulkan gives lists: their number, or as many as there is place for.
template <class One, class Part>
VkResult give_list(const std::vector<Part> &all, uint32_t *count, One *list,
                   Part &(*part_of)(One &)) {
    const auto most = static_cast<uint32_t>(all.size());
    *count = list != nullptr ? std::min(*count, most) : most;
    for (uint32_t i = 0; list != nullptr && i < *count; ++i) part_of(list[i]) = all[i];
    return *count < most ? VK_INCOMPLETE : VK_SUCCESS;
}
template <class One>
One &itself(One &one) {
    return one;
}

VkResult VKAPI_CALL device_extensions(VkPhysicalDevice physical, const char *layer, uint32_t *count,
                                      VkExtensionProperties *list) {
    const Instance instance = instance_of(physical);
    if (!room() || layer != nullptr) return instance.extensions(physical, layer, count, list);
    uint32_t driver_count = 0;
    instance.extensions(physical, nullptr, &driver_count, nullptr);
    std::vector<VkExtensionProperties> all(driver_count);
    instance.extensions(physical, nullptr, &driver_count, all.data());
    all.push_back({VK_EXT_MEMORY_BUDGET_EXTENSION_NAME, VK_EXT_MEMORY_BUDGET_SPEC_VERSION});
    return give_list(all, count, list, itself<VkExtensionProperties>);
}

void VKAPI_CALL memory_properties(VkPhysicalDevice physical,
                                  VkPhysicalDeviceMemoryProperties2 *properties) {
    instance_of(physical).memory(physical, properties);
    const auto free = room();
    if (!free || properties->pNext == nullptr) return;
    auto *const budget = // nothing else is asked for
        static_cast<VkPhysicalDeviceMemoryBudgetPropertiesEXT *>(properties->pNext);
    std::fill(std::begin(budget->heapBudget), std::end(budget->heapBudget), *free);
    std::fill(std::begin(budget->heapUsage), std::end(budget->heapUsage), 0);
}

// ---- the second family

bool has_second_family() { return std::getenv("TESSERA_SECOND_FAMILY") != nullptr; }

// Those of the driver, and one more.
std::vector<VkQueueFamilyProperties> families_of(VkPhysicalDevice physical) {
    const auto get = instance_of(physical).queue_families;
    std::uint32_t count = 0;
    get(physical, &count, nullptr);
    std::vector<VkQueueFamilyProperties> families(count);
    get(physical, &count, families.data());
    families.push_back(families.front());
    families.back().queueFlags = VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT;
    families.back().queueCount = 1;
    return families;
}

void VKAPI_CALL queue_families(VkPhysicalDevice physical, uint32_t *count,
                               VkQueueFamilyProperties *list) {
    (void)give_list(families_of(physical), count, list, itself<VkQueueFamilyProperties>);
}
VkQueueFamilyProperties &family_of(VkQueueFamilyProperties2 &one) {
    return one.queueFamilyProperties;
}
void VKAPI_CALL queue_families2(VkPhysicalDevice physical, uint32_t *count,
                                VkQueueFamilyProperties2 *list) {
    (void)give_list(families_of(physical), count, list, family_of);
}

// The driver gets no word of the second family; where nothing else is wanted, the first one.
std::vector<VkDeviceQueueCreateInfo> real_queues(VkPhysicalDevice physical,
                                                 const VkDeviceCreateInfo &info) {
    std::vector<VkDeviceQueueCreateInfo> queues(info.pQueueCreateInfos,
                                                info.pQueueCreateInfos + info.queueCreateInfoCount);
    const auto second = static_cast<uint32_t>(families_of(physical).size() - 1);
    if (queues.size() > 1) {
        std::erase_if(queues, [&](const auto &one) { return one.queueFamilyIndex == second; });
    } else if (queues.front().queueFamilyIndex == second) {
        queues.front().queueFamilyIndex = 0;
    }
    return queues;
}
void VKAPI_CALL get_queue(VkDevice handle, uint32_t family, uint32_t index, VkQueue *queue) {
    Device &device = device_of(handle);
    const auto get = next<PFN_vkGetDeviceQueue>(device, "vkGetDeviceQueue");
    if (family == 0) return get(handle, family, index, queue);
    get(handle, 0, 0, &device.second.real);
    device.second.key = key_of(handle);
    *queue = reinterpret_cast<VkQueue>(&device.second);
}

template <class Info>
Info *link_of(const void *chain, VkStructureType type) {
    for (auto *info = const_cast<Info *>(static_cast<const Info *>(chain)); info != nullptr;
         info = const_cast<Info *>(static_cast<const Info *>(info->pNext))) {
        if (info->sType == type && info->function == VK_LAYER_LINK_INFO) return info;
    }
    return nullptr;
}

VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info,
                                    const VkAllocationCallbacks *allocator, VkInstance *made) {
    auto *const link = link_of<VkLayerInstanceCreateInfo>(
        info->pNext, VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO);
    if (link == nullptr) return VK_ERROR_INITIALIZATION_FAILED;
    const auto get = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    const auto create = reinterpret_cast<PFN_vkCreateInstance>(get(nullptr, "vkCreateInstance"));
    const VkResult result = create(info, allocator, made);
    if (result < 0) return result;
    const std::lock_guard lock(mutex);
    instances[key_of(*made)] = {
        get,
        reinterpret_cast<PFN_vkDestroyInstance>(get(*made, "vkDestroyInstance")),
        reinterpret_cast<PFN_vkCreateDevice>(get(*made, "vkCreateDevice")),
        reinterpret_cast<PFN_vkGetPhysicalDeviceQueueFamilyProperties>(
            get(*made, "vkGetPhysicalDeviceQueueFamilyProperties")),
        reinterpret_cast<PFN_vkGetPhysicalDeviceMemoryProperties2>(
            get(*made, "vkGetPhysicalDeviceMemoryProperties2")),
        reinterpret_cast<PFN_vkEnumerateDeviceExtensionProperties>(
            get(*made, "vkEnumerateDeviceExtensionProperties"))};
    return result;
}

void VKAPI_CALL destroy_instance(VkInstance instance, const VkAllocationCallbacks *allocator) {
    PFN_vkDestroyInstance destroy = nullptr;
    {
        const std::lock_guard lock(mutex);
        const auto at = instances.find(key_of(instance));
        destroy = at->second.destroy;
        instances.erase(at);
    }
    destroy(instance, allocator);
}

VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                                  const VkAllocationCallbacks *allocator, VkDevice *made) {
    auto *const link =
        link_of<VkLayerDeviceCreateInfo>(info->pNext, VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO);
    if (link == nullptr) return VK_ERROR_INITIALIZATION_FAILED;
    const auto get = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    if (finds_no_memory()) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    const auto create = instance_of(physical).create_device;
    VkDeviceCreateInfo real = *info;
    std::vector<VkDeviceQueueCreateInfo> queues;
    if (has_second_family()) {
        queues = real_queues(physical, *info);
        real.queueCreateInfoCount = static_cast<uint32_t>(queues.size());
        real.pQueueCreateInfos = queues.data();
    }
    const VkResult result = create(physical, &real, allocator, made);
    if (result < 0) return result;
    const std::lock_guard lock(mutex);
    Device &device = devices[key_of(*made)];
    device.next = get;
    device.device = *made;
    device.lost = false;
    return result;
}

void VKAPI_CALL destroy_device(VkDevice handle, const VkAllocationCallbacks *allocator) {
    if (handle == VK_NULL_HANDLE) return;
    const auto destroy = next<PFN_vkDestroyDevice>(device_of(handle), "vkDestroyDevice");
    {
        const std::lock_guard lock(mutex);
        devices.erase(key_of(handle));
    }
    destroy(handle, allocator);
}

VkResult VKAPI_CALL create_buffer(VkDevice handle, const VkBufferCreateInfo *info,
                                  const VkAllocationCallbacks *allocator, VkBuffer *made) {
    if (info->sharingMode == VK_SHARING_MODE_CONCURRENT) {
        const std::lock_guard lock(mutex);
        ++shared_buffers;
    }
    return Making<0, PFN_vkCreateBuffer>::call(handle, info, allocator, made);
}

PFN_vkVoidFunction VKAPI_CALL get_device(VkDevice handle, const char *name);
PFN_vkVoidFunction VKAPI_CALL get_instance(VkInstance instance, const char *name);

template <class Function>
PFN_vkVoidFunction untyped(Function function) {
    return reinterpret_cast<PFN_vkVoidFunction>(function);
}

PFN_vkVoidFunction making(std::string_view name) {
    const std::array<PFN_vkVoidFunction, kMaking.size()> functions{
        untyped(create_buffer),
        untyped(Making<1, PFN_vkAllocateMemory>::call),
        untyped(Making<2, PFN_vkBindBufferMemory>::call),
        untyped(Making<3, PFN_vkMapMemory>::call),
        untyped(Making<4, PFN_vkCreateCommandPool>::call),
        untyped(Making<5, PFN_vkAllocateCommandBuffers>::call),
        untyped(Making<6, PFN_vkBeginCommandBuffer>::call),
        untyped(Making<7, PFN_vkEndCommandBuffer>::call),
        untyped(Making<8, PFN_vkCreateShaderModule>::call),
        untyped(Making<9, PFN_vkCreateSemaphore>::call),
        untyped(Making<10, PFN_vkCreatePipelineLayout>::call),
        untyped(Making<11, PFN_vkCreateComputePipelines>::call),
        untyped(Making<12, PFN_vkCreateQueryPool>::call)};
    const auto *const found = std::find(kMaking.begin(), kMaking.end(), name);
    return found != kMaking.end() ? functions[found - kMaking.begin()] : nullptr;
}

PFN_vkVoidFunction own(std::string_view name) {
    if (const auto function = making(name)) return function;
    if (name == "vkQueueSubmit") return untyped(queue_submit);
    if (name == "vkQueueSubmit2") return untyped(queue_submit2);
    if (name == "vkQueuePresentKHR") return untyped(queue_present);
    if (name == "vkAcquireNextImageKHR") return untyped(acquire);
    if (name == "vkQueueWaitIdle") return untyped(queue_wait_idle);
    if (name == "vkDeviceWaitIdle") return untyped(device_wait_idle);
    if (name == "vkWaitSemaphores") return untyped(wait_semaphores);
    if (name == "vkWaitForFences") return untyped(wait_fences);
    if (name == "vkGetSemaphoreCounterValue") return untyped(counter_value);
    if (name == "vkDestroyDevice") return untyped(destroy_device);
    if (name == "vkGetDeviceProcAddr") return untyped(get_device);
    if (has_second_family() && name == "vkGetDeviceQueue") return untyped(get_queue);
    return nullptr;
}

PFN_vkVoidFunction VKAPI_CALL get_device(VkDevice handle, const char *name) {
    if (const auto function = own(name)) return function;
    const Device &device = device_of(handle);
    return device.next(handle, name);
}

PFN_vkVoidFunction VKAPI_CALL get_instance(VkInstance instance, const char *name) {
    const std::string_view wanted = name;
    if (wanted == "vkGetInstanceProcAddr") return untyped(get_instance);
    if (wanted == "vkCreateInstance") return untyped(create_instance);
    if (wanted == "vkDestroyInstance") return untyped(destroy_instance);
    if (wanted == "vkCreateDevice") return untyped(create_device);
    if (wanted == "vkGetPhysicalDeviceMemoryProperties2") return untyped(memory_properties);
    if (wanted == "vkEnumerateDeviceExtensionProperties") return untyped(device_extensions);
    if (has_second_family()) {
        if (wanted == "vkGetPhysicalDeviceQueueFamilyProperties") return untyped(queue_families);
        if (wanted == "vkGetPhysicalDeviceQueueFamilyProperties2") return untyped(queue_families2);
    }
    if (const auto function = own(wanted)) return function;
    if (instance == VK_NULL_HANDLE) return nullptr;
    const std::lock_guard lock(mutex);
    return instances.at(key_of(instance)).next(instance, name);
}

} // namespace

extern "C" {

[[gnu::visibility("default")]] void tessera_lose(const char *text) {
    const std::lock_guard lock(mutex);
    read_wishes(text);
}

[[gnu::visibility("default")]] long tessera_shared_buffers() {
    const std::lock_guard lock(mutex);
    return shared_buffers;
}

[[gnu::visibility("default")]] VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *interface) {
    if (interface->loaderLayerInterfaceVersion < 2) return VK_ERROR_INITIALIZATION_FAILED;
    interface->loaderLayerInterfaceVersion = 2;
    interface->pfnGetInstanceProcAddr = get_instance;
    interface->pfnGetDeviceProcAddr = get_device;
    interface->pfnGetPhysicalDeviceProcAddr = nullptr;
    if (const char *const text = std::getenv("TESSERA_LOSE"); text != nullptr) tessera_lose(text);
    return VK_SUCCESS;
}

} // extern "C"
