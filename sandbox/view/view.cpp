#include "sandbox/view/view.hpp"

#include "vulkan/commands.hpp"
#include "vulkan/debug_label.hpp"
#include "vulkan/result.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace tessera {
namespace {

constexpr std::uint32_t kVertexCode[] = {
#include "view.vert.inc"
};
constexpr std::uint32_t kFragmentCode[] = {
#include "view.frag.inc"
};

constexpr VkFormat kExactFormat = VK_FORMAT_R8G8B8A8_UNORM;
constexpr VkFormat kSmoothFormat = VK_FORMAT_R8G8B8A8_SRGB;

// The push constants of view.frag.
struct Constants {
    float background[4];
    float checker[4];
    float origin[2];
    float picture_size[2];
    float all_origin[2];
    float all_size[2];
    float scale;
    float shadow_radius;
};

// The parts of view.frag, in the order in which they are drawn.
enum ViewPart : std::uint32_t {
    kGround = 0,
    kShadow = 1,
    kExact = 2,
    kSmooth = 3,
    kExactTiled = 4,
    kSmoothTiled = 5
};
constexpr std::array<const char *, 6> kPartNames{"ground", "shadow",       "exact",
                                                 "smooth", "exact, tiled", "smooth, tiled"};

// Whole pixels of the target: left and top inside, right and bottom outside.
struct PixelRect {
    std::int32_t left = 0;
    std::int32_t top = 0;
    std::int32_t right = 0;
    std::int32_t bottom = 0;
    [[nodiscard]] bool empty() const { return right <= left || bottom <= top; }
};

PixelRect intersect(const PixelRect &a, const PixelRect &b) {
    return {std::max(a.left, b.left), std::max(a.top, b.top), std::min(a.right, b.right),
            std::min(a.bottom, b.bottom)};
}

PixelRect grown(const PixelRect &rect, std::int32_t by) {
    return {rect.left - by, rect.top - by, rect.right + by, rect.bottom + by};
}

// Pixels whose centres are inside.
PixelRect covered(float left, float top, float width, float height) {
    const auto edge = [](float at) { return static_cast<std::int32_t>(std::ceil(at - 0.5F)); };
    return {edge(left), edge(top), edge(left + width), edge(top + height)};
}
static_assert(sizeof(Constants) <= 128, "every device has this much");
static_assert(offsetof(Constants, origin) == 32 && offsetof(Constants, scale) == 64);

Constants constants_of(const ViewTransform &transform, const ViewLook &look, float picture_width,
                       float picture_height) {
    const Point origin = transform.origin();
    const float scale = transform.scale();
    const Colour &ground = look.background, &other = look.checker_colour;
    // The picture and its copies round it.
    const auto tiles = static_cast<float>(look.tiles);
    const float around = (tiles - 1) / 2;
    return {{ground.red, ground.green, ground.blue, 1},
            {other.red, other.green, other.blue, look.checker ? look.checker_size : 0},
            {origin.x, origin.y},
            {picture_width, picture_height},
            {origin.x - around * picture_width * scale, origin.y - around * picture_height * scale},
            {tiles * picture_width * scale, tiles * picture_height * scale},
            scale,
            look.shadow_radius};
}

Result<VulkanHandle<VkSampler>> make_sampler(const VulkanDevice &device, VkFilter filter,
                                             VkSamplerAddressMode mode) {
    VkSamplerCreateInfo info{VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO};
    info.magFilter = filter;
    info.minFilter = filter;
    info.mipmapMode = VK_SAMPLER_MIPMAP_MODE_NEAREST;
    info.addressModeU = mode;
    info.addressModeV = mode;
    info.addressModeW = mode;
    VkSampler sampler = VK_NULL_HANDLE;
    const VkResult result = device.table().vkCreateSampler(device.get(), &info, nullptr, &sampler);
    if (result < 0) return vulkan_error(result, "vkCreateSampler");
    return device.own(sampler, device.table().vkDestroySampler);
}

// A triangle over the whole viewport, whose fragments replace what is there.
Result<VulkanHandle<VkPipeline>>
make_pipeline(const VulkanDevice &device, std::span<const VkPipelineShaderStageCreateInfo> stages,
              VkPipelineLayout layout, VkRenderPass pass) {
    const VkPipelineVertexInputStateCreateInfo vertices{
        VK_STRUCTURE_TYPE_PIPELINE_VERTEX_INPUT_STATE_CREATE_INFO};
    VkPipelineInputAssemblyStateCreateInfo assembly{
        VK_STRUCTURE_TYPE_PIPELINE_INPUT_ASSEMBLY_STATE_CREATE_INFO};
    assembly.topology = VK_PRIMITIVE_TOPOLOGY_TRIANGLE_LIST;
    VkPipelineViewportStateCreateInfo viewport{
        VK_STRUCTURE_TYPE_PIPELINE_VIEWPORT_STATE_CREATE_INFO};
    viewport.viewportCount = 1;
    viewport.scissorCount = 1;
    VkPipelineRasterizationStateCreateInfo raster{
        VK_STRUCTURE_TYPE_PIPELINE_RASTERIZATION_STATE_CREATE_INFO};
    raster.lineWidth = 1;
    VkPipelineMultisampleStateCreateInfo samples{
        VK_STRUCTURE_TYPE_PIPELINE_MULTISAMPLE_STATE_CREATE_INFO};
    samples.rasterizationSamples = VK_SAMPLE_COUNT_1_BIT;
    VkPipelineColorBlendAttachmentState attachment{};
    attachment.colorWriteMask = VK_COLOR_COMPONENT_R_BIT | VK_COLOR_COMPONENT_G_BIT |
                                VK_COLOR_COMPONENT_B_BIT | VK_COLOR_COMPONENT_A_BIT;
    VkPipelineColorBlendStateCreateInfo blend{
        VK_STRUCTURE_TYPE_PIPELINE_COLOR_BLEND_STATE_CREATE_INFO};
    blend.attachmentCount = 1;
    blend.pAttachments = &attachment;
    const std::array dynamic{VK_DYNAMIC_STATE_VIEWPORT, VK_DYNAMIC_STATE_SCISSOR};
    VkPipelineDynamicStateCreateInfo dynamics{VK_STRUCTURE_TYPE_PIPELINE_DYNAMIC_STATE_CREATE_INFO};
    dynamics.dynamicStateCount = dynamic.size();
    dynamics.pDynamicStates = dynamic.data();

    VkGraphicsPipelineCreateInfo info{VK_STRUCTURE_TYPE_GRAPHICS_PIPELINE_CREATE_INFO};
    info.stageCount = static_cast<std::uint32_t>(stages.size());
    info.pStages = stages.data();
    info.pVertexInputState = &vertices;
    info.pInputAssemblyState = &assembly;
    info.pViewportState = &viewport;
    info.pRasterizationState = &raster;
    info.pMultisampleState = &samples;
    info.pColorBlendState = &blend;
    info.pDynamicState = &dynamics;
    info.layout = layout;
    info.renderPass = pass;
    VkPipeline pipeline = VK_NULL_HANDLE;
    const VkResult result = device.table().vkCreateGraphicsPipelines(device.get(), VK_NULL_HANDLE,
                                                                     1, &info, nullptr, &pipeline);
    if (result < 0) return vulkan_error(result, "vkCreateGraphicsPipelines (view)");
    return device.own(pipeline, device.table().vkDestroyPipeline);
}

} // namespace

