#include "interop/maps/map_passes.hpp"

#include "vulkan/debug_label.hpp"
#include "vulkan/result.hpp"

#include <algorithm>

namespace tessera {
namespace {

constexpr std::uint32_t kGroupSide = 16;
constexpr VkDeviceSize kStatisticsBytes = 64; // after the last section

// The push constants of shaders/maps.glsl.
struct Push {
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    MapConstants constants;
};
static_assert(sizeof(Push) == 48);

constexpr std::uint32_t kLightness[] = {
#include "lightness.comp.inc"
};
constexpr std::uint32_t kLoadPlane[] = {
#include "load_plane.comp.inc"
};
constexpr std::uint32_t kPower[] = {
#include "power.comp.inc"
};
constexpr std::uint32_t kBorder[] = {
#include "border.comp.inc"
};
constexpr std::uint32_t kPoisson[] = {
#include "poisson.comp.inc"
};
constexpr std::uint32_t kSubtractSmooth[] = {
#include "subtract_smooth.comp.inc"
};
constexpr std::uint32_t kScales[] = {
#include "scales.comp.inc"
};
constexpr std::uint32_t kSlopes[] = {
#include "slopes.comp.inc"
};
constexpr std::uint32_t kIntegrate[] = {
#include "integrate.comp.inc"
};
constexpr std::uint32_t kHeightRange[] = {
#include "height_range.comp.inc"
};
constexpr std::uint32_t kHeight[] = {
#include "height.comp.inc"
};
constexpr std::uint32_t kSurface[] = {
#include "surface.comp.inc"
};

struct Shader {
    const char *name;
    std::span<const std::uint32_t> code;
};
// In the order of MapPass.
constexpr std::array<Shader, kMapPasses> kShaders{{{"lightness", kLightness},
                                                   {"load plane", kLoadPlane},
                                                   {"power", kPower},
                                                   {"border", kBorder},
                                                   {"Poisson", kPoisson},
                                                   {"subtract smooth", kSubtractSmooth},
                                                   {"scales", kScales},
                                                   {"slopes", kSlopes},
                                                   {"integrate", kIntegrate},
                                                   {"height range", kHeightRange},
                                                   {"height", kHeight},
                                                   {"surface", kSurface}}};

Result<VulkanHandle<VkPipeline>> make_pipeline(const VulkanDevice &device, const Shader &shader,
                                               VkPipelineLayout layout) {
    const VolkDeviceTable &vk = device.table();
    const auto code = make_shader(device, shader.code, shader.name);
    if (!code) return code.error();
    VkComputePipelineCreateInfo info{VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO};
    info.stage = {VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO};
    info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
    info.stage.module = code->get();
    info.stage.pName = "main";
    info.layout = layout;
    VkPipeline pipeline = VK_NULL_HANDLE;
    const VkResult result =
        vk.vkCreateComputePipelines(device.get(), VK_NULL_HANDLE, 1, &info, nullptr, &pipeline);
    if (result < 0) return vulkan_error(result, fmt::format("pipeline of {}", shader.name));
    device.name(VK_OBJECT_TYPE_PIPELINE, pipeline, fmt::format("maps: {}", shader.name));
    return device.own(pipeline, vk.vkDestroyPipeline);
}

} // namespace

MapPasses::MapPasses(VulkanDevice &device, std::uint32_t width, std::uint32_t height)
    : device_(device), width_(width), height_(height),
      section_bytes_(VkDeviceSize{width} * height * 4) {}

Result<std::unique_ptr<MapPasses>> MapPasses::create(VulkanDevice &device, std::uint32_t width,
                                                     std::uint32_t height, const PlanCache &cache) {
    const auto bytes = VkDeviceSize{width} * height * 8 * kPlanes;
    const VkDeviceSize limit = device.properties().limits.maxStorageBufferRange;
    if (width < FftPlan::kMinSide || height < FftPlan::kMinSide || width > FftPlan::kMaxSide ||
        height > FftPlan::kMaxSide || bytes > limit) {
        return make_error(Status::kInvalidArgument,
                          "maps of a picture of {} x {} pixels: sides must be between {} and {}, "
                          "and {} bytes of work memory at most {}",
                          width, height, FftPlan::kMinSide, FftPlan::kMaxSide, bytes, limit);
    }
    auto passes = std::unique_ptr<MapPasses>(new MapPasses(device, width, height));
    if (auto made = passes->make_memory(); !made) return made.error();
    if (auto made = passes->make_layouts(); !made) return made.error();
    if (auto made = passes->make_pipelines(); !made) return made.error();
    if (auto made = passes->make_commands(); !made) return made.error();
    passes->write_descriptors();
    auto plan =
        FftPlan::create(device, width, height, passes->planes_.buffer.get(), kPlanes, cache);
    if (!plan) return plan.error();
    passes->plan_ = std::move(*plan);
    return passes;
}

Result<void> MapPasses::make_memory() {
    constexpr VkBufferUsageFlags kCopies =
        VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
    constexpr VkBufferUsageFlags kUsage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | kCopies;
    auto planes = make_device_buffer(device_, section_bytes_ * 2 * kPlanes, kUsage);
    if (!planes) return planes.error();
    planes_ = std::move(*planes);
    device_.name(VK_OBJECT_TYPE_BUFFER, planes_.buffer.get(), "maps: planes");
    auto words =
        make_device_buffer(device_, section_bytes_ * kMapSections + kStatisticsBytes, kUsage);
    if (!words) return words.error();
    words_ = std::move(*words);
    device_.name(VK_OBJECT_TYPE_BUFFER, words_.buffer.get(), "maps: sections");
    auto host = make_mapped_buffer(device_, section_bytes_ * kMapSections, kCopies, true);
    if (!host) return host.error();
    host_ = std::move(*host);
    device_.name(VK_OBJECT_TYPE_BUFFER, host_.buffer.get(), "maps: host");
    return {};
}

Result<void> MapPasses::make_layouts() {
    std::array<VkDescriptorSetLayoutBinding, 2> buffers{};
    for (std::uint32_t i = 0; i < buffers.size(); ++i) {
        buffers[i] = {i, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT,
                      nullptr};
    }
    auto bindings =
        make_bindings(device_, buffers, {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(Push)}, "maps");
    if (!bindings) return bindings.error();
    bindings_ = std::move(*bindings);
    return {};
}

Result<void> MapPasses::make_pipelines() {
    for (std::size_t i = 0; i < kMapPasses; ++i) {
        auto pipeline = make_pipeline(device_, kShaders[i], bindings_.layout.get());
        if (!pipeline) return pipeline.error();
        pipelines_[i] = std::move(*pipeline);
    }
    return {};
}

Result<void> MapPasses::make_commands() {
    auto commands = Commands::create(device_, "maps");
    if (!commands) return commands.error();
    commands_ = std::move(*commands);
    auto done = device_.make_timeline(0);
    if (!done) return done.error();
    done_ = std::move(*done);
    device_.name(VK_OBJECT_TYPE_SEMAPHORE, done_.get(), "maps: submissions done");
    return {};
}

void MapPasses::write_descriptors() {
    const std::array<VkDescriptorBufferInfo, 2> infos{
        {{planes_.buffer.get(), 0, VK_WHOLE_SIZE}, {words_.buffer.get(), 0, VK_WHOLE_SIZE}}};
    VkWriteDescriptorSet write{VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET};
    write.dstSet = bindings_.set;
    write.descriptorCount = infos.size();
    write.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    write.pBufferInfo = infos.data();
    device_.table().vkUpdateDescriptorSets(device_.get(), 1, &write, 0, nullptr);
}

MapPasses::~MapPasses() {
    // A late submission still uses what goes now; a failure means a lost device, and no use.
    if (finished_ < submitted_) static_cast<void>(device_.wait_idle());
}

Result<void> MapPasses::wait(const char *label) {
    constexpr std::uint64_t kTimeoutNs = 300'000'000'000; // low priority on a busy machine
    const auto reached = device_.wait_for(done_.get(), submitted_, kTimeoutNs);
    if (!reached) return reached.error();
    if (!*reached) {
        return make_error(Status::kFailed, "{}: the Vulkan device did not finish in 300 s", label);
    }
    finished_ = submitted_;
    return {};
}

Result<void> MapPasses::run(const char *label,
                            const std::function<Result<void>(VkCommandBuffer)> &record) {
    if (auto waited = wait(label); !waited) return waited; // the last one may have been given up
    auto commands = commands_.begin();
    if (!commands) return commands.error();
    {
        const DebugLabel span(device_, *commands, label);
        if (auto recorded = record(*commands); !recorded) return recorded;
    }
    record_barrier(device_, *commands, kCopyToHost);
    if (auto ended = commands_.end(); !ended) return ended;
    const std::array signals{
        semaphore_at(done_.get(), submitted_ + 1, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT)};
    if (auto submitted = device_.submit(*commands, {}, signals); !submitted) return submitted;
    ++submitted_;
    return wait(label);
}

void MapPasses::wait_for_all(VkCommandBuffer commands) const {
    constexpr VkPipelineStageFlags2 kStages =
        VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_COPY_BIT;
    record_barrier(device_, commands,
                   MemoryBarrier{kStages, VK_ACCESS_2_MEMORY_WRITE_BIT, kStages,
                                 VK_ACCESS_2_MEMORY_READ_BIT | VK_ACCESS_2_MEMORY_WRITE_BIT});
}

void MapPasses::record(VkCommandBuffer commands, MapPass pass, const MapConstants &constants) {
    const VolkDeviceTable &vk = device_.table();
    const auto index = static_cast<std::size_t>(pass);
    const DebugLabel label(device_, commands, kShaders[index].name);
    wait_for_all(commands);
    vk.vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipelines_[index].get());
    const Push push{width_, height_, constants};
    record_bindings(device_, commands, VK_PIPELINE_BIND_POINT_COMPUTE, bindings_, &push);
    const bool is_one_group = pass == MapPass::kHeightRange;
    const std::uint32_t across = is_one_group ? 1 : (width_ + kGroupSide - 1) / kGroupSide;
    const std::uint32_t down = is_one_group ? 1 : (height_ + kGroupSide - 1) / kGroupSide;
    vk.vkCmdDispatch(commands, across, down, 1);
}

