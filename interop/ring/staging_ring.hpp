// FrameRing for generators that compute on the CPU: slots are mapped buffers, which the generator
// writes in place and the view copies from. No other copy is made.
#pragma once

#include "interop/ring/frame_ring.hpp"
#include "interop/ring/slot_table.hpp"
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

    // Frames may change size at any time: a slot grows when it is written next.
    Result<tessera_tensor> acquire(std::uint32_t width, std::uint32_t height) override;
    Result<void> publish(const tessera_tensor &frame, const FrameInfo &info) override;
    void abandon(const tessera_tensor &frame) override;

    [[nodiscard]] std::optional<RingFrame> take_newest() override;
    [[nodiscard]] bool has_frame() const override { return table_.has_ready(); }
    void drop(const RingFrame &frame) override;
    [[nodiscard]] VkSemaphore release_timeline() const override { return release_.get(); }

    [[nodiscard]] const SlotTable &slots() const { return table_; }

  private:
    struct Slot {
        MappedBuffer buffer;
        std::uint32_t width = 0;
        std::uint32_t height = 0;
        FrameInfo info;
    };
    explicit StagingRing(const VulkanDevice &device) : device_(device) {}
    [[nodiscard]] std::optional<std::uint32_t> slot_of(const tessera_tensor &frame) const;

    const VulkanDevice &device_;
    SlotTable table_{kRingSlots};
    std::array<Slot, kRingSlots> slots_;
    VulkanHandle<VkSemaphore> release_;
};

} // namespace tessera
