#include "interop/ring/staging_ring.hpp"

namespace tessera {

Result<std::unique_ptr<StagingRing>> StagingRing::create(const VulkanDevice &device) {
    auto ring = std::unique_ptr<StagingRing>(new StagingRing(device));
    auto release = device.make_timeline(0);
    if (!release) return release.error();
    ring->release_ = std::move(*release);
    device.name(VK_OBJECT_TYPE_SEMAPHORE, ring->release_.get(), "staging ring: released");
    return ring;
}

Result<tessera_tensor> StagingRing::begin(std::uint32_t slot, std::uint32_t width,
                                          std::uint32_t height, Place &place) {
    MappedBuffer &buffer = buffers_[slot];
    const VkDeviceSize size_bytes = VkDeviceSize{width} * height * 4;
    if (buffer.bytes.size() < size_bytes) {
        auto larger =
            make_mapped_buffer(device_, size_bytes, VK_BUFFER_USAGE_TRANSFER_SRC_BIT, true);
        if (!larger) return larger.error();
        buffer = std::move(*larger);
        device_.name(VK_OBJECT_TYPE_BUFFER, buffer.buffer.get(),
                     fmt::format("staging ring: slot {}", slot));
    }
    place.pixels = buffer.buffer.get();
    return frame_tensor(buffer.bytes.data(), TESSERA_MEMORY_HOST, width, height);
}

std::optional<RingFrame> StagingRing::take_newest() {
    // When the device is lost there is nothing to release either; the next submission reports it.
    const auto released = device_.timeline_value(release_.get());
    return take(released ? *released : 0, SlotTable::kEverything);
}

} // namespace tessera
