#include "tests/view/ring/fake_cuda.hpp"

#include "core/file_descriptor.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace tessera {
namespace {

struct Imported {
    FileDescriptor fd; // taken over
};

CUresult result_of(const char *name) {
    return fake_cuda().fails(name) ? CUDA_ERROR_UNKNOWN : CUDA_SUCCESS;
}

template <class Handle>
CUresult import(const char *name, Handle *out, int fd) {
    if (const CUresult failed = result_of(name); failed != CUDA_SUCCESS) return failed;
    *out = reinterpret_cast<Handle>(new Imported{FileDescriptor(fd)});
    ++fake_cuda().alive;
    return CUDA_SUCCESS;
}

template <class Handle>
CUresult destroy(const char *name, Handle handle) {
    delete reinterpret_cast<Imported *>(handle);
    --fake_cuda().alive;
    fake_cuda().order.emplace_back(name);
    return CUDA_SUCCESS;
}

VolkDeviceTable &real() {
    static VolkDeviceTable table;
    return table;
}

} // namespace

bool FakeCuda::fails(const char *name) {
    if (++calls != fail_at) return false;
    failed = name;
    return true;
}

FakeCuda &fake_cuda() {
    static FakeCuda fake;
    return fake;
}

CudaDriver fake_cuda_driver() {
    CudaDriver cuda;
    cuda.init = [](unsigned) { return result_of("cuInit"); };
    cuda.error_name = [](CUresult, const char **name) {
        *name = "CUDA_ERROR_UNKNOWN";
        return CUDA_SUCCESS;
    };
    cuda.error_text = [](CUresult, const char **text) {
        *text = "injected";
        return CUDA_SUCCESS;
    };
    cuda.device_get = [](CUdevice *device, int ordinal) {
        *device = ordinal;
        return result_of("cuDeviceGet");
    };
    cuda.device_uuid = [](CUuuid *uuid, CUdevice) {
        std::copy(fake_cuda().uuid.begin(), fake_cuda().uuid.end(), uuid->bytes);
        return result_of("cuDeviceGetUuid");
    };
    cuda.device_attribute = [](int *value, CUdevice_attribute, CUdevice) {
        *value = fake_cuda().shares_timelines ? 1 : 0;
        return result_of("cuDeviceGetAttribute");
    };
    cuda.context_retain = [](CUcontext *context, CUdevice) {
        if (fake_cuda().fails("cuDevicePrimaryCtxRetain")) return CUDA_ERROR_UNKNOWN;
        *context = reinterpret_cast<CUcontext>(&fake_cuda());
        ++fake_cuda().alive;
        return CUDA_SUCCESS;
    };
    cuda.context_release = [](CUdevice) {
        --fake_cuda().alive;
        fake_cuda().order.emplace_back("context");
        return CUDA_SUCCESS;
    };
    cuda.context_push = [](CUcontext) {
        if (fake_cuda().fails("cuCtxPushCurrent")) return CUDA_ERROR_UNKNOWN;
        ++fake_cuda().current;
        return CUDA_SUCCESS;
    };
    cuda.context_pop = [](CUcontext *) {
        --fake_cuda().current;
        return CUDA_SUCCESS;
    };
    cuda.stream_synchronize = [](CUstream) { return result_of("cuStreamSynchronize"); };
    cuda.import_memory = [](CUexternalMemory *memory,
                            const CUDA_EXTERNAL_MEMORY_HANDLE_DESC *desc) {
        const bool right = desc->type == CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD &&
                           desc->flags == CUDA_EXTERNAL_MEMORY_DEDICATED && desc->size > 0;
        if (!right) return CUDA_ERROR_INVALID_VALUE;
        return import("cuImportExternalMemory", memory, desc->handle.fd);
    };
    cuda.map_memory = [](CUdeviceptr *address, CUexternalMemory,
                         const CUDA_EXTERNAL_MEMORY_BUFFER_DESC *desc) {
        if (fake_cuda().fails("cuExternalMemoryGetMappedBuffer")) return CUDA_ERROR_UNKNOWN;
        *address = reinterpret_cast<CUdeviceptr>(std::malloc(desc->size));
        ++fake_cuda().alive;
        return CUDA_SUCCESS;
    };
    cuda.unmap_memory = [](CUdeviceptr address) {
        std::free(reinterpret_cast<void *>(address));
        --fake_cuda().alive;
        fake_cuda().order.emplace_back("mapping");
        return CUDA_SUCCESS;
    };
    cuda.destroy_memory = [](CUexternalMemory memory) { return destroy("memory", memory); };
    cuda.import_semaphore = [](CUexternalSemaphore *semaphore,
                               const CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC *desc) {
        if (desc->type != CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_TIMELINE_SEMAPHORE_FD) {
            return CUDA_ERROR_INVALID_VALUE;
        }
        return import("cuImportExternalSemaphore", semaphore, desc->handle.fd);
    };
    cuda.destroy_semaphore = [](CUexternalSemaphore semaphore) {
        return destroy("semaphore", semaphore);
    };
    cuda.wait_semaphores = [](const CUexternalSemaphore *,
                              const CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS *params, unsigned,
                              CUstream) {
        if (fake_cuda().fails("cuWaitExternalSemaphoresAsync")) return CUDA_ERROR_UNKNOWN;
        fake_cuda().waited.push_back(params->params.fence.value);
        return CUDA_SUCCESS;
    };
    cuda.signal_semaphores = [](const CUexternalSemaphore *,
                                const CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS *params, unsigned,
                                CUstream) {
        if (fake_cuda().fails("cuSignalExternalSemaphoresAsync")) return CUDA_ERROR_UNKNOWN;
        fake_cuda().signalled.push_back(params->params.fence.value);
        static_cast<void>(fake_cuda().ready->signal(params->params.fence.value));
        return CUDA_SUCCESS;
    };
    return cuda;
}