Result<std::unique_ptr<View>> View::create(VulkanDevice &device, VkRenderPass pass) {
    auto view = std::unique_ptr<View>(new View(device));
    if (auto made = view->make_layouts(); !made) return made.error();
    if (auto made = view->make_pipelines(pass); !made) return made.error();
    if (auto made = view->make_picture(1, 1); !made) return made.error();
    return view;
}

Result<void> View::make_layouts() {
    auto nearest = make_sampler(device_, VK_FILTER_NEAREST, VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE);
    if (!nearest) return nearest.error();
    nearest_ = std::move(*nearest);
    auto linear = make_sampler(device_, VK_FILTER_LINEAR, VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE);
    if (!linear) return linear.error();
    linear_ = std::move(*linear);
    auto wrapping = make_sampler(device_, VK_FILTER_LINEAR, VK_SAMPLER_ADDRESS_MODE_REPEAT);
    if (!wrapping) return wrapping.error();
    wrapping_ = std::move(*wrapping);

    const std::array samplers{nearest_.address(), linear_.address(), wrapping_.address()};
    std::array<VkDescriptorSetLayoutBinding, 3> bindings{};
    for (std::uint32_t i = 0; i < bindings.size(); ++i) {
        bindings[i].binding = i;
        bindings[i].descriptorType = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER;
        bindings[i].descriptorCount = 1;
        bindings[i].stageFlags = VK_SHADER_STAGE_FRAGMENT_BIT;
        bindings[i].pImmutableSamplers = samplers[i];
    }
    auto made = make_bindings(device_, bindings,
                              {VK_SHADER_STAGE_FRAGMENT_BIT, 0, sizeof(Constants)}, "view");
    if (!made) return made.error();
    bindings_ = std::move(*made);
    device_.name(VK_OBJECT_TYPE_SAMPLER, nearest_.get(), "view: nearest");
    device_.name(VK_OBJECT_TYPE_SAMPLER, linear_.get(), "view: linear");
    device_.name(VK_OBJECT_TYPE_SAMPLER, wrapping_.get(), "view: linear, wrapping");
    return {};
}

