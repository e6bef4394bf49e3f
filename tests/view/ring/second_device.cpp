#include "tests/view/ring/second_device.hpp"

#include "interop/ring/frame_ring.hpp"
#include "vulkan/debug_label.hpp"
#include "vulkan/result.hpp"

#include <array>
#include <utility>

namespace tessera {
namespace {

Result<void> signal(const VulkanDevice &device, VkSemaphore timeline, std::uint64_t value) {
    VkSemaphoreSignalInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO};
    info.semaphore = timeline;
    info.value = value;
    return vulkan_check(device.table().vkSignalSemaphore(device.get(), &info),
                        "vkSignalSemaphore (second device)");
}

Result<void> make_named(const VulkanDevice &device, VulkanHandle<VkSemaphore> &timeline,
                        const char *name, std::uint64_t initial) {
    auto made = device.make_timeline(initial);
    if (!made) return made.error();
    timeline = std::move(*made);
    device.name(VK_OBJECT_TYPE_SEMAPHORE, timeline.get(), name);
    return {};
}

} // namespace

class SecondDevice::Mapping final : public SharedMapping {
  public:
    Mapping(SecondDevice &writer, ImportedBuffer buffer)
        : writer_(writer), buffer_(std::move(buffer)) {}

    Result<tessera_tensor> begin(const FramePlace &place, std::uint64_t released) override {
        if (released > writer_.released_value_) { // the bridge of this direction
            auto signalled = signal(*writer_.device_, writer_.released_.get(), released);
            if (!signalled) return signalled.error();
            writer_.released_value_ = released;
        }
        auto upload = writer_.upload_for(place);
        if (!upload) return upload.error();
        return frame_tensor((*upload)->staging.bytes.data(), TESSERA_MEMORY_HOST, place.width,
                            place.height);
    }
    Result<void> finish(const FramePlace &place, std::uint64_t ready) override {
        auto upload = writer_.upload_for(place); // the one that was begun
        if (!upload) return upload.error();
        auto recorded = writer_.record(**upload, buffer_.buffer.get(), place);
        if (!recorded) return recorded;
        (*upload)->value = ready;
        (*upload)->released = writer_.released_value_;
        (*upload)->slot.reset();
        if (!writer_.stalled_) return writer_.submit(**upload);
        writer_.held_.push_back(*upload);
        return {};
    }

  private:
    SecondDevice &writer_;
    ImportedBuffer buffer_;
};

Result<std::unique_ptr<SecondDevice>> SecondDevice::create(const SharedLink &link) {
    if (auto can = SharedBuffer::can_export(*link.device); !can) return can.error();
    auto writer = std::unique_ptr<SecondDevice>(new SecondDevice(link));
    const auto instance = VulkanInstance::adopt(link.device->instance());
    if (!instance) return instance.error();
    auto device = VulkanDevice::create(**instance, {.uuid = link.device->uuid()});
    if (!device) return device.error();
    writer->device_ = std::move(*device);
    const auto produced = link.ready->value();
    if (!produced) return produced.error();
    writer->carried_ = *produced;
    const VulkanDevice &own = *writer->device_;
    if (auto made = make_named(own, writer->ready_, "second device: ready", *produced); !made)
        return made.error();
    if (auto made = make_named(own, writer->released_, "second device: released", 0); !made)
        return made.error();
    return writer;
}

SecondDevice::~SecondDevice() {
    static_cast<void>(go_on());
    if (device_) static_cast<void>(device_->wait_idle());
}

void SecondDevice::carry() {
    const std::lock_guard lock(carry_mutex_);
    Result<std::uint64_t> value = 0;
    {
        const auto queue = device_->lock_queue(); // or the layers lose track of the value
        value = device_->timeline_value(ready_.get());
    }
    if (!value || *value == carried_) return;
    if (!lost_) static_cast<void>(link_.ready->signal(*value));
    carried_ = *value;
}

