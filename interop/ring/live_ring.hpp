// What a player writes its frames to: chooses, for the device that computes, the ring that carries
// them. The view's own memory when the compute is on the view's VkDevice or is CUDA on the same
// device, else staging, into which the CPU writes and other devices download. Says in one line
// which, and why.
#pragma once

#include "interop/ring/shared_ring.hpp"
#include "interop/ring/staging_ring.hpp"

#include <atomic>
#include <functional>
#include <memory>

namespace tessera {

// A writer for the compute, or why its frames cannot be shared.
using MakeWriter = std::function<Result<std::unique_ptr<SharedWriter>>(const tessera_compute &,
                                                                       const SharedLink &)>;
// By the extensions tessera.vulkan/1 and tessera.cuda/1.
[[nodiscard]] Result<std::unique_ptr<SharedWriter>> make_writer_for(const tessera_compute &compute,
                                                                    const SharedLink &link);

class LiveRing final : public FrameTarget {
  public:
    // The device outlives the ring; whoever submits waits for the device before the ring goes.
    [[nodiscard]] static Result<std::unique_ptr<LiveRing>>
    create(const VulkanDevice &device, MakeWriter make_writer = make_writer_for);

    // The view's; as long as that lives, whoever holds this.
    [[nodiscard]] std::shared_ptr<const tessera_vulkan_device> vulkan_device() override;
    void use_device(const tessera_compute *compute) override;
    Result<tessera_tensor> acquire(std::uint32_t width, std::uint32_t height) override {
        return target_->acquire(width, height);
    }
    Result<void> publish(const tessera_tensor &frame, const FrameInfo &info) override {
        return target_->publish(frame, info);
    }
    void abandon(const tessera_tensor &frame) override { target_->abandon(frame); }

    // [consumer] Where the frames of the last device come out; stays when that has gone.
    [[nodiscard]] FrameRing &current() { return *current_; }
    [[nodiscard]] bool is_shared() const { return current_ == shared_.get() && shared_; }

  private:
    explicit LiveRing(const VulkanDevice &device, MakeWriter make_writer)
        : device_(device), make_writer_(std::move(make_writer)) {}
    Result<void> share(const tessera_compute &compute);

    const VulkanDevice &device_;
    MakeWriter make_writer_;
    std::unique_ptr<StagingRing> staging_;
    std::unique_ptr<SharedRing> shared_; // made when it is wanted first
    FrameRing *target_ = nullptr;        // the producer's
    std::atomic<FrameRing *> current_{nullptr};
};

} // namespace tessera