Result<void> View::make_pipelines(VkRenderPass pass) {
    auto vertex = make_shader(device_, kVertexCode, "view");
    if (!vertex) return vertex.error();
    auto fragment = make_shader(device_, kFragmentCode, "view");
    if (!fragment) return fragment.error();

    std::array<VkPipelineShaderStageCreateInfo, 2> stages{};
    stages[0].sType = stages[1].sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
    stages[0].stage = VK_SHADER_STAGE_VERTEX_BIT;
    stages[0].module = vertex->get();
    stages[0].pName = "main";
    stages[1].stage = VK_SHADER_STAGE_FRAGMENT_BIT;
    stages[1].module = fragment->get();
    stages[1].pName = "main";
    constexpr std::array<std::uint32_t, 6> kParts{kGround, kShadow,     kExact,
                                                  kSmooth, kExactTiled, kSmoothTiled};
    constexpr VkSpecializationMapEntry kPartEntry{0, 0, sizeof(std::uint32_t)};

    for (std::size_t i = 0; i < kParts.size(); ++i) {
        const VkSpecializationInfo part{1, &kPartEntry, sizeof(std::uint32_t), &kParts[i]};
        stages[1].pSpecializationInfo = &part;
        auto pipeline = make_pipeline(device_, stages, bindings_.layout.get(), pass);
        if (!pipeline) return pipeline.error();
        pipelines_[i] = std::move(*pipeline);
        device_.name(VK_OBJECT_TYPE_PIPELINE, pipelines_[i].get(),
                     fmt::format("view: {}", kPartNames.at(kParts[i])));
    }
    return {};
}

Result<void> View::make_picture(std::uint32_t width, std::uint32_t height) {
    constexpr std::array kFormats{kExactFormat, kSmoothFormat};
    auto image = make_image(device_, width, height, kFormats,
                            VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT);
    if (!image) return image.error();
    auto exact = make_view(device_, image->image.get(), kExactFormat, VK_IMAGE_USAGE_SAMPLED_BIT);
    if (!exact) return exact.error();
    auto smooth = make_view(device_, image->image.get(), kSmoothFormat, VK_IMAGE_USAGE_SAMPLED_BIT);
    if (!smooth) return smooth.error();

    // Frames under way still read the old picture. Sizes change rarely, so waiting is cheap.
    if (auto idle = device_.wait_idle(); !idle) return idle;
    exact_view_ = std::move(*exact);
    smooth_view_ = std::move(*smooth);
    picture_ = std::move(*image);
    picture_is_new_ = true;
    device_.name(VK_OBJECT_TYPE_IMAGE, picture_.image.get(), "view: picture");
    device_.name(VK_OBJECT_TYPE_IMAGE_VIEW, exact_view_.get(), "view: picture, exact");
    device_.name(VK_OBJECT_TYPE_IMAGE_VIEW, smooth_view_.get(), "view: picture, smooth");
    write_descriptors();
    return {};
}

void View::write_descriptors() {
    std::array<VkDescriptorImageInfo, 3> images{};
    std::array<VkWriteDescriptorSet, 3> writes{};
    for (std::uint32_t i = 0; i < writes.size(); ++i) {
        images[i].imageView = i == 0 ? exact_view_.get() : smooth_view_.get();
        images[i].imageLayout = VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL;
        writes[i].sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
        writes[i].dstSet = bindings_.set;
        writes[i].dstBinding = i;
        writes[i].descriptorCount = 1;
        writes[i].descriptorType = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER;
        writes[i].pImageInfo = &images[i];
    }
    device_.table().vkUpdateDescriptorSets(device_.get(), writes.size(), writes.data(), 0, nullptr);
}

