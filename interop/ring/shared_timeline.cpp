#include "interop/ring/shared_timeline.hpp"

#include "vulkan/result.hpp"

namespace tessera {
namespace {

constexpr VkExternalSemaphoreHandleTypeFlagBits kHandle =
    VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_OPAQUE_FD_BIT;

} // namespace

Result<void> SharedTimeline::can_export(const VulkanDevice &device) {
    const char *const name = device.properties().deviceName;
    if (device.table().vkGetSemaphoreFdKHR == nullptr) {
        return make_error(Status::kUnsupported, "device {} has no {}, or it is not enabled", name,
                          VK_KHR_EXTERNAL_SEMAPHORE_FD_EXTENSION_NAME);
    }
    // Without the type in the chain the answer would be about binary semaphores.
    VkSemaphoreTypeCreateInfo type{VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO};
    type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
    VkPhysicalDeviceExternalSemaphoreInfo info{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_SEMAPHORE_INFO, &type};
    info.handleType = kHandle;
    VkExternalSemaphoreProperties properties{VK_STRUCTURE_TYPE_EXTERNAL_SEMAPHORE_PROPERTIES};
    vkGetPhysicalDeviceExternalSemaphoreProperties(device.physical(), &info, &properties);
    const auto features = properties.externalSemaphoreFeatures;
    if ((features & VK_EXTERNAL_SEMAPHORE_FEATURE_EXPORTABLE_BIT) != 0) return {};
    return make_error(Status::kUnsupported,
                      "device {} cannot share timeline semaphores by file descriptor", name);
}

Result<SharedTimeline> SharedTimeline::create(const VulkanDevice &device, const std::string &name) {
    VkExportSemaphoreCreateInfo exported{VK_STRUCTURE_TYPE_EXPORT_SEMAPHORE_CREATE_INFO};
    exported.handleTypes = kHandle;
    VkSemaphoreTypeCreateInfo type{VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO};
    type.pNext = can_export(device) ? &exported : nullptr;
    type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
    const VkSemaphoreCreateInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, &type};
    VkSemaphore semaphore = VK_NULL_HANDLE;
    const VkResult result =
        device.table().vkCreateSemaphore(device.get(), &info, nullptr, &semaphore);
    if (result < 0) return vulkan_error(result, "vkCreateSemaphore (shared timeline)");
    SharedTimeline timeline(device);
    timeline.semaphore_ = device.own(semaphore, device.table().vkDestroySemaphore);
    device.name(VK_OBJECT_TYPE_SEMAPHORE, semaphore, name);
    return timeline;
}

Result<FileDescriptor> SharedTimeline::export_timeline() const {
    if (auto can = can_export(*device_); !can) return can.error();
    VkSemaphoreGetFdInfoKHR info{VK_STRUCTURE_TYPE_SEMAPHORE_GET_FD_INFO_KHR};
    info.semaphore = semaphore_.get();
    info.handleType = kHandle;
    int fd = -1;
    const VkResult result = device_->table().vkGetSemaphoreFdKHR(device_->get(), &info, &fd);
    if (result < 0) return vulkan_error(result, "vkGetSemaphoreFdKHR");
    return FileDescriptor(fd);
}

Result<void> SharedTimeline::signal(std::uint64_t value) const {
    VkSemaphoreSignalInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO};
    info.semaphore = semaphore_.get();
    info.value = value;
    return vulkan_check(device_->table().vkSignalSemaphore(device_->get(), &info),
                        "vkSignalSemaphore");
}

Result<void> SharedTimeline::wait(std::uint64_t value, std::uint64_t timeout_ns) const {
    const auto reached = device_->wait_for(semaphore_.get(), value, timeout_ns);
    if (!reached) return reached.error();
    if (*reached) return {};
    return make_error(Status::kBusy, "timeline value {} was not reached in {} ms", value,
                      timeout_ns / 1'000'000);
}

} // namespace tessera
