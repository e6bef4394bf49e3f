// The far end of a shared ring on a second Vulkan device: stands in for CUDA on machines without a
// GPU. Memory is really shared. Timelines are not, because software drivers cannot: the host
// carries their values from one device to the other. Frames are written in host memory and copied
// into the shared buffer by this device's queue, so that they are complete only some time after
// they were published.
#pragma once

#include "interop/ring/shared_writer.hpp"
#include "vulkan/commands.hpp"
#include "vulkan/memory.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace tessera {

class SecondDevice final : public SharedWriter {
  public:
    [[nodiscard]] static Result<std::unique_ptr<SecondDevice>> create(const SharedLink &link);
    ~SecondDevice() override;
    SecondDevice(const SecondDevice &) = delete;
    SecondDevice &operator=(const SecondDevice &) = delete;

    [[nodiscard]] std::string description() const override { return "second Vulkan device"; }
    Result<std::unique_ptr<SharedMapping>> map(const SharedBuffer &buffer) override;
    Result<void> synchronize() override;
    void carry() override;

    // What is enqueued from now on does not reach the device before go_on().
    void stall() { stalled_ = true; }
    Result<void> go_on();
    // From now on nothing of this device arrives at the ring, as if it were lost.
    void lose() { lost_ = true; }

    [[nodiscard]] VulkanDevice &device() { return *device_; }

  private:
    class Mapping;
    // What one copy needs while it is under way.
    struct Upload {
        MappedBuffer staging;
        Commands commands;
        std::uint64_t value = 0;           // of ready_ when it is done
        std::uint64_t released = 0;        // of released_, to wait for
        std::optional<std::uint32_t> slot; // begun for
    };
    explicit SecondDevice(const SharedLink &link) : link_(link) {}
    Result<Upload *> upload_for(const FramePlace &place);
    Result<void> record(Upload &upload, VkBuffer shared, const FramePlace &place) const;
    Result<void> submit(const Upload &upload);

    SharedLink link_;
    std::unique_ptr<VulkanDevice> device_;
    VulkanHandle<VkSemaphore> ready_; // this device's twins of the ring's timelines
    VulkanHandle<VkSemaphore> released_;
    std::uint64_t released_value_ = 0;
    std::vector<std::unique_ptr<Upload>> uploads_;
    std::vector<const Upload *> held_; // while stalled
    bool stalled_ = false;

    std::mutex carry_mutex_;
    std::atomic<std::uint64_t> carried_{0}; // of ready_
    std::atomic<bool> lost_{false};
};

} // namespace tessera
