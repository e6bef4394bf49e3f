#include "compute/vulkan/units.hpp"

#include "vulkan/result.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace tessera::vulkan {
namespace {

constexpr VkPipelineStageFlags2 kAll = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT;

// In a millisecond: 4 TFLOP/s of a discrete GPU, 0.5 of any other. In software some milliseconds.
std::uint64_t expected_work(VkPhysicalDeviceType type) {
    if (type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU) return std::uint64_t{1} << 31U;
    return std::uint64_t{1} << (type == VK_PHYSICAL_DEVICE_TYPE_CPU ? 24U : 28U);
}

// Of a timestamp; 0: the queue has none.
std::uint32_t timestamp_bits(const VulkanDevice &device) {
    std::uint32_t count = 0;
    vkGetPhysicalDeviceQueueFamilyProperties(device.physical(), &count, nullptr);
    std::vector<VkQueueFamilyProperties> families(count);
    vkGetPhysicalDeviceQueueFamilyProperties(device.physical(), &count, families.data());
    return families[device.queue_family()].timestampValidBits;
}

} // namespace

Result<Units> Units::create(const VulkanDevice &device, std::uint32_t unit_us) {
    const VkPhysicalDeviceType type = device.properties().deviceType;
    constexpr std::uint32_t kDefaultUs = 1000;
    Units units;
    units.device_ = &device;
    units.unit_ns_ = 1000.0 * (unit_us != 0 ? unit_us : kDefaultUs);
    units.expected_ = units.work_ = expected_work(type);
    units.tick_ns_ = static_cast<double>(device.properties().limits.timestampPeriod);
    const std::uint32_t bits = timestamp_bits(device);
    if (bits == 0 || (unit_us == 0 && type == VK_PHYSICAL_DEVICE_TYPE_CPU)) return units;
    units.ticks_ = ~std::uint64_t{0} >> (64 - bits);
    if (const auto made = units.make_slots(); !made) return made.error();
    return units;
}

Result<> Units::make_slots() {
    const VolkDeviceTable &vk = device_->table();
    VkQueryPoolCreateInfo info{VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO};
    info.queryType = VK_QUERY_TYPE_TIMESTAMP;
    info.queryCount = static_cast<std::uint32_t>(2 * slots_.size());
    VkQueryPool queries = VK_NULL_HANDLE;
    const VkResult result = vk.vkCreateQueryPool(device_->get(), &info, nullptr, &queries);
    if (result < 0) return vulkan_error(result, "vkCreateQueryPool");
    queries_ = device_->own(queries, vk.vkDestroyQueryPool);
    for (std::uint32_t i = 0; i < slots_.size(); ++i) {
        for (const bool is_first : {true, false}) {
            auto made = Commands::create(*device_, "timestamp");
            if (!made) return made.error();
            const auto begun = made->begin(0); // for many submissions, one at a time
            if (!begun) return begun.error();
            if (is_first) vk.vkCmdResetQueryPool(*begun, queries, 2 * i, 2);
            // All before it, of earlier submissions too, is done.
            vk.vkCmdWriteTimestamp2(*begun, kAll, queries, 2 * i + (is_first ? 0 : 1));
            if (const auto ended = made->end(); !ended) return ended.error();
            (is_first ? slots_[i].before : slots_[i].after) = std::move(*made);
        }
    }
    return {};
}

Units::Stamps Units::measure(std::uint64_t submission, std::uint64_t work) {
    if (!queries_) return {};
    const auto slot = std::find_if(slots_.begin(), slots_.end(),
                                   [](const Slot &one) { return one.submission == 0; });
    if (slot == slots_.end()) return {};
    slot->submission = submission;
    slot->work = work;
    return {slot->before.get(), slot->after.get()};
}

void Units::collect(std::uint64_t done) {
    for (std::uint32_t i = 0; i < slots_.size(); ++i) {
        Slot &slot = slots_[i];
        if (slot.submission == 0 || slot.submission > done) continue;
        slot.submission = 0;
        std::array<std::uint64_t, 2> at{};
        const VkResult result = device_->noted(device_->table().vkGetQueryPoolResults(
            device_->get(), queries_.get(), 2 * i, 2, sizeof at, at.data(), sizeof at[0],
            VK_QUERY_RESULT_64_BIT));
        if (result == VK_SUCCESS)
            learn(slot.work, static_cast<double>((at[1] - at[0]) & ticks_) * tick_ns_);
    }
}

void Units::learn(std::uint64_t work, double took_ns) {
    constexpr std::uint64_t kMost = 16;
    // Short ones are mostly what it takes to begin, and those of little work are copies.
    const bool is_short = work < work_ / 2 && took_ns < unit_ns_ / 2;
    if (took_ns <= 0 || is_short || work < work_ / kMost) return;
    // Slowly, and not without limits: what draws meanwhile takes its time too.
    constexpr double kShare = 0.25;
    const double now = static_cast<double>(work) * unit_ns_ / took_ns;
    const double mixed = static_cast<double>(work_) * (1 - kShare) + now * kShare;
    const double most = static_cast<double>(expected_ * kMost);
    work_ = std::max(static_cast<std::uint64_t>(std::min(mixed, most)), expected_ / kMost);
}

} // namespace tessera::vulkan
