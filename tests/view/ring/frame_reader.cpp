#include "tests/view/ring/frame_reader.hpp"

#include <gtest/gtest.h>

namespace tessera {
namespace {

std::uint32_t hash_of(std::span<const std::uint32_t> words) {
    std::uint32_t hash = 2166136261U;
    for (const std::uint32_t word : words) hash = (hash ^ word) * 16777619U;
    return hash;
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
    for (Read &read : reads_) {
        auto commands = Commands::create(device, "frame reader");
        EXPECT_TRUE(commands.ok()) << commands.error().message;
        read.commands = std::move(*commands);
    }
}

FrameReader::~FrameReader() { finish(); }

void FrameReader::collect(Read &read) {
    if (!read.frame) return;
    constexpr std::uint64_t kTimeoutNs = 10'000'000'000;
    const auto reached = device_.wait_for(done_.get(), read.value, kTimeoutNs);
    ASSERT_TRUE(reached.ok()) << reached.error().message;
    ASSERT_TRUE(*reached);
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
    const auto commands = read.commands.begin();
    ASSERT_TRUE(commands.ok()) << commands.error().message;
    record_frame_taken(device_, *commands, frame);
    const VkBufferCopy copy{frame.offset_bytes, 0, frame.size_bytes()};
    device_.table().vkCmdCopyBuffer(*commands, frame.pixels, read.pixels.buffer.get(), 1, &copy);
    record_frame_given_back(device_, *commands, frame);
    record_barrier(device_, *commands, kCopyToHost);
    const auto ended = read.commands.end();
    ASSERT_TRUE(ended.ok()) << ended.error().message;

    constexpr VkPipelineStageFlags2 kCopy = VK_PIPELINE_STAGE_2_COPY_BIT;
    const std::array wait{semaphore_at(frame.ready, frame.ready_value, kCopy)};
    const std::array signals{
        semaphore_at(ring_.release_timeline(), frame.release_value, kCopy),
        semaphore_at(done_.get(), submitted_ + 1, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT)};
    const auto submitted =
        device_.submit(*commands, std::span(wait).first(frame.is_shared() ? 1 : 0), signals);
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
