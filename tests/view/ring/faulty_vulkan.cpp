#include "tests/view/ring/faulty_vulkan.hpp"

#include <fcntl.h>

namespace tessera {
namespace {

struct State {
    std::uint64_t fail_at = 0;
    std::uint64_t calls = 0;
    std::string failed;
};

State &state() {
    static State the_state;
    return the_state;
}

// True: this call is to fail.
bool fails(const char *name) {
    if (++state().calls != state().fail_at) return false;
    state().failed = name;
    return true;
}

VolkDeviceTable &real() {
    static VolkDeviceTable table;
    return table;
}

} // namespace

void FaultyVulkan::fail(std::uint64_t call) { state() = {call, 0, {}}; }
std::uint64_t FaultyVulkan::calls() const { return state().calls; }
const std::string &FaultyVulkan::failed() const { return state().failed; }

FaultyVulkan::FaultyVulkan(const VulkanDevice &device)
    : table_(const_cast<VolkDeviceTable &>(device.table())), saved_(table_),
      saved_properties_(vkGetPhysicalDeviceExternalSemaphoreProperties) {
    real() = saved_;
    state() = {};
    vkGetPhysicalDeviceExternalSemaphoreProperties =
        [](VkPhysicalDevice, const VkPhysicalDeviceExternalSemaphoreInfo *,
           VkExternalSemaphoreProperties *properties) {
            properties->externalSemaphoreFeatures = VK_EXTERNAL_SEMAPHORE_FEATURE_EXPORTABLE_BIT;
        };
    table_.vkGetSemaphoreFdKHR = [](VkDevice, const VkSemaphoreGetFdInfoKHR *, int *fd) {
        if (fails("vkGetSemaphoreFdKHR")) return VK_ERROR_TOO_MANY_OBJECTS;
        *fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        return VK_SUCCESS;
    };
    table_.vkCreateSemaphore = [](VkDevice handle, const VkSemaphoreCreateInfo *info,
                                  const VkAllocationCallbacks *callbacks, VkSemaphore *semaphore) {
        if (fails("vkCreateSemaphore")) return VK_ERROR_OUT_OF_HOST_MEMORY;
        // Without what the real driver would refuse.
        auto type = *static_cast<const VkSemaphoreTypeCreateInfo *>(info->pNext);
        type.pNext = nullptr;
        VkSemaphoreCreateInfo plain = *info;
        plain.pNext = &type;
        return real().vkCreateSemaphore(handle, &plain, callbacks, semaphore);
    };
    table_.vkCreateBuffer = [](VkDevice handle, const VkBufferCreateInfo *info,
                               const VkAllocationCallbacks *callbacks, VkBuffer *buffer) {
        if (fails("vkCreateBuffer")) return VK_ERROR_OUT_OF_HOST_MEMORY;
        return real().vkCreateBuffer(handle, info, callbacks, buffer);
    };
    table_.vkAllocateMemory = [](VkDevice handle, const VkMemoryAllocateInfo *info,
                                 const VkAllocationCallbacks *callbacks, VkDeviceMemory *memory) {
        if (fails("vkAllocateMemory")) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
        return real().vkAllocateMemory(handle, info, callbacks, memory);
    };
    table_.vkBindBufferMemory = [](VkDevice handle, VkBuffer buffer, VkDeviceMemory memory,
                                   VkDeviceSize offset) {
        if (fails("vkBindBufferMemory")) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
        return real().vkBindBufferMemory(handle, buffer, memory, offset);
    };
    table_.vkGetMemoryFdKHR = [](VkDevice handle, const VkMemoryGetFdInfoKHR *info, int *fd) {
        if (fails("vkGetMemoryFdKHR")) return VK_ERROR_TOO_MANY_OBJECTS;
        return real().vkGetMemoryFdKHR(handle, info, fd);
    };
    table_.vkGetSemaphoreCounterValue = [](VkDevice handle, VkSemaphore semaphore,
                                           std::uint64_t *value) {
        if (fails("vkGetSemaphoreCounterValue")) return VK_ERROR_DEVICE_LOST;
        return real().vkGetSemaphoreCounterValue(handle, semaphore, value);
    };
}

FaultyVulkan::~FaultyVulkan() {
    table_ = saved_;
    vkGetPhysicalDeviceExternalSemaphoreProperties = saved_properties_;
}

} // namespace tessera
