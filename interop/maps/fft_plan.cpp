#include "interop/maps/fft_plan.hpp"

#include "vulkan/result.hpp"

#include <mutex>
#include <span>
#include <string>
#include <utility>

#include <glslang/Include/glslang_c_interface.h>
#include <glslang/Public/resource_limits_c.h>

namespace {

// VkFFT calls Vulkan's functions by name, on whatever thread it runs: these are the ones of the
// device that this thread works for.
thread_local tessera::VulkanDevice *bound = nullptr;

const VolkDeviceTable &bound_table() { return bound->table(); }

// Planning uploads tables on the queue that everybody shares.
VkResult submit_under_lock(VkQueue queue, std::uint32_t count, const VkSubmitInfo *infos,
                           VkFence fence) {
    const auto lock = bound->lock_queue();
    return bound->noted(bound_table().vkQueueSubmit(queue, count, infos, fence));
}

VkResult wait_and_note_a_loss(VkDevice device, std::uint32_t count, const VkFence *fences,
                              VkBool32 all, std::uint64_t timeout_ns) {
    return bound->noted(bound_table().vkWaitForFences(device, count, fences, all, timeout_ns));
}

// VkFFT 1.2.26 asks for reads to wait for the writes of the pass before; the passes write in place,
// so that writes have to wait as well.
void barrier_for_writes_too(VkCommandBuffer commands, VkPipelineStageFlags from,
                            VkPipelineStageFlags to, VkDependencyFlags flags, std::uint32_t count,
                            const VkMemoryBarrier *barriers, std::uint32_t /*buffers*/,
                            const VkBufferMemoryBarrier * /*buffer*/, std::uint32_t /*images*/,
                            const VkImageMemoryBarrier * /*image*/) {
    VkMemoryBarrier barrier = count > 0 ? barriers[0] : VkMemoryBarrier{};
    barrier.dstAccessMask |= VK_ACCESS_SHADER_WRITE_BIT;
    bound_table().vkCmdPipelineBarrier(commands, from, to, flags, 1, &barrier, 0, nullptr, 0,
                                       nullptr);
}

// VkFFT 1.2.26 fills glslang's limits by position with 93 numbers and nine more, for a struct that
// has grown since. It gets a struct of that shape; glslang gets its own default limits.
struct LimitsByPosition {
    struct Loops {
        int values[9];
    };
    int values[93];
    Loops loops;
    const glslang_resource_t *operator&() const { return glslang_default_resource(); } // NOLINT
};

} // namespace

// Every function of the device by its name, from the bound table (generated from volk's list).
#include <volk_table_names.h>

#define VKFFT_BACKEND 0
#define glslang_resource_t LimitsByPosition
#undef vkCmdPipelineBarrier
#undef vkQueueSubmit
#undef vkWaitForFences
#define vkCmdPipelineBarrier barrier_for_writes_too
#define vkQueueSubmit submit_under_lock
#define vkWaitForFences wait_and_note_a_loss
#include <vkFFT.h>
#undef glslang_resource_t

namespace tessera {
namespace {

// Binds the device for VkFFT as long as it lives.
class Binding {
  public:
    explicit Binding(VulkanDevice &device) : before_(std::exchange(bound, &device)) {}
    ~Binding() { bound = before_; }
    Binding(const Binding &) = delete;
    Binding &operator=(const Binding &) = delete;

  private:
    VulkanDevice *before_;
};

// Everything that the generated code depends on.
std::string key_of(const VulkanDevice &device, std::uint32_t width, std::uint32_t height) {
    const VkPhysicalDeviceProperties &properties = device.properties();
    return fmt::format("vkfft {}; device {}, driver {:x}, {}; complex float32, {} x {}, in place",
                       VkFFTGetVersion(), uuid_text(device.uuid()), properties.driverVersion,
                       properties.deviceName, width, height);
}

Result<void> vkfft_check(VkFFTResult result, std::string_view what) {
    if (result == VKFFT_SUCCESS) return {};
    return make_error(Status::kFailed, "{}: VkFFT's error {}", what, static_cast<int>(result));
}

} // namespace

// VkFFT keeps pointers to all of these.
struct FftPlan::Application {
    explicit Application(VulkanDevice &device_) : device(device_) {}
    ~Application() {
        if (!planned) return;
        const Binding binding(device);
        deleteVkFFT(&vkfft);
    }
    Application(const Application &) = delete;
    Application &operator=(const Application &) = delete;

    Result<void> make_handles();
    Result<void> plan(std::uint32_t width, std::uint32_t height, std::uint32_t planes,
                      std::span<const std::byte> blob);

