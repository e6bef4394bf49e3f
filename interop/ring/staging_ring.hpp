// FrameRing for generators that compute on the CPU: slots are mapped buffers, which the generator
// writes in place and the view copies from. No other copy is made.
#pragma once

#include "interop/ring/frame_ring.hpp"
#include "vulkan/device.hpp"
#include "vulkan/memory.hpp"

#include <array>
#include <memory>

namespace tessera {

class StagingRing final : public FrameRing {
  public:
    // Memory comes with the first frame. The device outlives the ring; whoever submits waits for
    // the device before the ring goes.
    [[nodiscard]] static Result<std::unique_ptr<StagingRing>> create(const VulkanDevice &device);

    [[nodiscard]] std::optional<RingFrame> take_newest() override;
    [[nodiscard]] VkSemaphore release_timeline() const override { return release_.get(); }

  private:
    explicit StagingRing(const VulkanDevice &device) : FrameRing(device, "staging ring") {}
    // A slot grows when it is written next.
    Result<tessera_tensor> begin(std::uint32_t slot, std::uint32_t width, std::uint32_t height,
                                 Place &place) override;

    std::array<MappedBuffer, kRingSlots> buffers_;
    VulkanHandle<VkSemaphore> release_;
};

} // namespace tessera
