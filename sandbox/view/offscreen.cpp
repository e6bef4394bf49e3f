#include "sandbox/view/offscreen.hpp"

#include "vulkan/result.hpp"

#include <cstring>
#include <utility>

namespace tessera {

Result<VulkanHandle<VkFramebuffer>> make_framebuffer(const VulkanDevice &device, VkRenderPass pass,
                                                     VkImageView view, VkExtent2D extent) {
    VkFramebufferCreateInfo info{VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO};
    info.renderPass = pass;
    info.attachmentCount = 1;
    info.pAttachments = &view;
    info.width = extent.width;
    info.height = extent.height;
    info.layers = 1;
    VkFramebuffer framebuffer = VK_NULL_HANDLE;
    const VkResult result =
        device.table().vkCreateFramebuffer(device.get(), &info, nullptr, &framebuffer);
    if (result < 0) return vulkan_error(result, "vkCreateFramebuffer");
    return device.own(framebuffer, device.table().vkDestroyFramebuffer);
}

Result<std::unique_ptr<Offscreen>> Offscreen::create(VulkanDevice &device, std::uint32_t width,
                                                     std::uint32_t height, VkFormat format) {
    if (format != VK_FORMAT_R8G8B8A8_UNORM && format != VK_FORMAT_B8G8R8A8_UNORM) {
        return make_error(Status::kUnsupported,
                          "offscreen target of Vulkan format {}; RGBA8 or BGRA8 UNORM is needed",
                          static_cast<int>(format));
    }
    const std::uint32_t limit = device.properties().limits.maxFramebufferWidth;
    if (width == 0 || height == 0 || width > limit || height > limit) {
        return make_error(Status::kInvalidArgument,
                          "offscreen target of {} x {} pixels: both must be between 1 and {}",
                          width, height, limit);
    }
    auto target = std::unique_ptr<Offscreen>(new Offscreen(device));
    constexpr VkImageUsageFlags kUsage =
        VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT;
    auto image = make_image(device, width, height, std::span(&format, 1), kUsage);
    if (!image) return image.error();
    target->image_ = std::move(*image);
    auto view = make_view(device, target->image_.image.get(), format, kUsage);
    if (!view) return view.error();
    target->view_ = std::move(*view);
    auto pass = Renderer::make_pass(device, format, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL);
    if (!pass) return pass.error();
    target->pass_ = std::move(*pass);
    auto framebuffer =
        make_framebuffer(device, target->pass_.get(), target->view_.get(), {width, height});
    if (!framebuffer) return framebuffer.error();
    target->framebuffer_ = std::move(*framebuffer);
    auto pixels = make_mapped_buffer(device, VkDeviceSize{width} * height * 4,
                                     VK_BUFFER_USAGE_TRANSFER_DST_BIT, true);
    if (!pixels) return pixels.error();
    target->pixels_ = std::move(*pixels);
    device.name(VK_OBJECT_TYPE_IMAGE, target->image_.image.get(), "offscreen");
    device.name(VK_OBJECT_TYPE_IMAGE_VIEW, target->view_.get(), "offscreen");
    device.name(VK_OBJECT_TYPE_FRAMEBUFFER, target->framebuffer_.get(), "offscreen");
    device.name(VK_OBJECT_TYPE_BUFFER, target->pixels_.buffer.get(), "offscreen: read back");
    return target;
}

RenderTarget Offscreen::target() const {
    return {pass_.get(), framebuffer_.get(), {image_.width, image_.height}};
}

void Offscreen::record_copy(VkCommandBuffer commands) const {
    const VolkDeviceTable &vk = device_.table();
    VkBufferImageCopy copy{};
    copy.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1};
    copy.imageExtent = {image_.width, image_.height, 1};
    vk.vkCmdCopyImageToBuffer(commands, image_.image.get(), VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL,
                              pixels_.buffer.get(), 1, &copy);
    record_barrier(device_, commands, kCopyToHost);
}

Result<Image> Offscreen::draw(Renderer &renderer, const Scene &scene) {
    auto drawn = renderer.draw(target(), scene, {},
                               [this](VkCommandBuffer commands) { record_copy(commands); });
    if (!drawn) return drawn.error();
    if (auto finished = renderer.finish(); !finished) return finished.error();
    Image image{image_.width, image_.height, 4, {}};
    image.pixels.resize(pixels_.bytes.size());
    std::memcpy(image.pixels.data(), pixels_.bytes.data(), image.pixels.size());
    if (image_.format == VK_FORMAT_B8G8R8A8_UNORM) {
        for (std::size_t i = 0; i < image.pixels.size(); i += 4) {
            std::swap(image.pixels[i], image.pixels[i + 2]);
        }
    }
    return image;
}

} // namespace tessera
