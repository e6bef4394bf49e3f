#include "sandbox/scene/courtyard.hpp"

#include "vulkan/result.hpp"

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

Result<std::unique_ptr<Courtyard>> Courtyard::create(VulkanDevice &device, std::uint32_t width,
                                                     std::uint32_t height) {
    std::unique_ptr<Courtyard> courtyard(new Courtyard(device));
    courtyard->width_ = width;
    courtyard->height_ = height;
    auto made = courtyard->make_materials();
    if (made) made = courtyard->make_pipeline();
    if (!made) return made.error();
    auto commands = Commands::create(device, "courtyard");
    if (!commands) return commands.error();
    courtyard->commands_ = std::move(*commands);
    return courtyard;
}

Result<Courtyard::Material> Courtyard::make_material() {
    const VolkDeviceTable &vk = device_.table();
    VkImageCreateInfo info{VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO};
    info.imageType = VK_IMAGE_TYPE_2D;
    info.format = VK_FORMAT_R8G8B8A8_SRGB;
    info.extent = {kSide, kSide, 1};
    info.mipLevels = kMips;
    info.arrayLayers = 1;
    info.samples = VK_SAMPLE_COUNT_1_BIT;
    info.usage = VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT |
                 VK_IMAGE_USAGE_TRANSFER_SRC_BIT;
    Material material;
    VkImage image = VK_NULL_HANDLE;
    VkResult result = vk.vkCreateImage(device_.get(), &info, nullptr, &image);
    if (result < 0) return vulkan_error(result, "vkCreateImage");
    material.image = device_.own(image, vk.vkDestroyImage);
    auto memory = memory_of(device_, image);
    if (!memory) return memory.error();
    material.memory = std::move(*memory);
    result = vk.vkBindImageMemory(device_.get(), image, material.memory.get(), 0);
    if (result < 0) return vulkan_error(result, "vkBindImageMemory");
    VkImageViewCreateInfo view_info{VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO};
    view_info.image = image;
    view_info.viewType = VK_IMAGE_VIEW_TYPE_2D;
    view_info.format = info.format;
    view_info.subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, kMips, 0, 1};
    VkImageView view = VK_NULL_HANDLE;
    result = vk.vkCreateImageView(device_.get(), &view_info, nullptr, &view);
    if (result < 0) return vulkan_error(result, "vkCreateImageView");
    material.view = device_.own(view, vk.vkDestroyImageView);
    return material;
}

Result<void> Courtyard::make_materials() {
    for (std::size_t i = 0; i < kCourtyardMaterials.size(); ++i) {
        auto material = make_material();
        if (!material) return material.error();
        images_.push_back(std::move(*material));
    }
    VkSamplerCreateInfo info{VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO};
    info.magFilter = info.minFilter = VK_FILTER_LINEAR;
    info.mipmapMode = VK_SAMPLER_MIPMAP_MODE_LINEAR;
    info.maxLod = VK_LOD_CLAMP_NONE;
    VkSampler sampler = VK_NULL_HANDLE;
    const VkResult result =
        device_.table().vkCreateSampler(device_.get(), &info, nullptr, &sampler);
    if (result < 0) return vulkan_error(result, "vkCreateSampler");
    sampler_ = device_.own(sampler, device_.table().vkDestroySampler);
    return {};
}

Result<void> Courtyard::make_pipeline() {
    const VolkDeviceTable &vk = device_.table();
    auto pixels = make_mapped_buffer(device_, VkDeviceSize{width_} * height_ * 4,
                                     VK_BUFFER_USAGE_STORAGE_BUFFER_BIT, true);
    if (!pixels) return pixels.error();
    pixels_ = std::move(*pixels);
    const auto count = static_cast<std::uint32_t>(images_.size());
    const VkDescriptorSetLayoutBinding layout[] = {
        {0, VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, count, VK_SHADER_STAGE_COMPUTE_BIT, nullptr},
        {1, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr}};
    auto bindings = make_bindings(device_, layout,
                                  {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(Constants)}, "courtyard");
    if (!bindings) return bindings.error();
    bindings_ = std::move(*bindings);

    std::vector<VkDescriptorImageInfo> images;
    for (const Material &material : images_) {
        images.push_back(
            {sampler_.get(), material.view.get(), VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL});
    }
    const VkDescriptorBufferInfo buffer{pixels_.buffer.get(), 0, VK_WHOLE_SIZE};
    VkWriteDescriptorSet writes[2] = {{VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET},
                                      {VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET}};
    writes[0].dstSet = writes[1].dstSet = bindings_.set;
    writes[0].descriptorCount = count;
    writes[0].descriptorType = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER;
    writes[0].pImageInfo = images.data();
    writes[1].dstBinding = 1;
    writes[1].descriptorCount = 1;
    writes[1].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    writes[1].pBufferInfo = &buffer;
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

Result<void> Courtyard::draw(const Camera &camera, std::uint32_t samples,
                             const std::function<Result<void>(VkCommandBuffer)> &record) {
    auto commands = commands_.begin();
    if (!commands) return commands.error();
    if (auto recorded = record(*commands); !recorded) return recorded;
    const VolkDeviceTable &vk = device_.table();
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
