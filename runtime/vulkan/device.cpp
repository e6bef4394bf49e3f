#include "vulkan/device.hpp"

#include "core/log.hpp"
#include "vulkan/requirements.hpp"
#include "vulkan/result.hpp"

#include <utility>
#include <vector>

namespace tessera {

Result<std::unique_ptr<VulkanDevice>> VulkanDevice::create(const VulkanInstance &instance,
                                                           const VulkanDeviceConfig &config) {
    auto device = std::unique_ptr<VulkanDevice>(new VulkanDevice);
    device->instance_ = instance.get();
    const auto opened = device->open(config);
    if (!opened) return opened.error();
    return device;
}

Result<std::unique_ptr<VulkanDevice>> VulkanDevice::adopt(const VulkanInstance &instance,
                                                          GivenDevice given) {
    TESSERA_ASSERT(given.physical != VK_NULL_HANDLE && given.device != VK_NULL_HANDLE);
    TESSERA_ASSERT(given.queue != VK_NULL_HANDLE);
    TESSERA_ASSERT(!given.lock_queue == !given.unlock_queue);
    const auto fits = vulkan_requirements(given.physical);
    if (!fits) {
        return make_error(fits.error().status, "the application's Vulkan device: {}",
                          fits.error().message);
    }
    auto device = std::unique_ptr<VulkanDevice>(new VulkanDevice);
    device->instance_ = instance.get();
    device->owned_ = false;
    device->physical_ = given.physical;
    device->device_ = given.device;
    device->queue_family_ = given.queue_family;
    device->queue_ = given.queue;
    device->queue_lock_.use(std::move(given.lock_queue), std::move(given.unlock_queue));
    device->load(instance.get());
    // The features cannot be asked for afterwards, but what belongs to them can.
    if (device->table_.vkCmdPipelineBarrier2 == nullptr ||
        device->table_.vkGetSemaphoreCounterValue == nullptr) {
        return make_error(Status::kUnsupported,
                          "the application's Vulkan device on {} was made without Vulkan 1.3",
                          device->properties_.deviceName);
    }
    if (missing_for_compute(*fits).empty()) {
        if (given.compute_queue != VK_NULL_HANDLE) {
            device->offer_compute(given.compute_family, given.compute_queue);
        } else if (can_compute(given.physical, given.queue_family)) {
            device->offer_compute(given.queue_family, given.queue);
        }
    }
    log::info("vulkan", "using the application's {}", device->properties_.deviceName);
    return device;
}

Result<std::unique_ptr<VulkanDevice>> VulkanDevice::adopt_for_memory(const VulkanInstance &instance,
                                                                     VkPhysicalDevice physical,
                                                                     VkDevice handle) {
    if (vkGetPhysicalDeviceProperties2 == nullptr ||
        vkGetPhysicalDeviceExternalBufferProperties == nullptr) {
        return make_error(Status::kUnsupported,
                          "the application's Vulkan instance was made without Vulkan 1.1");
    }
    auto device = std::unique_ptr<VulkanDevice>(new VulkanDevice);
    device->instance_ = instance.get();
    device->owned_ = false;
    device->physical_ = physical;
    device->device_ = handle;
    device->load(instance.get());
    return device;
}

void VulkanDevice::load(VkInstance instance) {
    vkGetPhysicalDeviceProperties(physical_, &properties_);
    vkGetPhysicalDeviceMemoryProperties(physical_, &memory_);
    uuid_ = device_uuid(physical_);
    volkLoadDeviceTable(&table_, device_);
    const auto find = [&](const char *name) { return vkGetInstanceProcAddr(instance, name); };
    set_name_ =
        reinterpret_cast<PFN_vkSetDebugUtilsObjectNameEXT>(find("vkSetDebugUtilsObjectNameEXT"));
    begin_label_ =
        reinterpret_cast<PFN_vkCmdBeginDebugUtilsLabelEXT>(find("vkCmdBeginDebugUtilsLabelEXT"));
    end_label_ =
        reinterpret_cast<PFN_vkCmdEndDebugUtilsLabelEXT>(find("vkCmdEndDebugUtilsLabelEXT"));
}

Result<void> VulkanDevice::open(const VulkanDeviceConfig &config) {
    auto chosen = choose_device(instance_, config);
    if (!chosen) return chosen.error();
    physical_ = chosen->device;
    queue_family_ = chosen->queue_family;
    VulkanRequirements &requirements = chosen->requirements;
    // What computes gives way to what draws, here or elsewhere.
    const bool next_to_it = !config.computes && missing_for_compute(requirements).empty();
    const auto compute = next_to_it ? find_compute_family(physical_) : std::nullopt;
    const bool same_family = compute && compute->family == queue_family_;
    const std::uint32_t compute_index = same_family && compute->queue_count > 1 ? 1 : 0;

    constexpr std::array kPriorities{1.0F, 0.0F};
    std::vector<VkDeviceQueueCreateInfo> queues;
    const auto want = [&](std::uint32_t family, std::uint32_t count, const float *priorities) {
        VkDeviceQueueCreateInfo queue{VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
        queue.queueFamilyIndex = family;
        queue.queueCount = count;
        queue.pQueuePriorities = priorities;
        queues.push_back(queue);
    };
    want(queue_family_, 1 + compute_index, &kPriorities[config.computes ? 1 : 0]);
    if (compute && !same_family) want(compute->family, 1, &kPriorities[1]);

    // Below other programs too, where the driver has such priorities.
    VkDeviceQueueGlobalPriorityCreateInfoKHR low{
        VK_STRUCTURE_TYPE_DEVICE_QUEUE_GLOBAL_PRIORITY_CREATE_INFO_KHR};
    low.globalPriority = VK_QUEUE_GLOBAL_PRIORITY_LOW_KHR;
    if ((config.computes || queues.size() > 1) &&
        has_device_extension(physical_, VK_KHR_GLOBAL_PRIORITY_EXTENSION_NAME)) {
        requirements.extensions.push_back(VK_KHR_GLOBAL_PRIORITY_EXTENSION_NAME);
        queues.back().pNext = &low;
    }

    if (auto made = make(requirements, queues); !made) return made;
    table_.vkGetDeviceQueue(device_, queue_family_, 0, &queue_);
    if (compute) {
        VkQueue queue = VK_NULL_HANDLE;
        table_.vkGetDeviceQueue(device_, compute->family, compute_index, &queue);
        offer_compute(compute->family, queue);
    }
    log::info("vulkan", "using {}", properties_.deviceName);
    return {};
}

Result<void> VulkanDevice::make(VulkanRequirements &requirements,
                                std::span<const VkDeviceQueueCreateInfo> queues) {
    requirements.features12.pNext = &requirements.features13;
    VkDeviceCreateInfo info{VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, &requirements.features12};
    info.queueCreateInfoCount = static_cast<std::uint32_t>(queues.size());
    info.pQueueCreateInfos = queues.data();
    info.enabledExtensionCount = static_cast<std::uint32_t>(requirements.extensions.size());
    info.ppEnabledExtensionNames = requirements.extensions.data();
    auto made = vulkan_check(vkCreateDevice(physical_, &info, nullptr, &device_), "vkCreateDevice");
    if (!made) {
        device_ = VK_NULL_HANDLE;
        return made;
    }
    load(instance_);
    return {};
}

void VulkanDevice::offer_compute(std::uint32_t family, VkQueue queue) {
    for_compute_ = {.struct_size = sizeof for_compute_,
                    .queue_family = family,
                    .instance = instance_,
                    .physical_device = physical_,
                    .device = device_,
                    .queue = queue,
                    .queue_data = queue == queue_ ? &queue_lock_ : &compute_lock_,
                    .lock_queue = [](void *lock) { static_cast<QueueLock *>(lock)->lock(); },
                    .unlock_queue = [](void *lock) { static_cast<QueueLock *>(lock)->unlock(); }};
}

VulkanDevice::~VulkanDevice() {
    if (device_ == VK_NULL_HANDLE || !owned_) return;
    table_.vkDeviceWaitIdle(device_);
    table_.vkDestroyDevice(device_, nullptr);
}

namespace {

// As Vulkan 1.0 has them: what came later, and is used here, are kinds of transfers.
VkPipelineStageFlags stages_of(VkPipelineStageFlags2 stages) {
    const auto old = static_cast<VkPipelineStageFlags>(stages);
    return old == stages ? old : old | VK_PIPELINE_STAGE_TRANSFER_BIT;
}

} // namespace

VkSemaphoreSubmitInfo semaphore_at(VkSemaphore semaphore, std::uint64_t value,
                                   VkPipelineStageFlags2 stages) {
    VkSemaphoreSubmitInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO};
    info.semaphore = semaphore;
    info.value = value;
    info.stageMask = stages;
    return info;
}

// By vkQueueSubmit, since GPU-assisted validation (1.3.239) takes no note of what vkQueueSubmit2
// signals, and then holds every wait for ten seconds.
Result<void> VulkanDevice::submit(std::span<const VkCommandBuffer> commands,
                                  std::span<const VkSemaphoreSubmitInfo> waits,
                                  std::span<const VkSemaphoreSubmitInfo> signals) {
    struct Semaphores {
        std::vector<VkSemaphore> handles;
        std::vector<std::uint64_t> values;
        std::vector<VkPipelineStageFlags> stages;
        explicit Semaphores(std::span<const VkSemaphoreSubmitInfo> infos) {
            for (const VkSemaphoreSubmitInfo &info : infos) {
                handles.push_back(info.semaphore);
                values.push_back(info.value);
                stages.push_back(stages_of(info.stageMask));
            }
        }
    };
    const Semaphores before(waits), after(signals);
    VkTimelineSemaphoreSubmitInfo values{VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO};
    values.waitSemaphoreValueCount = static_cast<std::uint32_t>(waits.size());
    values.pWaitSemaphoreValues = before.values.data();
    values.signalSemaphoreValueCount = static_cast<std::uint32_t>(signals.size());
    values.pSignalSemaphoreValues = after.values.data();
    VkSubmitInfo info{VK_STRUCTURE_TYPE_SUBMIT_INFO, &values};
    info.waitSemaphoreCount = values.waitSemaphoreValueCount;
    info.pWaitSemaphores = before.handles.data();
    info.pWaitDstStageMask = before.stages.data();
    info.commandBufferCount = static_cast<std::uint32_t>(commands.size());
    info.pCommandBuffers = commands.data();
    info.signalSemaphoreCount = values.signalSemaphoreValueCount;
    info.pSignalSemaphores = after.handles.data();
    const auto lock = lock_queue();
    return vulkan_check(noted(table_.vkQueueSubmit(queue_, 1, &info, VK_NULL_HANDLE)),
                        "vkQueueSubmit");
}

VkResult VulkanDevice::present(const VkPresentInfoKHR &info) {
    const auto lock = lock_queue();
    return noted(table_.vkQueuePresentKHR(queue_, &info));
}

Result<void> VulkanDevice::wait_idle() {
    const auto lock = lock_queue();
    return vulkan_check(noted(table_.vkQueueWaitIdle(queue_)), "vkQueueWaitIdle");
}

VkResult VulkanDevice::noted(VkResult result) const {
    if (result == VK_ERROR_DEVICE_LOST) lost_ = true;
    return result;
}

Result<VulkanHandle<VkSemaphore>> VulkanDevice::make_timeline(std::uint64_t initial) const {
    VkSemaphoreTypeCreateInfo type{VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO};
    type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
    type.initialValue = initial;
    const VkSemaphoreCreateInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, &type};
    VkSemaphore semaphore = VK_NULL_HANDLE;
    const VkResult result = table_.vkCreateSemaphore(device_, &info, nullptr, &semaphore);
    if (result < 0) return vulkan_error(result, "vkCreateSemaphore (timeline)");
    return own(semaphore, table_.vkDestroySemaphore);
}

