#include "compute/vulkan/stream.hpp"

#include "vulkan/result.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace tessera::vulkan {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{64} << 10;
constexpr std::size_t kKeptBytes = std::size_t{1} << 20; // a larger block goes with its commands
constexpr std::size_t kAlignment = 16;
constexpr std::size_t kFreeTapes = 16;
constexpr std::uint64_t kHeld = std::numeric_limits<std::uint64_t>::max(); // submissions

constexpr VkBufferUsageFlags kUsage =
    VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT;
constexpr VkPipelineStageFlags2 kStages =
    VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_COPY_BIT;

} // namespace

// ---- tapes ----

Result<std::unique_ptr<Tape>> Tape::create(const VulkanDevice &device, bool many) {
    std::unique_ptr<Tape> tape(new Tape(device));
    tape->many_ = many;
    auto commands = Commands::create(device, "compute");
    if (!commands) return commands.error();
    tape->commands_ = std::move(*commands);
    return tape;
}

Result<> Tape::begin() {
    std::erase_if(blocks_, [](const Block &b) { return b.memory.bytes.size() > kKeptBytes; });
    if (blocks_.size() > 1) blocks_.resize(1);
    used_ = 0;
    work = 0;
    const auto begun = commands_.begin(many_ ? VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT
                                             : VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT);
    return begun ? Result<>() : Result<>(begun.error());
}

Result<> Tape::end() {
    // What is copied to the host's memory, or noted there, is seen when the submission is done.
    record_barrier(*device_, commands_.get(),
                   MemoryBarrier{kStages, VK_ACCESS_2_MEMORY_WRITE_BIT,
                                 VK_PIPELINE_STAGE_2_HOST_BIT, VK_ACCESS_2_HOST_READ_BIT});
    return commands_.end();
}

Result<Tape::Part> Tape::take(std::size_t size_bytes) {
    const std::size_t size = (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (blocks_.empty() || used_ + size > blocks_.back().memory.bytes.size()) {
        auto made = make_mapped_buffer(*device_, std::max(size, kBlockBytes), kUsage, false);
        if (!made) return made.error();
        const VkDeviceAddress address = buffer_address(*device_, made->buffer.get());
        blocks_.push_back({std::move(*made), address});
        used_ = 0;
    }
    const Block &block = blocks_.back();
    const Part part{block.memory.bytes.data() + used_, block.address + used_,
                    block.memory.buffer.get(), used_};
    used_ += size;
    return part;
}

void Tape::order() {
    record_barrier(*device_, commands_.get(),
                   MemoryBarrier{kStages, VK_ACCESS_2_MEMORY_WRITE_BIT, kStages,
                                 VK_ACCESS_2_MEMORY_READ_BIT | VK_ACCESS_2_MEMORY_WRITE_BIT});
}

// ---- the stream ----

Result<std::unique_ptr<Stream>> Stream::create(VulkanDevice &device, std::uint32_t unit_us,
                                               bool draws) {
    std::unique_ptr<Stream> stream(new Stream(device));
    auto units = Units::create(device, unit_us);
    if (!units) return units.error();
    stream->units_ = std::move(*units);
    stream->draws_ = draws;
    auto timeline = device.make_timeline(0);
    if (!timeline) return timeline.error();
    stream->timeline_ = std::move(*timeline);
    return stream;
}

Stream::~Stream() {
    // What was recorded and not submitted is given up.
    constexpr std::uint64_t kLongest = 10'000'000'000;
    if (submitted_ == 0) return;
    if (!device_.is_lost()) (void)device_.wait_for(timeline_.get(), submitted_, kLongest);
    // Memory goes next, and a lost device's timeline tells nothing.
    if (device_.is_lost()) (void)device_.wait_idle();
}

Result<Tape *> Stream::tape() {
    if (open_) return open_.get();
    if (free_.empty()) {
        auto made = Tape::create(device_, false);
        if (!made) return made.error();
        open_ = std::move(*made);
    } else {
        open_ = std::move(free_.back());
        free_.pop_back();
    }
    if (const auto begun = open_->begin(); !begun) {
        open_.reset();
        return begun.error();
    }
    return open_.get();
}

Result<> Stream::close() {
    if (!open_) return {};
    if (const auto ended = open_->end(); !ended) {
        open_.reset();
        return ended.error();
    }
    work_ += open_->work;
    pending_.push_back(open_->commands());
    flying_.push_back({held_ ? kHeld : next(), std::move(open_)});
    return {};
}

Result<> Stream::play(const Tape &tape) {
    if (auto closed = close(); !closed) return closed;
    pending_.push_back(tape.commands());
    work_ += tape.work;
    return {};
}

Result<> Stream::submit(const VkSemaphoreSubmitInfo *signal) {
    if (auto closed = close(); !closed) return closed;
    if (pending_.empty() && signal == nullptr) return {};
    if (draws_) {
        if (auto done = wait_for_submitted(); !done) return done;
    }
    std::vector<VkCommandBuffer> commands = std::exchange(pending_, {});
    const std::vector<VkSemaphoreSubmitInfo> waits = std::exchange(waits_, {});
    const std::uint64_t work = std::exchange(work_, 0);
    // One that waits for a view may begin to count before that.
    const auto stamps = waits.empty() ? units_.measure(next(), work) : Units::Stamps{};
    if (stamps.before != VK_NULL_HANDLE) {
        commands.insert(commands.begin(), stamps.before);
        commands.push_back(stamps.after);
    }
    std::array signals{semaphore_at(timeline_.get(), next(), VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT),
                       signal != nullptr ? *signal : VkSemaphoreSubmitInfo{}};
    const std::span all = std::span(signals).first(signal != nullptr ? 2 : 1);
    if (auto sent = device_.submit(commands, waits, all); !sent) return sent;
    ++submitted_;
    const auto reached = device_.timeline_value(timeline_.get());
    if (!reached) return reached.error();
    collect(*reached);
    return {};
}

void Stream::wait_before(VkSemaphore timeline, std::uint64_t value) {
    for (VkSemaphoreSubmitInfo &wait : waits_) {
        if (wait.semaphore != timeline) continue;
        wait.value = std::max(wait.value, value);
        return;
    }
    waits_.push_back(semaphore_at(timeline, value, kStages));
}

Result<> Stream::signal_after(VkSemaphore timeline, std::uint64_t value) {
    const VkSemaphoreSubmitInfo signal =
        semaphore_at(timeline, value, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT);
    return submit(&signal);
}

Result<> Stream::wait() {
    if (auto sent = submit(); !sent) return sent;
    return wait_for_submitted();
}

Result<> Stream::wait_for_submitted() {
    const auto reached =
        device_.wait_for(timeline_.get(), submitted_, std::numeric_limits<std::uint64_t>::max());
    if (!reached) return reached.error();
    collect(submitted_);
    return {};
}

void Stream::let_go() {
    held_ = false;
    for (Flying &tape : flying_) tape.until = std::min(tape.until, next());
}

void Stream::collect(std::uint64_t done) {
    units_.collect(done);
    while (!flying_.empty() && flying_.front().until <= done) {
        if (free_.size() < kFreeTapes) free_.push_back(std::move(flying_.front().tape));
        flying_.pop_front();
    }
    while (!retired_.empty() && retired_.front().until <= done) retired_.pop_front();
}

} // namespace tessera::vulkan