    VulkanDevice &device;
    VkPhysicalDevice physical = device.physical();
    VkDevice handle = device.get();
    VkQueue queue = device.queue();
    VulkanHandle<VkCommandPool> pool;
    VulkanHandle<VkFence> fence;
    VkCommandPool pool_handle = VK_NULL_HANDLE;
    VkFence fence_handle = VK_NULL_HANDLE;
    VkBuffer buffer = VK_NULL_HANDLE;
    std::uint64_t buffer_bytes = 0;
    VkFFTApplication vkfft{};
    bool planned = false;
};

Result<void> FftPlan::Application::make_handles() {
    const VolkDeviceTable &vk = device.table();
    VkCommandPoolCreateInfo pool_info{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
    pool_info.flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT;
    pool_info.queueFamilyIndex = device.queue_family();
    VkResult result = vk.tessera_vkCreateCommandPool(handle, &pool_info, nullptr, &pool_handle);
    if (result < 0) return vulkan_error(result, "vkCreateCommandPool (Fourier transform)");
    pool = device.own(pool_handle, vk.tessera_vkDestroyCommandPool);
    const VkFenceCreateInfo fence_info{VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    result = vk.tessera_vkCreateFence(handle, &fence_info, nullptr, &fence_handle);
    if (result < 0) return vulkan_error(result, "vkCreateFence (Fourier transform)");
    fence = device.own(fence_handle, vk.tessera_vkDestroyFence);
    return {};
}

Result<void> FftPlan::Application::plan(std::uint32_t width, std::uint32_t height,
                                        std::uint32_t planes, std::span<const std::byte> blob) {
    buffer_bytes = std::uint64_t{width} * height * planes * 8;
    VkFFTConfiguration config{};
    config.FFTdim = 2;
    config.size[0] = width;
    config.size[1] = height;
    config.physicalDevice = &physical;
    config.device = &handle;
    config.queue = &queue;
    config.commandPool = &pool_handle;
    config.fence = &fence_handle;
    // No config.buffer: VkFFT writes its descriptors with the first launch then, when all its own
    // buffers exist. Known earlier, those of sizes with large prime factors stay empty.
    config.bufferSize = &buffer_bytes;
    config.specifyOffsetsAtLaunch = 1;
    config.normalize = 1;
    // VkFFT only reads it.
    config.loadApplicationString = const_cast<std::byte *>(blob.data());
    config.loadApplicationFromString = blob.empty() ? 0 : 1;
    config.saveApplicationToString = blob.empty() ? 1 : 0;
    const Binding binding(device);
    const VkFFTResult result = initializeVkFFT(&vkfft, config);
    planned = result == VKFFT_SUCCESS; // else VkFFT has cleaned up
    return vkfft_check(result, fmt::format("Fourier transform of {} x {}", width, height));
}

FftPlan::FftPlan() = default;
FftPlan::~FftPlan() = default;

Result<std::unique_ptr<FftPlan>> FftPlan::create(VulkanDevice &device, std::uint32_t width,
                                                 std::uint32_t height, VkBuffer buffer,
                                                 std::uint32_t planes, const PlanCache &cache) {
    if (width < kMinSide || height < kMinSide || width > kMaxSide || height > kMaxSide) {
        return make_error(Status::kInvalidArgument,
                          "Fourier transform of {} x {}: both must be between {} and {}", width,
                          height, kMinSide, kMaxSide);
    }
    auto plan = std::unique_ptr<FftPlan>(new FftPlan);
    plan->application_ = std::make_unique<Application>(device);
    plan->plane_bytes_ = std::uint64_t{width} * height * 8;
    Application &application = *plan->application_;
    application.buffer = buffer;
    if (auto made = application.make_handles(); !made) return made.error();
    const std::string key = key_of(device, width, height);
    const auto blob = cache.load(key);
    plan->from_cache_ = blob.has_value();
    auto planned =
        application.plan(width, height, planes,
                         blob ? std::span<const std::byte>(*blob) : std::span<const std::byte>());
    if (!planned) return planned.error();
    if (!blob) {
        const VkFFTApplication &made = application.vkfft;
        cache.store(key, {static_cast<const std::byte *>(made.saveApplicationString),
                          static_cast<std::size_t>(made.applicationStringSize)});
    }
    return plan;
}

Result<void> FftPlan::record(VkCommandBuffer commands, FftDirection direction,
                             std::uint32_t plane) {
    Application &application = *application_;
    VkFFTLaunchParams launch{};
    launch.commandBuffer = &commands;
    launch.buffer = &application.buffer;
    launch.bufferOffset = plane_bytes_ * plane;
    const Binding binding(application.device);
    const int inverse = direction == FftDirection::kInverse ? 1 : -1;
    return vkfft_check(VkFFTAppend(&application.vkfft, inverse, &launch), "Fourier transform");
}

} // namespace tessera
