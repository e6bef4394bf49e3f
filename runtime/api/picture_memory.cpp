#include "api/picture_memory.hpp"

#include "core/log.hpp"
#include "vulkan/commands.hpp"
#include "vulkan/device.hpp"
#include "vulkan/memory.hpp"
#include "vulkan/requirements.hpp"
#include "vulkan/shared_buffer.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <list>
#include <mutex>
#include <optional>
#include <utility>

namespace tessera::api {
namespace {

constexpr VkBufferUsageFlags kUsage = VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT |
                                      VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                      VK_BUFFER_USAGE_TRANSFER_DST_BIT;
constexpr std::size_t kMostFree = 4;

struct ReleaseCuda {
    void operator()(const tessera_cuda_memory *memory) const { memory->release(memory); }
};

// One buffer: of the compute on the queue, or shared with CUDA.
struct Held {
    DeviceBuffer own;
    std::optional<SharedBuffer> shared;
    std::unique_ptr<const tessera_cuda_memory, ReleaseCuda> cuda; // goes before the buffer
    std::uint64_t size_bytes = 0;

    [[nodiscard]] VkBuffer buffer() const { return shared ? shared->get() : own.buffer.get(); }
};
using Buffers = std::list<Held>; // one goes from list to list without memory

class VulkanMemory final : public PictureMemory, public std::enable_shared_from_this<VulkanMemory> {
  public:
    explicit VulkanMemory(const ProgramVulkan &program) : program_(program) {}
    Result<void> open_queue() override;
    [[nodiscard]] const tessera_vulkan_device *for_compute() const override {
        return has_queue_ ? &program_.device : nullptr;
    }
    Result<std::shared_ptr<const PicturePlace>> take(std::uint64_t size_bytes) override;
    Result<std::shared_ptr<const PicturePlace>> take_shared(std::uint64_t size_bytes,
                                                            const tessera_ext_cuda &cuda) override;
    [[nodiscard]] std::uint64_t bytes() const override { return bytes_; }
    [[nodiscard]] bool is_idle() const override { return places_ == 0; }
    void trim() override;

    Result<void> read(const Held &held, std::span<std::byte> to);
    void give_back(Buffers one);

  private:
    Result<std::unique_ptr<VulkanInstance>> adopt_instance() const;
    Result<void> open_device();
    Result<void> check_cuda(const tessera_ext_cuda &cuda);
    [[nodiscard]] static Buffers take_free(Buffers &from, std::uint64_t size_bytes);
    [[nodiscard]] Buffers take_surplus(Buffers &from, std::size_t most);
    [[nodiscard]] std::shared_ptr<const PicturePlace> place(Buffers one);

    const ProgramVulkan program_;
    bool has_queue_ = false;
    std::array<std::uint32_t, 2> families_{}; // that reads, that computes; maybe the same
    std::atomic<std::uint64_t> bytes_{0};
    std::atomic<int> places_{0}; // that somebody holds
    std::mutex mutex_;           // for all below
    std::unique_ptr<VulkanInstance> instance_;
    std::unique_ptr<VulkanDevice> device_;
    Buffers free_, free_shared_;
    Commands commands_;
    MappedBuffer staging_;
    VulkanHandle<VkSemaphore> done_;
    std::uint64_t reads_ = 0;
};

class VulkanPlace final : public PicturePlace {
  public:
    VulkanPlace(std::shared_ptr<VulkanMemory> memory, Buffers one)
        : memory_(std::move(memory)), one_(std::move(one)) {}
    ~VulkanPlace() override { memory_->give_back(std::move(one_)); }
    [[nodiscard]] const PictureMemory &memory() const override { return *memory_; }
    [[nodiscard]] std::uint64_t buffer() const override {
        return reinterpret_cast<std::uint64_t>(held().buffer());
    }
    [[nodiscard]] std::uint64_t size_bytes() const override { return held().size_bytes; }
    [[nodiscard]] void *cuda_data() const override {
        return held().cuda != nullptr ? held().cuda->data : nullptr;
    }
    Result<void> read(std::span<std::byte> to) const override { return memory_->read(held(), to); }

  private:
    [[nodiscard]] const Held &held() const { return one_.front(); }

