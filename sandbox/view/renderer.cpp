#include "sandbox/view/renderer.hpp"

#include "vulkan/debug_label.hpp"
#include "vulkan/result.hpp"

namespace tessera {

Result<std::unique_ptr<Renderer>> Renderer::create(VulkanDevice &device) {
    auto renderer = std::unique_ptr<Renderer>(new Renderer(device));
    for (Frame &frame : renderer->frames_) {
        const auto number = &frame - renderer->frames_.data();
        auto commands = Commands::create(device, fmt::format("renderer: frame {}", number));
        if (!commands) return commands.error();
        frame.commands = std::move(*commands);
    }
    auto done = device.make_timeline(0);
    if (!done) return done.error();
    renderer->done_ = std::move(*done);
    device.name(VK_OBJECT_TYPE_SEMAPHORE, renderer->done_.get(), "renderer: submissions done");
    return renderer;
}

Renderer::~Renderer() {
    // Nothing can be done about a failure here; the device is lost, and so is its work.
    static_cast<void>(device_.wait_idle());
}

Result<VulkanHandle<VkRenderPass>> Renderer::make_pass(const VulkanDevice &device, VkFormat format,
                                                       VkImageLayout final_layout) {
    VkAttachmentDescription colour{};
    colour.format = format;
    colour.samples = VK_SAMPLE_COUNT_1_BIT;
    colour.loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR;
    colour.storeOp = VK_ATTACHMENT_STORE_OP_STORE;
    colour.stencilLoadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE;
    colour.stencilStoreOp = VK_ATTACHMENT_STORE_OP_DONT_CARE;
    colour.initialLayout = VK_IMAGE_LAYOUT_UNDEFINED;
    colour.finalLayout = final_layout;
    const VkAttachmentReference reference{0, VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL};
    VkSubpassDescription subpass{};
    subpass.pipelineBindPoint = VK_PIPELINE_BIND_POINT_GRAPHICS;
    subpass.colorAttachmentCount = 1;
    subpass.pColorAttachments = &reference;

    // Before: the swapchain's image is available, or the last frame's copy of it is done.
    // After: the copy of an offscreen target.
    std::array<VkSubpassDependency, 2> dependencies{};
    dependencies[0].srcSubpass = VK_SUBPASS_EXTERNAL;
    dependencies[0].srcStageMask =
        VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    dependencies[0].dstStageMask = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT;
    dependencies[0].srcAccessMask = VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT;
    dependencies[0].dstAccessMask = VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT;
    dependencies[1].dstSubpass = VK_SUBPASS_EXTERNAL;
    dependencies[1].srcStageMask = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT;
    dependencies[1].dstStageMask = VK_PIPELINE_STAGE_TRANSFER_BIT;
    dependencies[1].srcAccessMask = VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT;
    dependencies[1].dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT;

    VkRenderPassCreateInfo info{VK_STRUCTURE_TYPE_RENDER_PASS_CREATE_INFO};
    info.attachmentCount = 1;
    info.pAttachments = &colour;
    info.subpassCount = 1;
    info.pSubpasses = &subpass;
    info.dependencyCount = dependencies.size();
    info.pDependencies = dependencies.data();
    VkRenderPass pass = VK_NULL_HANDLE;
    const VkResult result = device.table().vkCreateRenderPass(device.get(), &info, nullptr, &pass);
    if (result < 0) return vulkan_error(result, "vkCreateRenderPass");
    device.name(VK_OBJECT_TYPE_RENDER_PASS, pass, "renderer: colour");
    return device.own(pass, device.table().vkDestroyRenderPass);
}

Result<void> Renderer::wait_for(std::uint64_t value) {
    constexpr std::uint64_t kTimeoutNs = 10'000'000'000; // a device that is this late is gone
    const auto reached = device_.wait_for(done_.get(), value, kTimeoutNs);
    if (!reached) return reached.error();
    if (*reached) return {};
    return make_error(Status::kFailed, "the Vulkan device did not finish a frame in 10 s");
}

Result<std::uint32_t> Renderer::wait_for_slot() {
    if (auto waited = wait_for(frames_[current_].submitted); !waited) return waited.error();
    return current_;
}

Result<VkCommandBuffer> Renderer::begin() {
    Frame &frame = frames_[current_];
    if (auto waited = wait_for(frame.submitted); !waited) return waited.error();
    return frame.commands.begin();
}

Result<void> Renderer::submit(const PresentSemaphores &semaphores, const ReadFrames &frames) {
    Commands &commands = frames_[current_].commands;
    if (auto ended = commands.end(); !ended) return ended;
    std::array<VkSemaphoreSubmitInfo, 1 + std::tuple_size_v<ReadFrames>> waits{};
    std::size_t wait_count = 0;
    if (semaphores.image_available != VK_NULL_HANDLE) {
        waits[wait_count++] = semaphore_at(semaphores.image_available, 0,
                                           VK_PIPELINE_STAGE_2_COLOR_ATTACHMENT_OUTPUT_BIT);
    }
    std::array<VkSemaphoreSubmitInfo, 2 + std::tuple_size_v<ReadFrames>> signals{};
    std::size_t signal_count = 0;
    signals[signal_count++] =
        semaphore_at(done_.get(), submitted_ + 1, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT);
    if (semaphores.image_finished != VK_NULL_HANDLE) {
        signals[signal_count++] =
            semaphore_at(semaphores.image_finished, 0, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT);
    }
    for (const auto &read : frames) {
        if (!read) continue;
        if (read->frame.is_shared()) { // reached already: only makes the bytes visible
            waits[wait_count++] = semaphore_at(read->frame.ready, read->frame.ready_value,
                                               VK_PIPELINE_STAGE_2_COPY_BIT);
        }
        signals[signal_count++] =
            semaphore_at(read->ring->release_timeline(), read->frame.release_value,
                         VK_PIPELINE_STAGE_2_COPY_BIT);
    }
    auto submitted = device_.submit(commands.get(), std::span(waits).first(wait_count),
                                    std::span(signals).first(signal_count));
    if (!submitted) return submitted;
    frames_[current_].submitted = ++submitted_;
    current_ = (current_ + 1) % kFramesInFlight;
    return {};
}

namespace {

void draw_picture(VkCommandBuffer commands, VkExtent2D target, const View &view,
                  const ViewRegion &region, ViewTransform &transform, const ViewLook &look) {
    transform.set_region(region);
    transform.set_tiles(look.tiles);
    if (view.has_picture()) {
        transform.set_picture(static_cast<float>(view.width()), static_cast<float>(view.height()));
    }
    view.draw(commands, target, region, transform, look);
}

} // namespace

void Renderer::record_pass(VkCommandBuffer commands, const RenderTarget &target,
                           const Scene &scene) {
    VkClearValue clear{};
    clear.color = {
        {scene.look.background.red, scene.look.background.green, scene.look.background.blue, 1.0F}};
    VkRenderPassBeginInfo info{VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO};
    info.renderPass = target.pass;
    info.framebuffer = target.framebuffer;
    info.renderArea.extent = target.extent;
    info.clearValueCount = 1;
    info.pClearValues = &clear;
    const DebugLabel label(device_, commands, "renderer: pass");
    const VolkDeviceTable &vk = device_.table();
    vk.vkCmdBeginRenderPass(commands, &info, VK_SUBPASS_CONTENTS_INLINE);
    draw_picture(commands, target.extent, *scene.view, scene.region, *scene.transform, scene.look);
    if (scene.pinned) {
        ViewTransform transform = scene.pinned->transform;
        draw_picture(commands, target.extent, *scene.pinned->view, scene.pinned->region, transform,
                     scene.look);
    }
    if (scene.overlay) {
        const DebugLabel overlay(device_, commands, "renderer: overlay");
        scene.overlay(commands);
    }
    vk.vkCmdEndRenderPass(commands);
}

Result<void> Renderer::draw(const RenderTarget &target, const Scene &scene,
                            const PresentSemaphores &semaphores,
                            const std::function<void(VkCommandBuffer)> &after) {
    auto commands = begin();
    if (!commands) return commands.error();
    ReadFrames frames;
    auto read = update(*commands, *scene.view, scene.ring);
    if (!read) return read.error();
    frames[0] = *read;
    if (scene.pinned) {
        read = update(*commands, *scene.pinned->view, scene.pinned->ring);
        if (!read) {
            if (frames[0]) frames[0]->ring->drop(frames[0]->frame);
            return read.error();
        }
        frames[1] = *read;
    }
    record_pass(*commands, target, scene);
    if (after) {
        const DebugLabel label(device_, *commands, "renderer: after the pass");
        after(*commands);
    }
    auto submitted = submit(semaphores, frames);
    for (const auto &frame : frames) {
        if (!submitted && frame) frame->ring->drop(frame->frame); // nothing will read it
    }
    return submitted;
}

Result<std::optional<Renderer::ReadFrame>> Renderer::update(VkCommandBuffer commands, View &view,
                                                            FrameRing *ring) {
    const auto frame = ring != nullptr ? ring->take_newest() : std::nullopt;
    if (auto recorded = view.update(commands, frame); !recorded) {
        if (frame) ring->drop(*frame);
        return recorded.error();
    }
    if (!frame) return std::optional<ReadFrame>();
    return std::optional<ReadFrame>(ReadFrame{ring, *frame});
}

Result<void> Renderer::run_once(const std::function<void(VkCommandBuffer)> &record) {
    auto commands = begin();
    if (!commands) return commands.error();
    {
        const DebugLabel label(device_, *commands, "renderer: once");
        record(*commands);
    }
    if (auto submitted = submit({}, {}); !submitted) return submitted;
    return finish();
}

Result<void> Renderer::finish() { return wait_for(submitted_); }

} // namespace tessera
