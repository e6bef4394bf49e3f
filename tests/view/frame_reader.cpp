#include "tests/view/frame_reader.hpp"

#include <gtest/gtest.h>

namespace tessera {
namespace {

std::uint32_t hash_of(std::span<const std::uint32_t> words) {
    std::uint32_t hash = 2166136261U;
    for (const std::uint32_t word : words) hash = (hash ^ word) * 16777619U;
    return hash;
}

VkSemaphoreSubmitInfo at_copy(VkSemaphore semaphore, std::uint64_t value) {
    VkSemaphoreSubmitInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO};
    info.semaphore = semaphore;
    info.value = value;
    info.stageMask = VK_PIPELINE_STAGE_2_COPY_BIT;
    return info;
}

} // namespace

void fill_hashed(const tessera_tensor &frame, std::uint32_t number) {
    const auto count = static_cast<std::size_t>(frame.shape[0] * frame.shape[1]);
    const std::span words(static_cast<std::uint32_t *>(frame.data), count);
    for (std::size_t i = 0; i + 1 < count; ++i) {
        words[i] = i == 0 ? number : words[i - 1] * 1664525U + 1013904223U + number;
    }
    words.back() = hash_of(words.first(count - 1));
}

std::optional<std::uint32_t> hashed_number(std::span<const std::uint32_t> words) {
    if (words.size() < 2 || words.back() != hash_of(words.first(words.size() - 1))) {
        return std::nullopt;
    }
    return words.front();
}

FrameReader::FrameReader(VulkanDevice &device, FrameRing &ring, OnFrame on_frame)
    : device_(device), ring_(ring), on_frame_(std::move(on_frame)) {
    auto done = device.make_timeline(0);
    EXPECT_TRUE(done.ok());
    done_ = std::move(*done);
    const VolkDeviceTable &vk = device.table();
    for (Read &read : reads_) {
        VkCommandPoolCreateInfo pool_info{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
        pool_info.queueFamilyIndex = device.queue_family();
        VkCommandPool pool = VK_NULL_HANDLE;
        EXPECT_EQ(vk.vkCreateCommandPool(device.get(), &pool_info, nullptr, &pool), VK_SUCCESS);
        read.pool = device.own(pool, vk.vkDestroyCommandPool);
        VkCommandBufferAllocateInfo info{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
        info.commandPool = pool;
        info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
        info.commandBufferCount = 1;
        EXPECT_EQ(vk.vkAllocateCommandBuffers(device.get(), &info, &read.commands), VK_SUCCESS);
    }
}

FrameReader::~FrameReader() { finish(); }

void FrameReader::collect(Read &read) {
    if (!read.frame) return;
    const VkSemaphore done = done_.get();
    VkSemaphoreWaitInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO};
    info.semaphoreCount = 1;
    info.pSemaphores = &done;
    info.pValues = &read.value;
    constexpr std::uint64_t kTimeoutNs = 10'000'000'000;
    ASSERT_EQ(device_.table().vkWaitSemaphores(device_.get(), &info, kTimeoutNs), VK_SUCCESS);
    const auto count = std::size_t{read.frame->width} * read.frame->height;
    on_frame_(*read.frame,
              {reinterpret_cast<const std::uint32_t *>(read.pixels.bytes.data()), count});
    read.frame.reset();
}

bool FrameReader::poll() {
    Read &read = reads_[submitted_ % reads_.size()];
    collect(read);
    const auto frame = ring_.take_newest();
    if (!frame) {
        finish(); // so that the last frame of a run is reported
        return false;
    }
    if (read.pixels.bytes.size() < frame->size_bytes()) {
        auto pixels = make_mapped_buffer(device_, frame->size_bytes(),
                                         VK_BUFFER_USAGE_TRANSFER_DST_BIT, true);
        EXPECT_TRUE(pixels.ok()) << pixels.error().message;
        read.pixels = std::move(*pixels);
    }
    submit(read, *frame);
    return true;
}

void FrameReader::submit(Read &read, const RingFrame &frame) {
    const VolkDeviceTable &vk = device_.table();
    vk.vkResetCommandPool(device_.get(), read.pool.get(), 0);
    const VkCommandBufferBeginInfo begin{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    vk.vkBeginCommandBuffer(read.commands, &begin);
    record_frame_taken(device_, read.commands, frame);
    const VkBufferCopy copy{frame.offset_bytes, 0, frame.size_bytes()};
    vk.vkCmdCopyBuffer(read.commands, frame.pixels, read.pixels.buffer.get(), 1, &copy);
    record_frame_given_back(device_, read.commands, frame);
    VkMemoryBarrier2 to_host{VK_STRUCTURE_TYPE_MEMORY_BARRIER_2};
    to_host.srcStageMask = VK_PIPELINE_STAGE_2_COPY_BIT;
    to_host.srcAccessMask = VK_ACCESS_2_TRANSFER_WRITE_BIT;
    to_host.dstStageMask = VK_PIPELINE_STAGE_2_HOST_BIT;
    to_host.dstAccessMask = VK_ACCESS_2_HOST_READ_BIT;
    VkDependencyInfo dependency{VK_STRUCTURE_TYPE_DEPENDENCY_INFO};
    dependency.memoryBarrierCount = 1;
    dependency.pMemoryBarriers = &to_host;
    vk.vkCmdPipelineBarrier2(read.commands, &dependency);
    vk.vkEndCommandBuffer(read.commands);

    const VkSemaphoreSubmitInfo wait = at_copy(frame.ready, frame.ready_value);
    std::array<VkSemaphoreSubmitInfo, 2> signals{
        at_copy(ring_.release_timeline(), frame.release_value),
        at_copy(done_.get(), submitted_ + 1)};
    signals[1].stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT;
    VkCommandBufferSubmitInfo commands{VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO};
    commands.commandBuffer = read.commands;
    VkSubmitInfo2 info{VK_STRUCTURE_TYPE_SUBMIT_INFO_2};
    info.waitSemaphoreInfoCount = frame.is_shared() ? 1 : 0;
    info.pWaitSemaphoreInfos = &wait;
    info.commandBufferInfoCount = 1;
    info.pCommandBufferInfos = &commands;
    info.signalSemaphoreInfoCount = signals.size();
    info.pSignalSemaphoreInfos = signals.data();
    const auto submitted = device_.submit(info, VK_NULL_HANDLE);
    if (!submitted) {
        ADD_FAILURE() << submitted.error().message;
        ring_.drop(frame);
        return;
    }
    read.value = ++submitted_;
    read.frame = frame;
}

void FrameReader::finish() {
    for (std::size_t i = 0; i < reads_.size(); ++i) {
        collect(reads_[(submitted_ + i) % reads_.size()]);
    }
}

} // namespace tessera
