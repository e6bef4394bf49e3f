// Commands on their way to the device, in one order: tapes that are recorded, and submissions of
// several tapes at once.
#pragma once

#include "compute/vulkan/units.hpp"
#include "core/result.hpp"
#include "vulkan/commands.hpp"
#include "vulkan/device.hpp"
#include "vulkan/memory.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

namespace tessera::vulkan {

// Recorded commands, with the host's memory that they read: parameters, indices, uploads.
class Tape {
  public:
    // Where a part of that memory is.
    struct Part {
        std::byte *host;
        VkDeviceAddress address;
        VkBuffer buffer;
        VkDeviceSize offset;
    };

    // `many`: for more than one submission.
    [[nodiscard]] static Result<std::unique_ptr<Tape>> create(const VulkanDevice &device,
                                                              bool many);
    [[nodiscard]] Result<> begin(); // forgets what was there
    [[nodiscard]] Result<> end();
    [[nodiscard]] VkCommandBuffer commands() const { return commands_.get(); }
    [[nodiscard]] Result<Part> take(std::size_t size_bytes);

    // What is recorded next sees the results of all before it, on this tape or an earlier one.
    void order();

    std::uint64_t work = 0; // multiply-adds, roughly

  private:
    struct Block {
        MappedBuffer memory;
        VkDeviceAddress address = 0;
    };
    explicit Tape(const VulkanDevice &device) : device_(&device) {}

    const VulkanDevice *device_;
    bool many_ = false;
    Commands commands_;
    std::vector<Block> blocks_; // the last one is being filled
    std::size_t used_ = 0;
};

// What was recorded, to be played again.
struct Recording {
    std::vector<std::unique_ptr<Tape>> tapes; // a unit of work each
    bool reads_indices = false;               // of the device: the host looks at what they found
};

class Stream {
  public:
    // `draws`: frames go to the same queue, behind what was submitted. So there is never more than
    // one submission under way.
    [[nodiscard]] static Result<std::unique_ptr<Stream>> create(VulkanDevice &device,
                                                                std::uint32_t unit_us, bool draws);
    ~Stream();

    // The tape that operations are recorded on.
    [[nodiscard]] Result<Tape *> tape();
    // A tape of the caller's, next in the order. It is whole, and stays until it has run.
    [[nodiscard]] Result<> play(const Tape &tape);
    // All so far in one submission; nothing when there is none.
    [[nodiscard]] Result<> submit() { return submit(nullptr); }
    [[nodiscard]] Result<> wait(); // submits
    // The next submission runs after the timeline has the value.
    void wait_before(VkSemaphore timeline, std::uint64_t value);
    // Submits; the timeline gets the value when all so far is done.
    [[nodiscard]] Result<> signal_after(VkSemaphore timeline, std::uint64_t value);
    // Asks the driver, so that a lost device is noticed where nothing else is asked of it.
    void look() const { (void)device_.timeline_value(timeline_.get()); }
    // What is recorded from hold() to let_go() also reads the memory of tapes submitted meanwhile.
    void hold() { held_ = true; }
    void let_go();
    // Kept until what has been recorded so far is done.
    void retire(DeviceBuffer buffer) { retired_.push_back({next(), std::move(buffer), {}}); }
    void retire(Recording recording) { retired_.push_back({next(), {}, std::move(recording)}); }

    [[nodiscard]] const std::uint64_t &submissions() const { return submitted_; }
    [[nodiscard]] std::uint64_t unit_work() const { return units_.work(); }
    // What is to be submitted is a unit.
    [[nodiscard]] bool is_full() const {
        return work_ + (open_ ? open_->work : 0) >= units_.work();
    }

  private:
    struct Retired {
        std::uint64_t until;
        DeviceBuffer buffer;
        Recording recording;
    };
    struct Flying {
        std::uint64_t until;
        std::unique_ptr<Tape> tape;
    };
    explicit Stream(VulkanDevice &device) : device_(device) {}
    [[nodiscard]] std::uint64_t next() const { return submitted_ + 1; }
    [[nodiscard]] Result<> close();
    [[nodiscard]] Result<> submit(const VkSemaphoreSubmitInfo *signal);
    [[nodiscard]] Result<> wait_for_submitted();
    void collect(std::uint64_t done);

    VulkanDevice &device_;
    bool draws_ = false;
    Units units_;
    VulkanHandle<VkSemaphore> timeline_; // counts submissions
    std::uint64_t submitted_ = 0;
    std::unique_ptr<Tape> open_;
    std::vector<VkCommandBuffer> pending_; // of the next submission
    std::uint64_t work_ = 0;               // in them
    std::vector<VkSemaphoreSubmitInfo> waits_;
    bool held_ = false;
    std::deque<Flying> flying_; // our own tapes, pending or under way
    std::vector<std::unique_ptr<Tape>> free_;
    std::deque<Retired> retired_;
};

} // namespace tessera::vulkan