FaultyVulkan::FaultyVulkan(const VulkanDevice &device)
    : table_(const_cast<VolkDeviceTable &>(device.table())), saved_(table_),
      saved_properties_(vkGetPhysicalDeviceExternalSemaphoreProperties) {
    real() = saved_;
    vkGetPhysicalDeviceExternalSemaphoreProperties =
        [](VkPhysicalDevice, const VkPhysicalDeviceExternalSemaphoreInfo *,
           VkExternalSemaphoreProperties *properties) {
            properties->externalSemaphoreFeatures = VK_EXTERNAL_SEMAPHORE_FEATURE_EXPORTABLE_BIT;
        };
    table_.vkGetSemaphoreFdKHR = [](VkDevice, const VkSemaphoreGetFdInfoKHR *, int *fd) {
        if (fake_cuda().fails("vkGetSemaphoreFdKHR")) return VK_ERROR_TOO_MANY_OBJECTS;
        *fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        return VK_SUCCESS;
    };
    table_.vkCreateSemaphore = [](VkDevice handle, const VkSemaphoreCreateInfo *info,
                                  const VkAllocationCallbacks *callbacks, VkSemaphore *semaphore) {
        if (fake_cuda().fails("vkCreateSemaphore")) return VK_ERROR_OUT_OF_HOST_MEMORY;
        // Without what the real driver would refuse.
        auto type = *static_cast<const VkSemaphoreTypeCreateInfo *>(info->pNext);
        type.pNext = nullptr;
        VkSemaphoreCreateInfo plain = *info;
        plain.pNext = &type;
        return real().vkCreateSemaphore(handle, &plain, callbacks, semaphore);
    };
    table_.vkCreateBuffer = [](VkDevice handle, const VkBufferCreateInfo *info,
                               const VkAllocationCallbacks *callbacks, VkBuffer *buffer) {
        if (fake_cuda().fails("vkCreateBuffer")) return VK_ERROR_OUT_OF_HOST_MEMORY;
        return real().vkCreateBuffer(handle, info, callbacks, buffer);
    };
    table_.vkAllocateMemory = [](VkDevice handle, const VkMemoryAllocateInfo *info,
                                 const VkAllocationCallbacks *callbacks, VkDeviceMemory *memory) {
        if (fake_cuda().fails("vkAllocateMemory")) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
        return real().vkAllocateMemory(handle, info, callbacks, memory);
    };
    table_.vkBindBufferMemory = [](VkDevice handle, VkBuffer buffer, VkDeviceMemory memory,
                                   VkDeviceSize offset) {
        if (fake_cuda().fails("vkBindBufferMemory")) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
        return real().vkBindBufferMemory(handle, buffer, memory, offset);
    };
    table_.vkGetMemoryFdKHR = [](VkDevice handle, const VkMemoryGetFdInfoKHR *info, int *fd) {
        if (fake_cuda().fails("vkGetMemoryFdKHR")) return VK_ERROR_TOO_MANY_OBJECTS;
        return real().vkGetMemoryFdKHR(handle, info, fd);
    };
    table_.vkGetSemaphoreCounterValue = [](VkDevice handle, VkSemaphore semaphore,
                                           std::uint64_t *value) {
        if (fake_cuda().fails("vkGetSemaphoreCounterValue")) return VK_ERROR_DEVICE_LOST;
        return real().vkGetSemaphoreCounterValue(handle, semaphore, value);
    };
}

FaultyVulkan::~FaultyVulkan() {
    table_ = saved_;
    vkGetPhysicalDeviceExternalSemaphoreProperties = saved_properties_;
}

} // namespace tessera
