#include "sandbox/scene/courtyard.hpp"

#include "vulkan/result.hpp"

#include <algorithm>
#include <cstring>

namespace tessera {
namespace {

constexpr std::uint32_t kSceneCode[] = {
#include "scene.comp.inc"
};
constexpr std::uint32_t kGroup = 8; // invocations along a side

struct Constants {
    float eye[4];
    float target[4];
    std::uint32_t size[4];
};

Result<VulkanHandle<VkDeviceMemory>> memory_of(const VulkanDevice &device, VkImage image) {
    const VolkDeviceTable &vk = device.table();
    VkMemoryRequirements needs{};
    vk.vkGetImageMemoryRequirements(device.get(), image, &needs);
    VkMemoryAllocateInfo info{VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO};
    info.allocationSize = needs.size;
    while ((needs.memoryTypeBits & (1u << info.memoryTypeIndex)) == 0) ++info.memoryTypeIndex;
    VkDeviceMemory memory = VK_NULL_HANDLE;
    const VkResult result = vk.vkAllocateMemory(device.get(), &info, nullptr, &memory);
    if (result < 0) return vulkan_error(result, "vkAllocateMemory");
    return device.own(memory, vk.vkFreeMemory);
}

} // namespace

void Gauges::note_frame(float milliseconds, std::uint32_t pictures) {
    std::copy(frames.begin() + 2, frames.end(), frames.begin());
    frames[frames.size() - 2] = milliseconds;
    frames[frames.size() - 1] = static_cast<float>(pictures);
}

Result<std::unique_ptr<Courtyard>> Courtyard::create(VulkanDevice &device, std::uint32_t width,
                                                     std::uint32_t height) {
    std::unique_ptr<Courtyard> courtyard(new Courtyard(device));
    courtyard->width_ = width;
    courtyard->height_ = height;
    auto made = courtyard->make_materials();
    if (made) made = courtyard->make_buffers();
    if (made) made = courtyard->make_pipeline();
    if (!made) return made.error();
    auto commands = Commands::create(device, "courtyard");
    if (!commands) return commands.error();
    courtyard->commands_ = std::move(*commands);
    return courtyard;
}

Result<void> Courtyard::make_materials() {
    const VolkDeviceTable &vk = device_.table();
    constexpr auto kCount = static_cast<std::uint32_t>(kCourtyardMaterials.size());
    VkImageCreateInfo info{VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO};
    info.imageType = VK_IMAGE_TYPE_2D;
    info.format = VK_FORMAT_R8G8B8A8_SRGB;
    info.extent = {kSide, kSide, 1};
    info.mipLevels = kMips;
    info.arrayLayers = kCount;
    info.samples = VK_SAMPLE_COUNT_1_BIT;
    info.usage = VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT |
                 VK_IMAGE_USAGE_TRANSFER_SRC_BIT;
    VkImage image = VK_NULL_HANDLE;
    VkResult result = vk.vkCreateImage(device_.get(), &info, nullptr, &image);
    if (result < 0) return vulkan_error(result, "vkCreateImage");
    image_ = device_.own(image, vk.vkDestroyImage);
    auto memory = memory_of(device_, image);
    if (!memory) return memory.error();
    memory_ = std::move(*memory);
    result = vk.vkBindImageMemory(device_.get(), image, memory_.get(), 0);
    if (result < 0) return vulkan_error(result, "vkBindImageMemory");
    VkImageViewCreateInfo view_info{VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO};
    view_info.image = image;
    view_info.viewType = VK_IMAGE_VIEW_TYPE_2D_ARRAY;
    view_info.format = info.format;
    view_info.subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, kMips, 0, kCount};
    VkImageView view = VK_NULL_HANDLE;
    result = vk.vkCreateImageView(device_.get(), &view_info, nullptr, &view);
    if (result < 0) return vulkan_error(result, "vkCreateImageView");
    view_ = device_.own(view, vk.vkDestroyImageView);
    VkSamplerCreateInfo sampler_info{VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO};
    sampler_info.magFilter = sampler_info.minFilter = VK_FILTER_LINEAR;
    sampler_info.mipmapMode = VK_SAMPLER_MIPMAP_MODE_LINEAR;
    sampler_info.maxLod = VK_LOD_CLAMP_NONE;
    VkSampler sampler = VK_NULL_HANDLE;
    result = vk.vkCreateSampler(device_.get(), &sampler_info, nullptr, &sampler);
    if (result < 0) return vulkan_error(result, "vkCreateSampler");
    sampler_ = device_.own(sampler, vk.vkDestroySampler);
    return {};
}

