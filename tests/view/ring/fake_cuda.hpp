// A CUDA driver without CUDA: counts what is alive, owns descriptors as the real one does, and can
// fail any of its calls. And Vulkan made to believe that timelines can be exported, which a
// software driver cannot, with every call of sharing failing on demand too.
#pragma once

#include "interop/cuda/cuda_shared.hpp"
#include "vulkan/device.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace tessera {

struct FakeCuda {
    DeviceUuid uuid{};
    bool shares_timelines = true;
    // Calls of either driver are counted from 1; this one fails. 0: none does.
    std::uint64_t fail_at = 0;
    std::uint64_t calls = 0;
    std::string failed;             // its name
    int alive = 0;                  // contexts, imports and mappings that were not given back
    int current = 0;                // contexts on the stack
    std::vector<std::string> order; // of destruction
    // Signals this timeline of the ring when the stream gets to it, which is at once.
    const SharedTimeline *ready = nullptr;
    std::vector<std::uint64_t> waited;
    std::vector<std::uint64_t> signalled;

    // True: this call is to fail.
    bool fails(const char *name);
};

// The one that the functions below belong to.
[[nodiscard]] FakeCuda &fake_cuda();
[[nodiscard]] CudaDriver fake_cuda_driver();

// Replaces functions of the device, and of volk, as long as it lives.
class FaultyVulkan {
  public:
    explicit FaultyVulkan(const VulkanDevice &device);
    ~FaultyVulkan();
    FaultyVulkan(const FaultyVulkan &) = delete;
    FaultyVulkan &operator=(const FaultyVulkan &) = delete;

  private:
    VolkDeviceTable &table_;
    VolkDeviceTable saved_;
    PFN_vkGetPhysicalDeviceExternalSemaphoreProperties saved_properties_;
};

} // namespace tessera