Result<VulkanHandle<VkSemaphore>> VulkanDevice::make_semaphore() const {
    const VkSemaphoreCreateInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO};
    VkSemaphore semaphore = VK_NULL_HANDLE;
    const VkResult result = table_.vkCreateSemaphore(device_, &info, nullptr, &semaphore);
    if (result < 0) return vulkan_error(result, "vkCreateSemaphore");
    return own(semaphore, table_.vkDestroySemaphore);
}

Result<std::uint64_t> VulkanDevice::timeline_value(VkSemaphore timeline) const {
    std::uint64_t value = 0;
    const VkResult result = noted(table_.vkGetSemaphoreCounterValue(device_, timeline, &value));
    if (result < 0) return vulkan_error(result, "vkGetSemaphoreCounterValue");
    return value;
}

Result<bool> VulkanDevice::wait_for(VkSemaphore timeline, std::uint64_t value,
                                    std::uint64_t timeout_ns) const {
    VkSemaphoreWaitInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO};
    info.semaphoreCount = 1;
    info.pSemaphores = &timeline;
    info.pValues = &value;
    const VkResult result = noted(table_.vkWaitSemaphores(device_, &info, timeout_ns));
    if (result < 0) return vulkan_error(result, "vkWaitSemaphores");
    return result != VK_TIMEOUT;
}

void VulkanDevice::set_name(VkObjectType type, std::uint64_t handle,
                            const std::string &text) const {
    if (set_name_ == nullptr) return;
    VkDebugUtilsObjectNameInfoEXT info{VK_STRUCTURE_TYPE_DEBUG_UTILS_OBJECT_NAME_INFO_EXT};
    info.objectType = type;
    info.objectHandle = handle;
    info.pObjectName = text.c_str();
    set_name_(device_, &info);
}

void VulkanDevice::begin_label(VkCommandBuffer commands, const char *text) const {
    if (begin_label_ == nullptr) return;
    VkDebugUtilsLabelEXT label{VK_STRUCTURE_TYPE_DEBUG_UTILS_LABEL_EXT};
    label.pLabelName = text;
    begin_label_(commands, &label);
}

void VulkanDevice::end_label(VkCommandBuffer commands) const {
    if (end_label_ != nullptr) end_label_(commands);
}

} // namespace tessera
