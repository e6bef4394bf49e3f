// The ring that carries frames from a generator to a view. The producer's half is FrameTarget, the
// consumer's is here, and between them lie slots that a SlotTable gives out. Variants differ in who
// writes the memory: staging_ring.hpp (the CPU) and shared_ring.hpp (another device).
// A ring does not draw and does not submit.
#pragma once

#include "core/frame_target.hpp"
#include "interop/ring/slot_table.hpp"
#include "vulkan/device.hpp"

#include <array>
#include <cstdint>
#include <optional>

namespace tessera {

// Render submissions that may be under way at once; a ring has two slots more: one is written, one
// is ready or free. Each submission may read a frame of its own, so with fewer the producer could
// find none, or only the one that is about to be shown.
inline constexpr std::uint32_t kFramesInFlight = 2;
inline constexpr std::uint32_t kRingSlots = kFramesInFlight + 2;

// A frame that the consumer holds. The submission that copies it waits for `ready_value` on `ready`
// when that is set, which has been reached already, and signals `release_value` on the ring's
// release timeline; both at the copy stage. Its commands have record_frame_taken before the copy
// and record_frame_given_back after it.
struct RingFrame {
    std::uint32_t slot = 0;
    std::uint64_t release_value = 0;
    VkBuffer pixels = VK_NULL_HANDLE; // RGBA8, tight rows
    VkDeviceSize offset_bytes = 0;    // of the frame in it
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    FrameInfo info;
    VkSemaphore ready = VK_NULL_HANDLE; // a device wrote the frame; null: the host did
    std::uint64_t ready_value = 0;
    bool is_foreign = false; // another device than the one that renders

    [[nodiscard]] bool is_shared() const { return ready != VK_NULL_HANDLE; }
    [[nodiscard]] VkDeviceSize size_bytes() const { return VkDeviceSize{width} * height * 4; }
};

class FrameRing : public FrameTarget {
  public:
    FrameRing(const FrameRing &) = delete;
    FrameRing &operator=(const FrameRing &) = delete;

    // Frames may change size at any time.
    Result<tessera_tensor> acquire(std::uint32_t width, std::uint32_t height) override;
    Result<void> publish(const tessera_tensor &frame, const FrameInfo &info) final;
    void abandon(const tessera_tensor &frame) final;

    // ---- on the thread that renders; none of these waits ----------------------------------------

    // The newest complete frame since the last call, if there is one.
    [[nodiscard]] virtual std::optional<RingFrame> take_newest() = 0;
    // Something was published that was not taken; a frame of another device may not be complete.
    [[nodiscard]] bool has_frame() const { return table_.has_ready(); }
    // Instead of a submission: nothing will read the frame.
    void drop(const RingFrame &frame) { table_.drop(frame.slot); }
    [[nodiscard]] virtual VkSemaphore release_timeline() const = 0;

    [[nodiscard]] const SlotTable &slots() const { return table_; }

  protected:
    // Where the frame of a slot lies; the producer's while it writes.
    struct Place {
        const void *data = nullptr; // of the tensor that was given out
        VkBuffer pixels = VK_NULL_HANDLE;
        VkDeviceSize offset_bytes = 0;
        std::uint32_t width = 0;
        std::uint32_t height = 0;
        bool is_foreign = false;
        FrameInfo info;
    };

    // `name` is for messages. The device outlives the ring.
    FrameRing(const VulkanDevice &device, const char *name) : device_(device), name_(name) {}

    // [producer] Memory for a frame in a slot, and where: everything of `place` but `info`.
    virtual Result<tessera_tensor> begin(std::uint32_t slot, std::uint32_t width,
                                         std::uint32_t height, Place &place) = 0;
    // [producer] The frame in the slot is complete, or will be when the ring's timeline is at
    // `sequence`.
    virtual Result<void> finish(std::uint32_t, std::uint64_t /*sequence*/) { return {}; }
    // [producer] Up to which sequence frames are known to be complete.
    [[nodiscard]] virtual std::uint64_t complete_upto() const { return SlotTable::kEverything; }
    // [consumer] For take_newest, with both timelines as they are now.
    [[nodiscard]] std::optional<RingFrame> take(std::uint64_t released, std::uint64_t produced);

    const VulkanDevice &device_;
    SlotTable table_{kRingSlots};

  private:
    [[nodiscard]] Result<std::uint32_t> slot_of(const tessera_tensor &frame) const;

    const char *name_;
    std::array<Place, kRingSlots> places_;
};

// Round the copy of a frame: memory that another device writes changes hands. Nothing for frames
// that the host or the same device wrote.
void record_frame_taken(const VulkanDevice &device, VkCommandBuffer commands,
                        const RingFrame &frame);
void record_frame_given_back(const VulkanDevice &device, VkCommandBuffer commands,
                             const RingFrame &frame);

// A frame as a tensor.
[[nodiscard]] tessera_tensor frame_tensor(void *data, tessera_memory memory, std::uint32_t width,
                                          std::uint32_t height);

} // namespace tessera
