// FrameRing without a copy through the host: slots lie in memory that Vulkan allocated and the
// generator's device writes. Two timelines go with it, each with one writer: READY rises when the
// device has finished a frame, RELEASE when the renderer has read one. The renderer takes a frame
// only when READY has passed it, so what a submission waits for has always happened already, and a
// slow, stalled or lost generator never holds up a frame of the window.
#pragma once

#include "interop/ring/frame_ring.hpp"
#include "interop/ring/shared_writer.hpp"

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

namespace tessera {

class SharedRing final : public FrameRing {
  public:
    // The device outlives the ring; whoever submits waits for the device before the ring goes.
    [[nodiscard]] static Result<std::unique_ptr<SharedRing>> create(const VulkanDevice &device);
    ~SharedRing() override;

    [[nodiscard]] SharedLink link() const { return {&device_, &ready_, &released_}; }
    // [producer] Frames are written by this from now on, and there is none yet. Memory comes with
    // the first frame.
    void connect(std::unique_ptr<SharedWriter> writer);
    // [producer] Waits for what is enqueued and lets the writer go. Frames that are being written
    // are abandoned, those that never became complete are forgotten, complete ones stay.
    void disconnect();

    // Larger frames come in new memory, and the old goes when the last slot has left it.
    Result<tessera_tensor> acquire(std::uint32_t width, std::uint32_t height) override;

    [[nodiscard]] std::optional<RingFrame> take_newest() override;
    [[nodiscard]] VkSemaphore release_timeline() const override { return released_.get(); }

  private:
    // kRingSlots slots of one size.
    struct Store {
        explicit Store(SharedBuffer shared) : buffer(std::move(shared)) {}
        SharedBuffer buffer;
        std::unique_ptr<SharedMapping> mapping; // after the buffer: goes before it
        VkDeviceSize slot_bytes = 0;
    };
    struct Slot {
        std::shared_ptr<Store> store; // what its frame lies in
        FramePlace place;
    };
    SharedRing(const VulkanDevice &device, SharedTimeline ready, SharedTimeline released)
        : FrameRing(device, "shared ring"), ready_(std::move(ready)),
          released_(std::move(released)) {}
    Result<tessera_tensor> begin(std::uint32_t slot, std::uint32_t width, std::uint32_t height,
                                 Place &place) override;
    Result<void> finish(std::uint32_t slot, std::uint64_t sequence) override;
    [[nodiscard]] std::uint64_t complete_upto() const override { return ready_value_; }
    Result<void> make_room(VkDeviceSize size_bytes);
    void leave(std::shared_ptr<Store> &store);

    // The timelines' values as the renderer saw them last: the producer asks no driver.
    std::atomic<std::uint64_t> ready_value_{0};
    std::atomic<std::uint64_t> released_value_{0};
    SharedTimeline ready_;
    SharedTimeline released_;
    std::mutex writer_mutex_;              // the producer holds it while the writer changes
    std::unique_ptr<SharedWriter> writer_; // the producer's, and so is store_
    std::shared_ptr<Store> store_;         // for new frames
    std::array<Slot, kRingSlots> slots_;   // goes before the writer
};

} // namespace tessera
