#include "api/picture_memory.hpp"

#include "vulkan/commands.hpp"
#include "vulkan/device.hpp"
#include "vulkan/memory.hpp"
#include "vulkan/requirements.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

namespace tessera::api {
namespace {

constexpr VkBufferUsageFlags kUsage = VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT |
                                      VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                      VK_BUFFER_USAGE_TRANSFER_DST_BIT;
constexpr std::size_t kMostFree = 4;

struct Held {
    DeviceBuffer memory;
    std::uint64_t size_bytes = 0;
};

class VulkanMemory final : public PictureMemory, public std::enable_shared_from_this<VulkanMemory> {
  public:
    Result<void> open(const tessera_vulkan_device &given, std::uint32_t reader);
    [[nodiscard]] const tessera_vulkan_device &device() const override { return given_; }
    Result<std::shared_ptr<const PicturePlace>> take(std::uint64_t size_bytes) override;
    Result<void> read(VkBuffer buffer, std::span<std::byte> to);
    void give_back(Held held);

  private:
    tessera_vulkan_device given_{};
    std::array<std::uint32_t, 2> families_{}; // that reads, that computes; maybe the same
    std::unique_ptr<VulkanInstance> instance_;
    std::unique_ptr<VulkanDevice> device_;
    std::mutex mutex_; // for all below
    std::vector<Held> free_;
    Commands commands_;
    MappedBuffer staging_;
    VulkanHandle<VkSemaphore> done_;
    std::uint64_t reads_ = 0;
};

class VulkanPlace final : public PicturePlace {
  public:
    VulkanPlace(std::shared_ptr<VulkanMemory> memory, Held held)
        : memory_(std::move(memory)), held_(std::move(held)) {}
    ~VulkanPlace() override { memory_->give_back(std::move(held_)); }
    [[nodiscard]] const PictureMemory &memory() const override { return *memory_; }
    [[nodiscard]] std::uint64_t buffer() const override {
        return reinterpret_cast<std::uint64_t>(held_.memory.buffer.get());
    }
    [[nodiscard]] std::uint64_t size_bytes() const override { return held_.size_bytes; }
    Result<void> read(std::span<std::byte> to) const override {
        return memory_->read(held_.memory.buffer.get(), to);
    }

  private:
    std::shared_ptr<VulkanMemory> memory_;
    Held held_;
};

Result<void> VulkanMemory::open(const tessera_vulkan_device &given, std::uint32_t reader) {
    auto instance = VulkanInstance::adopt(static_cast<VkInstance>(given.instance));
    if (!instance) return instance.error();
    auto *const physical = static_cast<VkPhysicalDevice>(given.physical_device);
    const auto has = vulkan_requirements(physical);
    if (!has) return has.error();
    if (const std::string missing = missing_for_compute(*has); !missing.empty())
        return make_error(Status::kUnsupported, "{}", missing);
    if (!can_compute(physical, given.queue_family)) {
        return make_error(Status::kInvalidArgument, "queue family {} does not compute",
                          given.queue_family);
    }
    GivenDevice use{.physical = physical,
                    .device = static_cast<VkDevice>(given.device),
                    .queue_family = given.queue_family,
                    .queue = static_cast<VkQueue>(given.queue)};
    if (given.lock_queue != nullptr) {
        use.lock_queue = [given] { given.lock_queue(given.queue_data); };
        use.unlock_queue = [given] { given.unlock_queue(given.queue_data); };
    }
    auto device = VulkanDevice::adopt(**instance, std::move(use));
    if (!device) return device.error();
    auto commands = Commands::create(**device, "tessera: reading a picture");
    if (!commands) return commands.error();
    auto done = (*device)->make_timeline(0);
    if (!done) return done.error();
    given_ = given;
    families_ = {reader, given.queue_family};
    instance_ = std::move(*instance);
    device_ = std::move(*device);
    commands_ = std::move(*commands);
    done_ = std::move(*done);
    return {};
}

Result<std::shared_ptr<const PicturePlace>> VulkanMemory::take(std::uint64_t size_bytes) {
    Held held;
    {
        const std::lock_guard lock(mutex_);
        const auto fits = std::find_if(free_.begin(), free_.end(), [&](const Held &one) {
            return one.size_bytes == size_bytes;
        });
        if (fits != free_.end()) {
            held = std::move(*fits);
            free_.erase(fits);
        }
    }
    if (held.size_bytes == 0) {
        auto made = make_device_buffer(*device_, size_bytes, kUsage, families_);
        if (!made) return made.error();
        held = {std::move(*made), size_bytes};
        device_->name(VK_OBJECT_TYPE_BUFFER, held.memory.buffer.get(), "tessera: picture");
    }
    return std::shared_ptr<const PicturePlace>(
        std::make_shared<VulkanPlace>(shared_from_this(), std::move(held)));
}

void VulkanMemory::give_back(Held held) {
    const std::lock_guard lock(mutex_);
    if (free_.size() >= kMostFree) free_.erase(free_.begin());
    free_.push_back(std::move(held));
}

// In a submission of its own; one reader at a time.
Result<void> VulkanMemory::read(VkBuffer buffer, std::span<std::byte> to) {
    const std::lock_guard lock(mutex_);
    if (staging_.bytes.size() < to.size()) {
        auto made = make_mapped_buffer(*device_, to.size(), VK_BUFFER_USAGE_TRANSFER_DST_BIT, true);
        if (!made) return made.error();
        staging_ = std::move(*made);
    }
    const auto commands = commands_.begin();
    if (!commands) return commands.error();
    record_barrier(*device_, *commands,
                   MemoryBarrier{VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, VK_ACCESS_2_MEMORY_WRITE_BIT,
                                 VK_PIPELINE_STAGE_2_COPY_BIT, VK_ACCESS_2_TRANSFER_READ_BIT});
    const VkBufferCopy copy{0, 0, to.size()};
    device_->table().vkCmdCopyBuffer(*commands, buffer, staging_.buffer.get(), 1, &copy);
    record_barrier(*device_, *commands, kCopyToHost);
    if (auto ended = commands_.end(); !ended) return ended;
    const std::array done{
        semaphore_at(done_.get(), reads_ + 1, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT)};
    if (auto sent = device_->submit(*commands, {}, done); !sent) return sent;
    constexpr std::uint64_t kTimeoutNs = 10'000'000'000; // a device that is this late is gone
    const auto reached = device_->wait_for(done_.get(), ++reads_, kTimeoutNs);
    if (!reached) return reached.error();
    if (!*reached) return make_error(Status::kFailed, "the Vulkan device did not copy in 10 s");
    std::memcpy(to.data(), staging_.bytes.data(), to.size());
    return {};
}

} // namespace

Result<std::shared_ptr<PictureMemory>> make_picture_memory(const tessera_vulkan_device &device,
                                                           std::uint32_t family_that_reads) {
    auto memory = std::make_shared<VulkanMemory>();
    if (auto opened = memory->open(device, family_that_reads); !opened) return opened.error();
    return std::shared_ptr<PictureMemory>(std::move(memory));
}

} // namespace tessera::api