Result<void> Courtyard::make_buffers() {
    auto pixels = make_mapped_buffer(device_, VkDeviceSize{width_} * height_ * 4,
                                     VK_BUFFER_USAGE_STORAGE_BUFFER_BIT, true);
    if (!pixels) return pixels.error();
    pixels_ = std::move(*pixels);
    auto gauges =
        make_mapped_buffer(device_, sizeof(Gauges), VK_BUFFER_USAGE_STORAGE_BUFFER_BIT, false);
    if (!gauges) return gauges.error();
    gauges_ = std::move(*gauges);
    return {};
}

Result<void> Courtyard::make_pipeline() {
    const VolkDeviceTable &vk = device_.table();
    const VkDescriptorSetLayoutBinding layout[] = {
        {0, VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr},
        {1, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr},
        {2, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr}};
    auto bindings = make_bindings(device_, layout,
                                  {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(Constants)}, "courtyard");
    if (!bindings) return bindings.error();
    bindings_ = std::move(*bindings);

    const VkDescriptorImageInfo image{sampler_.get(), view_.get(),
                                      VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL};
    const VkDescriptorBufferInfo buffers[] = {{pixels_.buffer.get(), 0, VK_WHOLE_SIZE},
                                              {gauges_.buffer.get(), 0, VK_WHOLE_SIZE}};
    VkWriteDescriptorSet writes[2] = {{VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET},
                                      {VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET}};
    writes[0].dstSet = writes[1].dstSet = bindings_.set;
    writes[0].descriptorCount = 1;
    writes[0].descriptorType = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER;
    writes[0].pImageInfo = &image;
    writes[1].dstBinding = 1;
    writes[1].descriptorCount = 2;
    writes[1].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    writes[1].pBufferInfo = buffers;
    vk.vkUpdateDescriptorSets(device_.get(), 2, writes, 0, nullptr);

    auto shader = make_shader(device_, kSceneCode, "courtyard");
    if (!shader) return shader.error();
    VkComputePipelineCreateInfo info{VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO};
    info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
    info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
    info.stage.module = shader->get();
    info.stage.pName = "main";
    info.layout = bindings_.layout.get();
    VkPipeline pipeline = VK_NULL_HANDLE;
    const VkResult result =
        vk.vkCreateComputePipelines(device_.get(), VK_NULL_HANDLE, 1, &info, nullptr, &pipeline);
    if (result < 0) return vulkan_error(result, "vkCreateComputePipelines");
    pipeline_ = device_.own(pipeline, vk.vkDestroyPipeline);
    return {};
}

Result<void> Courtyard::draw(const Camera &camera, const Gauges &gauges, std::uint32_t samples,
                             const std::function<Result<void>(VkCommandBuffer)> &record) {
    auto commands = commands_.begin();
    if (!commands) return commands.error();
    if (auto recorded = record(*commands); !recorded) return recorded;
    const VolkDeviceTable &vk = device_.table();
    std::memcpy(gauges_.bytes.data(), &gauges, sizeof gauges);
    Constants constants{};
    std::copy(camera.eye.begin(), camera.eye.end(), constants.eye);
    std::copy(camera.target.begin(), camera.target.end(), constants.target);
    constants.eye[3] = camera.zoom;
    constants.target[3] = camera.seconds;
    const std::uint32_t size[] = {width_, height_, samples, frame_++};
    std::copy(std::begin(size), std::end(size), constants.size);
    vk.vkCmdBindPipeline(*commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline_.get());
    record_bindings(device_, *commands, VK_PIPELINE_BIND_POINT_COMPUTE, bindings_, &constants);
    vk.vkCmdDispatch(*commands, (width_ + kGroup - 1) / kGroup, (height_ + kGroup - 1) / kGroup, 1);
    record_barrier(device_, *commands,
                   MemoryBarrier{VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT,
                                 VK_ACCESS_2_SHADER_WRITE_BIT, VK_PIPELINE_STAGE_2_HOST_BIT,
                                 VK_ACCESS_2_HOST_READ_BIT});
    if (auto ended = commands_.end(); !ended) return ended;
    if (auto submitted = device_.submit(*commands, {}, {}); !submitted) return submitted;
    return device_.wait_idle();
}

Image Courtyard::picture() const {
    Image image{width_, height_, 4, {}};
    image.pixels.resize(std::size_t{width_} * height_ * 4);
    std::memcpy(image.pixels.data(), pixels_.bytes.data(), image.pixels.size());
    return image;
}

} // namespace tessera
