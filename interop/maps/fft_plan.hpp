// A two-dimensional complex Fourier transform of one size, in place on planes of a device buffer,
// by VkFFT. The only place that knows VkFFT.
#pragma once

#include "core/result.hpp"
#include "interop/maps/plan_cache.hpp"
#include "vulkan/device.hpp"

#include <cstdint>
#include <memory>

namespace tessera {

enum class FftDirection { kForward, kInverse };

class FftPlan {
  public:
    static constexpr std::uint32_t kMinSide = 2;
    static constexpr std::uint32_t kMaxSide = 4096;

    // `buffer` holds `planes` planes of (height, width) complex float32 values and outlives the
    // plan. Takes some 0.2 s, or less when the cache has it; uses the queue in between, under its
    // lock. Not for the thread that renders.
    [[nodiscard]] static Result<std::unique_ptr<FftPlan>>
    create(VulkanDevice &device, std::uint32_t width, std::uint32_t height, VkBuffer buffer,
           std::uint32_t planes, const PlanCache &cache);
    ~FftPlan();
    FftPlan(const FftPlan &) = delete;
    FftPlan &operator=(const FftPlan &) = delete;

    // Forward: sums of x exp(-2 pi i ...), not normalised; inverse: divided by width x height.
    // The caller puts barriers before and after. One recording at a time.
    [[nodiscard]] Result<void> record(VkCommandBuffer commands, FftDirection direction,
                                      std::uint32_t plane);
    [[nodiscard]] bool from_cache() const { return from_cache_; }

  private:
    struct Application;
    FftPlan();

    std::unique_ptr<Application> application_;
    std::uint64_t plane_bytes_ = 0;
    bool from_cache_ = false;
};

} // namespace tessera
