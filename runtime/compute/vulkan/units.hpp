// How much work is submitted together: multiply-adds of about a millisecond, so that a frame of the
// same device waits no longer. At first by what the kind of device is expected to do, then by what
// submissions took: timestamps round some of them.
#pragma once

#include "core/result.hpp"
#include "vulkan/commands.hpp"
#include "vulkan/device.hpp"

#include <array>
#include <cstdint>

namespace tessera::vulkan {

class Units {
  public:
    // `unit_us`: how long one shall take; 0: a millisecond by a GPU, and in software, where
    // processors are shared by other means, what is expected of it.
    [[nodiscard]] static Result<Units> create(const VulkanDevice &device, std::uint32_t unit_us);

    [[nodiscard]] std::uint64_t work() const { return work_; }
    // What goes before and after the commands of a submission that is measured; null: it is not.
    struct Stamps {
        VkCommandBuffer before = VK_NULL_HANDLE, after = VK_NULL_HANDLE;
    };
    [[nodiscard]] Stamps measure(std::uint64_t submission, std::uint64_t work);
    // Learns from those up to `done`.
    void collect(std::uint64_t done);

  private:
    // Two of the queries: those of a submission under way, or free.
    struct Slot {
        Commands before, after;
        std::uint64_t submission = 0; // 0: free
        std::uint64_t work = 0;
    };
    Result<> make_slots();
    void learn(std::uint64_t work, double took_ns);

    const VulkanDevice *device_ = nullptr;
    double unit_ns_ = 0;
    double tick_ns_ = 0;
    std::uint64_t ticks_ = 0; // a timestamp's bits
    std::uint64_t expected_ = 0, work_ = 0;
    VulkanHandle<VkQueryPool> queries_; // null: nothing is measured
    std::array<Slot, 4> slots_;
};

} // namespace tessera::vulkan
