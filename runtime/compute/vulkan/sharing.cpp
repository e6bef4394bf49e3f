// "tessera.vulkan/1", its functions: buffers of a view on the same device as memory of the compute,
// and timelines that order what is written there with what reads it.
#include "compute/vulkan/ops.hpp"

namespace tessera::vulkan {
namespace {

Vulkan &vulkan_of(const tessera_ext_vulkan *extension) {
    return *static_cast<Vulkan *>(extension->vulkan_data);
}

std::int32_t is_lost(const tessera_ext_vulkan *extension) {
    Vulkan &vulkan = vulkan_of(extension);
    vulkan.stream().look();
    return vulkan.device().is_lost() ? 1 : 0;
}

tessera_status use_buffer(const tessera_ext_vulkan *extension, std::uint64_t handle,
                          std::uint64_t size_bytes, void **out_data) {
    Vulkan &vulkan = vulkan_of(extension);
    auto *const buffer = reinterpret_cast<VkBuffer>(handle);
    const VkDeviceAddress address = buffer_address(vulkan.device(), buffer);
    if (address == 0) {
        vulkan.report(Status::kInvalidArgument, "use_buffer: the buffer has no device address");
        return static_cast<tessera_status>(vulkan.take_status());
    }
    vulkan.use_buffer(buffer, size_bytes, address);
    *out_data = reinterpret_cast<void *>(address);
    return TESSERA_OK;
}

void forget_buffer(const tessera_ext_vulkan *extension, void *data) {
    vulkan_of(extension).forget_buffer(reinterpret_cast<VkDeviceAddress>(data));
}

void wait(const tessera_ext_vulkan *extension, std::uint64_t timeline, std::uint64_t value) {
    Vulkan &vulkan = vulkan_of(extension);
    if (vulkan.check(vulkan.not_recording(), "wait"))
        vulkan.stream().wait_before(reinterpret_cast<VkSemaphore>(timeline), value);
}

// What was enqueued may have failed: then there is nothing to announce.
tessera_status signal(const tessera_ext_vulkan *extension, std::uint64_t timeline,
                      std::uint64_t value) {
    Vulkan &vulkan = vulkan_of(extension);
    if (!vulkan.failed() && vulkan.check(vulkan.not_recording(), "signal")) {
        auto *const semaphore = reinterpret_cast<VkSemaphore>(timeline);
        vulkan.check(vulkan.stream().signal_after(semaphore, value), "signal");
    }
    return static_cast<tessera_status>(vulkan.status());
}

tessera_status finish(const tessera_ext_vulkan *extension) {
    Vulkan &vulkan = vulkan_of(extension);
    if (vulkan.check(vulkan.not_recording(), "finish"))
        vulkan.check(vulkan.stream().wait(), "finish");
    return static_cast<tessera_status>(vulkan.status());
}

} // namespace

void add_sharing(tessera_ext_vulkan &extension) {
    extension.is_lost = is_lost;
    extension.use_buffer = use_buffer;
    extension.forget_buffer = forget_buffer;
    extension.wait = wait;
    extension.signal = signal;
    extension.finish = finish;
}

} // namespace tessera::vulkan