Result<std::unique_ptr<SharedMapping>> SecondDevice::map(const SharedBuffer &buffer) {
    auto fd = buffer.export_memory();
    if (!fd) return fd.error();
    auto imported = import_buffer(*device_, std::move(*fd), buffer.size());
    if (!imported) return imported.error();
    return std::unique_ptr<SharedMapping>(std::make_unique<Mapping>(*this, std::move(*imported)));
}

Result<void> SecondDevice::synchronize() {
    if (auto idle = device_->wait_idle(); !idle) return idle;
    carry();
    return {};
}

Result<void> SecondDevice::go_on() {
    stalled_ = false;
    for (const Upload *upload : std::exchange(held_, {})) {
        if (auto submitted = submit(*upload); !submitted) return submitted;
    }
    return {};
}

Result<SecondDevice::Upload *> SecondDevice::upload_for(const FramePlace &place) {
    Upload *chosen = nullptr;
    for (const auto &upload : uploads_) {
        if (upload->slot == place.slot) chosen = upload.get();
    }
    for (const auto &upload : uploads_) {
        if (chosen == nullptr && !upload->slot && upload->value <= carried_) chosen = upload.get();
    }
    if (chosen == nullptr) {
        chosen = uploads_.emplace_back(std::make_unique<Upload>()).get();
        auto commands = Commands::create(*device_, "second device");
        if (!commands) return commands.error();
        chosen->commands = std::move(*commands);
    }
    chosen->slot = place.slot;
    const VkDeviceSize size_bytes = VkDeviceSize{place.width} * place.height * 4;
    if (chosen->staging.bytes.size() < size_bytes) {
        auto staging =
            make_mapped_buffer(*device_, size_bytes, VK_BUFFER_USAGE_TRANSFER_SRC_BIT, true);
        if (!staging) return staging.error();
        chosen->staging = std::move(*staging);
        device_->name(VK_OBJECT_TYPE_BUFFER, chosen->staging.buffer.get(), "second device: frame");
    }
    return chosen;
}

// The old contents are not wanted, so the range need not be acquired from the other device before.
Result<void> SecondDevice::record(Upload &upload, VkBuffer shared, const FramePlace &place) const {
    const auto commands = upload.commands.begin();
    if (!commands) return commands.error();
    constexpr VkPipelineStageFlags2 kCopy = VK_PIPELINE_STAGE_2_COPY_BIT;
    constexpr VkAccessFlags2 kWrite = VK_ACCESS_2_TRANSFER_WRITE_BIT;
    {
        const DebugLabel label(*device_, *commands, "second device: frame");
        // After an older frame in this place, which nobody has taken.
        record_barrier(*device_, *commands, MemoryBarrier{kCopy, kWrite, kCopy, kWrite});
        const VkBufferCopy copy{0, place.offset_bytes,
                                VkDeviceSize{place.width} * place.height * 4};
        device_->table().vkCmdCopyBuffer(*commands, upload.staging.buffer.get(), shared, 1, &copy);
        VkBufferMemoryBarrier2 given{VK_STRUCTURE_TYPE_BUFFER_MEMORY_BARRIER_2};
        given.srcStageMask = given.dstStageMask = kCopy;
        given.srcAccessMask = kWrite;
        given.srcQueueFamilyIndex = device_->queue_family();
        given.dstQueueFamilyIndex = VK_QUEUE_FAMILY_EXTERNAL;
        given.buffer = shared;
        given.offset = copy.dstOffset;
        given.size = copy.size;
        record_barrier(*device_, *commands, given);
    }
    return upload.commands.end();
}

Result<void> SecondDevice::submit(const Upload &upload) {
    constexpr VkPipelineStageFlags2 kCopy = VK_PIPELINE_STAGE_2_COPY_BIT;
    const std::array wait{semaphore_at(released_.get(), upload.released, kCopy)};
    const std::array done{semaphore_at(ready_.get(), upload.value, kCopy)};
    return device_->submit(upload.commands.get(), wait, done);
}

} // namespace tessera