Result<void> View::update(VkCommandBuffer commands, const std::optional<RingFrame> &frame) {
    if (frame && (frame->width != picture_.width || frame->height != picture_.height)) {
        if (auto made = make_picture(frame->width, frame->height); !made) return made;
    }
    const VkImage image = picture_.image.get();
    if (!frame && !picture_is_new_) return {};
    const DebugLabel label(device_, commands, "view: new picture");
    if (frame) {
        // After the last frame's reads; the ring's bytes are visible through the submission.
        record_barrier(device_, commands, image,
                       {.from_stage = VK_PIPELINE_STAGE_2_FRAGMENT_SHADER_BIT,
                        .to_stage = VK_PIPELINE_STAGE_2_COPY_BIT,
                        .to_access = VK_ACCESS_2_TRANSFER_WRITE_BIT,
                        .from_layout = VK_IMAGE_LAYOUT_UNDEFINED,
                        .to_layout = VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL});
        record_frame_taken(device_, commands, *frame);
        VkBufferImageCopy copy{};
        copy.bufferOffset = frame->offset_bytes;
        copy.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1};
        copy.imageExtent = {frame->width, frame->height, 1};
        device_.table().vkCmdCopyBufferToImage(commands, frame->pixels, image,
                                               VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, 1, &copy);
        record_frame_given_back(device_, commands, *frame);
        record_barrier(device_, commands, image,
                       {.from_stage = VK_PIPELINE_STAGE_2_COPY_BIT,
                        .from_access = VK_ACCESS_2_TRANSFER_WRITE_BIT,
                        .to_stage = VK_PIPELINE_STAGE_2_FRAGMENT_SHADER_BIT,
                        .to_access = VK_ACCESS_2_SHADER_SAMPLED_READ_BIT,
                        .from_layout = VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL,
                        .to_layout = VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL});
        info_ = frame->info;
    } else {
        record_barrier(device_, commands, image,
                       {.to_stage = VK_PIPELINE_STAGE_2_FRAGMENT_SHADER_BIT,
                        .to_access = VK_ACCESS_2_SHADER_SAMPLED_READ_BIT,
                        .to_layout = VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL});
    }
    picture_is_new_ = false;
    return {};
}

void View::draw(VkCommandBuffer commands, VkExtent2D target, const ViewRegion &region,
                const ViewTransform &transform, const ViewLook &look) const {
    const PixelRect all{0, 0, static_cast<std::int32_t>(target.width),
                        static_cast<std::int32_t>(target.height)};
    const PixelRect room = intersect(all, covered(region.x, region.y, region.width, region.height));
    if (room.empty()) return;

    const Constants constants = constants_of(transform, look, static_cast<float>(picture_.width),
                                             static_cast<float>(picture_.height));
    const DebugLabel label(device_, commands, "view");
    const VolkDeviceTable &vk = device_.table();
    const VkViewport viewport{
        0, 0, static_cast<float>(target.width), static_cast<float>(target.height), 0, 1};
    vk.vkCmdSetViewport(commands, 0, 1, &viewport);
    record_bindings(device_, commands, VK_PIPELINE_BIND_POINT_GRAPHICS, bindings_, &constants);
    const auto draw_part = [&](ViewPart part, const PixelRect &where) {
        const PixelRect visible = intersect(where, room);
        if (visible.empty()) return;
        const VkRect2D scissor{{visible.left, visible.top},
                               {static_cast<std::uint32_t>(visible.right - visible.left),
                                static_cast<std::uint32_t>(visible.bottom - visible.top)}};
        vk.vkCmdSetScissor(commands, 0, 1, &scissor);
        vk.vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_GRAPHICS, pipelines_[part].get());
        vk.vkCmdDraw(commands, 3, 1, 0, 0);
    };

    if (look.checker) draw_part(kGround, room); // plain ground is the pass's clear colour
    if (!has_picture()) return;
    const PixelRect picture = covered(constants.all_origin[0], constants.all_origin[1],
                                      constants.all_size[0], constants.all_size[1]);
    if (look.shadow_radius > 0) {
        const PixelRect outer = grown(picture, static_cast<std::int32_t>(look.shadow_radius));
        draw_part(kShadow, {outer.left, outer.top, outer.right, picture.top});
        draw_part(kShadow, {outer.left, picture.bottom, outer.right, outer.bottom});
        draw_part(kShadow, {outer.left, picture.top, picture.left, picture.bottom});
        draw_part(kShadow, {picture.right, picture.top, outer.right, picture.bottom});
    }
    if (look.tiles > 1) {
        draw_part(look.smooth ? kSmoothTiled : kExactTiled, picture);
    } else {
        draw_part(look.smooth ? kSmooth : kExact, picture);
    }
}

} // namespace tessera
