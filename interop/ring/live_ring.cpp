#include "interop/ring/live_ring.hpp"

#include "core/log.hpp"
#include "interop/cuda/cuda_writer.hpp"
#include "interop/vulkan/vulkan_writer.hpp"

#include <tessera/compute.h>

#include <algorithm>
#include <cstring>

namespace tessera {

Result<std::unique_ptr<SharedWriter>> make_writer_for(const tessera_compute &compute,
                                                      const SharedLink &link) {
    const void *extension = compute.get_extension(&compute, TESSERA_EXT_VULKAN);
    if (extension != nullptr) {
        return make_vulkan_writer(*static_cast<const tessera_ext_vulkan *>(extension), link);
    }
    extension = compute.get_extension(&compute, TESSERA_EXT_CUDA);
    if (extension == nullptr) {
        return make_error(Status::kUnsupported, "the {} backend computes in host memory",
                          compute.info->backend);
    }
    tessera_ext_cuda cuda{}; // growable
    std::uint32_t size = 0;
    std::memcpy(&size, extension, sizeof size);
    std::memcpy(&cuda, extension, std::min<std::size_t>(size, sizeof cuda));
    return make_cuda_writer(cuda, link);
}

Result<std::unique_ptr<LiveRing>> LiveRing::create(const VulkanDevice &device,
                                                   MakeWriter make_writer) {
    auto live = std::unique_ptr<LiveRing>(new LiveRing(device, std::move(make_writer)));
    auto staging = StagingRing::create(device);
    if (!staging) return staging.error();
    live->staging_ = std::move(*staging);
    live->current_ = live->target_ = live->staging_.get();
    return live;
}

Result<void> LiveRing::share(const tessera_compute &compute) {
    if (shared_ == nullptr) {
        auto shared = SharedRing::create(device_);
        if (!shared) return shared.error();
        shared_ = std::move(*shared);
    }
    auto writer = make_writer_(compute, shared_->link());
    if (!writer) return writer.error();
    log::info("frames", "in memory shared with {}: {}", (*writer)->description(),
              device_.properties().deviceName);
    shared_->connect(std::move(*writer));
    return {};
}

std::shared_ptr<const tessera_vulkan_device> LiveRing::vulkan_device() {
    return {std::shared_ptr<void>(), device_.for_compute()};
}

void LiveRing::use_device(const tessera_compute *compute) {
    if (shared_ != nullptr) shared_->disconnect();
    target_ = staging_.get();
    if (compute == nullptr) return;
    if (auto shares = share(*compute); shares) {
        target_ = shared_.get();
    } else {
        log::info("frames", "through host memory: {}", shares.error().message);
    }
    current_ = target_;
}

} // namespace tessera