Result<void> MapPasses::record_fft(VkCommandBuffer commands, FftDirection direction,
                                   std::uint32_t plane) {
    TESSERA_ASSERT(plane < kPlanes);
    const DebugLabel label(device_, commands, "Fourier transform");
    wait_for_all(commands);
    return plan_->record(commands, direction, plane);
}

void MapPasses::copy(VkCommandBuffer commands, VkBuffer from, VkDeviceSize from_offset, VkBuffer to,
                     VkDeviceSize to_offset, VkDeviceSize size_bytes) const {
    wait_for_all(commands);
    const VkBufferCopy region{from_offset, to_offset, size_bytes};
    device_.table().vkCmdCopyBuffer(commands, from, to, 1, &region);
}

void MapPasses::upload(VkCommandBuffer commands, MapSection section) {
    const VkDeviceSize offset = static_cast<std::uint32_t>(section) * section_bytes_;
    copy(commands, host_.buffer.get(), offset, words_.buffer.get(), offset, section_bytes_);
}

void MapPasses::download(VkCommandBuffer commands) {
    copy(commands, words_.buffer.get(), 0, host_.buffer.get(), 0, section_bytes_ * kMapSections);
}

void MapPasses::upload_plane(VkCommandBuffer commands, std::uint32_t plane) {
    TESSERA_ASSERT(plane < kPlanes);
    copy(commands, host_.buffer.get(), 0, planes_.buffer.get(), plane * section_bytes_ * 2,
         section_bytes_ * 2);
}

void MapPasses::download_plane(VkCommandBuffer commands, std::uint32_t plane) {
    TESSERA_ASSERT(plane < kPlanes);
    copy(commands, planes_.buffer.get(), plane * section_bytes_ * 2, host_.buffer.get(), 0,
         section_bytes_ * 2);
}

std::span<std::byte> MapPasses::host_section(MapSection section) {
    const auto size = static_cast<std::size_t>(section_bytes_);
    return host_.bytes.subspan(static_cast<std::size_t>(section) * size, size);
}

std::span<std::byte> MapPasses::host_plane() {
    return host_.bytes.first(static_cast<std::size_t>(section_bytes_) * 2);
}

} // namespace tessera