    std::shared_ptr<VulkanMemory> memory_;
    Buffers one_;
};

// ---- the device ---------------------------------------------------------------------------------

Result<std::unique_ptr<VulkanInstance>> VulkanMemory::adopt_instance() const {
    return VulkanInstance::adopt(static_cast<VkInstance>(program_.device.instance),
                                 reinterpret_cast<PFN_vkGetInstanceProcAddr>(program_.get_proc));
}

Result<void> VulkanMemory::open_queue() {
    const tessera_vulkan_device &given = program_.device;
    auto instance = adopt_instance();
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
    families_ = {program_.reader, given.queue_family};
    instance_ = std::move(*instance);
    device_ = std::move(*device);
    commands_ = std::move(*commands);
    done_ = std::move(*done);
    has_queue_ = true;
    return {};
}

// For memory alone, when somebody wants some.
Result<void> VulkanMemory::open_device() {
    if (device_ != nullptr) return {};
    auto instance = adopt_instance();
    if (!instance) return instance.error();
    auto device = VulkanDevice::adopt_for_memory(
        **instance, static_cast<VkPhysicalDevice>(program_.device.physical_device),
        static_cast<VkDevice>(program_.device.device));
    if (!device) return device.error();
    instance_ = std::move(*instance);
    device_ = std::move(*device);
    return {};
}

// ---- places -------------------------------------------------------------------------------------

std::shared_ptr<const PicturePlace> VulkanMemory::place(Buffers one) {
    auto made = std::make_shared<VulkanPlace>(shared_from_this(), std::move(one));
    ++places_;
    return made;
}

Buffers VulkanMemory::take_free(Buffers &from, std::uint64_t size_bytes) {
    Buffers one;
    const auto fits = std::find_if(from.begin(), from.end(),
                                   [&](const Held &held) { return held.size_bytes == size_bytes; });
    if (fits != from.end()) one.splice(one.end(), from, fits);
    return one;
}

// The oldest ones, to be destroyed without the mutex.
Buffers VulkanMemory::take_surplus(Buffers &from, std::size_t most) {
    Buffers surplus;
    while (from.size() > most) {
        bytes_ -= from.front().size_bytes;
        surplus.splice(surplus.end(), from, from.begin());
    }
    return surplus;
}

Result<std::shared_ptr<const PicturePlace>> VulkanMemory::take(std::uint64_t size_bytes) {
    const std::lock_guard lock(mutex_);
    if (Buffers one = take_free(free_, size_bytes); !one.empty()) return place(std::move(one));
    auto made = make_device_buffer(*device_, size_bytes, kUsage, families_);
    if (!made) return made.error();
    Buffers one(1);
    one.front().own = std::move(*made);
    one.front().size_bytes = size_bytes;
    bytes_ += size_bytes;
    device_->name(VK_OBJECT_TYPE_BUFFER, one.front().buffer(), "tessera: picture");
    return place(std::move(one));
}

Result<void> VulkanMemory::check_cuda(const tessera_ext_cuda &cuda) {
    if (cuda.struct_size < sizeof cuda)
        return make_error(Status::kUnsupported, "the CUDA backend is of an older version");
    if (auto opened = open_device(); !opened) return opened;
    DeviceUuid uuid{};
    std::copy(std::begin(cuda.uuid), std::end(cuda.uuid), uuid.begin());
    if (uuid == device_->uuid()) return {};
    return make_error(Status::kUnsupported,
                      "CUDA computes on device {}, the program draws on {} ({})", uuid_text(uuid),
                      uuid_text(device_->uuid()), device_->properties().deviceName);
}

Result<std::shared_ptr<const PicturePlace>>
VulkanMemory::take_shared(std::uint64_t size_bytes, const tessera_ext_cuda &cuda) {
    Buffers surplus; // here, since CUDA waits for its device before it lets memory go
    const std::lock_guard lock(mutex_);
    if (auto checked = check_cuda(cuda); !checked) return checked.error();
    Buffers one = take_free(free_shared_, size_bytes);
    surplus = take_surplus(free_shared_, kMostFree);
    if (!one.empty()) return place(std::move(one));
    auto made = SharedBuffer::create(*device_, size_bytes);
    if (!made) return made.error();
    const auto fd = made->export_memory();
    if (!fd) return fd.error();
    one.emplace_back();
    (void)log::take_last_error();
    const tessera_cuda_memory *memory = nullptr;
    const tessera_status imported = cuda.import_memory(
        &cuda, fd->get(), made->size().allocation_bytes, made->size().bytes, &memory);
    if (imported != TESSERA_OK) {
        return make_error(static_cast<Status>(imported),
                          "CUDA does not take memory of the program's Vulkan device: {}",
                          log::take_last_error());
    }
    one.front().cuda.reset(memory);
    one.front().shared = std::move(*made);
    one.front().size_bytes = size_bytes;
    bytes_ += size_bytes;
    return place(std::move(one));
}

void VulkanMemory::give_back(Buffers one) {
    Buffers surplus;
    {
        const std::lock_guard lock(mutex_);
        Buffers &to = one.front().shared ? free_shared_ : free_;
        to.splice(to.end(), one);
        surplus = take_surplus(free_, kMostFree);
    }
    --places_;
}

void VulkanMemory::trim() {
    Buffers all, shared;
    const std::lock_guard lock(mutex_);
    all = take_surplus(free_, 0);
    shared = take_surplus(free_shared_, 0);
}

// ---- reading ------------------------------------------------------------------------------------

// By CUDA, or in a submission of its own, one reader at a time.
Result<void> VulkanMemory::read(const Held &held, std::span<std::byte> to) {
    if (held.cuda != nullptr) {
        (void)log::take_last_error();
        const tessera_status done = held.cuda->read(held.cuda.get(), to.data(), to.size());
        if (done == TESSERA_OK) return {};
        return make_error(static_cast<Status>(done), "reading a picture by CUDA: {}",
                          log::take_last_error());
    }
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
    device_->table().vkCmdCopyBuffer(*commands, held.buffer(), staging_.buffer.get(), 1, &copy);
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

std::shared_ptr<PictureMemory> make_picture_memory(const ProgramVulkan &program) {
    return std::make_shared<VulkanMemory>(program);
}

} // namespace tessera::api
