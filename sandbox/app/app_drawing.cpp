// What is on the screen: surface, interface, regions, and frames that are drawn only when they
// differ.
#include "sandbox/app/app.hpp"

#include "core/log.hpp"
#include "core/trace.hpp"
#include "sandbox/view/scene_key.hpp"

#include <tessera/values/clock.hpp>

#include <algorithm>
#include <cmath>
#include <tuple>

#include <imgui.h>

namespace tessera {
namespace {

float pixels_per_unit() {
    const float pixels = ImGui::GetIO().DisplayFramebufferScale.x;
    return pixels > 0 ? pixels : 1;
}

} // namespace

Result<void> App::make_surface() {
    surface_ = Surface(); // a window has one at a time
    auto surface = window_->make_surface(instance_->get());
    if (!surface) return surface.error();
    surface_ = std::move(*surface);
    return {};
}

Result<void> App::open_graphics() {
    if (window_) {
        if (auto made = make_surface(); !made) return made;
    }
    auto graphics = Graphics::create({.instance = instance_.get(),
                                      .window = window_.get(),
                                      .surface = surface_.get(),
                                      .device = options_.device,
                                      .extent = {options_.width, options_.height},
                                      .scale = scale_,
                                      .make_writer = options_.make_writer});
    if (!graphics) return graphics.error();
    graphics_ = std::move(*graphics);
    return {};
}

float App::wanted_scale() const {
    if (options_.scale > 0) return options_.scale;
    return window_ ? window_->content_scale() : 1;
}

Result<void> App::rescale(float scale) {
    scale_ = scale;
    shown_key_.reset();
    return graphics_->rescale(scale);
}

void App::build_interface() {
    const trace::Span span("frame: interface");
    const float elapsed_s = frames_.all.size() > 0
                                ? static_cast<float>(frames_.all.at(frames_.all.size() - 1)) * 1e-6F
                                : 0;
    graphics_->interface->begin_frame(graphics_->extent(), elapsed_s);
    transform_.set_region(halves().first);
    const PanelContext context = panel_context();
    draw_panel(context);
    handle_view_input(context);
    handle_shortcuts(context);
    if (!canvas_->is_on()) {
        draw_marks(context);
        draw_overlay(context);
        draw_comparison(context);
    }
    graphics_->interface->end_frame();
}

PanelContext App::panel_context() {
    PanelContext context;
    context.host = host_.get();
    context.control = control_.get();
    context.editor = editor_.get();
    context.canvas = canvas_.get();
    context.presets = presets_.get();
    context.material = material_.get();
    context.state = &panel_;
    context.transform = &transform_;
    context.look = &look_;
    context.view = &graphics_->pane->view();
    context.frames = &frames_;
    context.graphics_device = graphics_->device->properties().deviceName;
    context.scale = scale_;
    context.to_pixels = pixels_per_unit();
    std::tie(context.region, context.pinned_region) = halves();
    return context;
}

// A clear costs nothing; blending the panel's background over every pixel does, without a GPU.
void App::clear_panel(VkCommandBuffer commands, float width) const {
    const ImVec4 &colour = ImGui::GetStyle().Colors[ImGuiCol_WindowBg];
    VkClearAttachment clear{};
    clear.aspectMask = VK_IMAGE_ASPECT_COLOR_BIT;
    clear.clearValue.color = {{colour.x, colour.y, colour.z, 1}};
    const VkClearRect rect{
        {{0, 0}, {static_cast<std::uint32_t>(width), graphics_->extent().height}}, 0, 1};
    graphics_->device->table().vkCmdClearAttachments(commands, 1, &clear, 1, &rect);
}

ViewRegion App::region() const {
    // The panel's width is in window units; the picture gets the pixels next to it.
    const VkExtent2D pixels = graphics_->extent();
    const float to_pixels = pixels_per_unit();
    const auto width = static_cast<float>(pixels.width);
    const auto height = static_cast<float>(pixels.height);
    const float left = std::min(panel_width(scale_) * to_pixels, width);
    const float below = timeline_height(scale_, height / to_pixels) * to_pixels;
    return {left, 0, width - left, height - below};
}

// Next to a pinned picture there is half the room; a line of pixels stays free between them.
std::pair<ViewRegion, ViewRegion> App::halves() const {
    const ViewRegion all = region();
    const bool two = editor_ != nullptr && editor_->pinned() != nullptr && !canvas_->is_on();
    if (!two) return {all, {}};
    const float half = std::floor((all.width - scale_) / 2);
    return {{all.x, all.y, half, all.height}, {all.x + all.width - half, all.y, half, all.height}};
}

Scene App::scene() {
    Scene scene;
    const auto [first, second] = halves();
    scene.view = &graphics_->pane->view();
    scene.ring = &graphics_->pane->ring();
    scene.region = first;
    scene.transform = &transform_;
    scene.look = look_;
    if (canvas_->is_on()) {
        scene.transform = &canvas_transform_;
        scene.look.tiles = 1;
        scene.look.shadow_radius = 0;
    } else if (editor_->pinned() != nullptr) {
        scene.pinned = ScenePicture{&graphics_->pinned->view(), &graphics_->pinned->ring(), second,
                                    transform_};
    }
    scene.overlay = [this, left = region().x](VkCommandBuffer commands) {
        clear_panel(commands, left);
        graphics_->interface->record(commands);
    };
    return scene;
}

// What is on the screen already is not drawn again: without a GPU that would take a core from the
// generator.
Result<void> App::draw() {
    if (must_rebuild_) { // first: the scene depends on its size
        if (auto rebuilt = rebuild_swapchain(); !rebuilt) return rebuilt;
    }
    const Scene next = scene();
    const std::uint64_t key = scene_key(next, ImGui::GetDrawData());
    const bool is_shown = options_.fps > 0 && shown_key_ == key && !has_new_picture(next);
    if (is_shown) return {};
    const trace::Span span("frame: draw");
    ++drawn_count_;
    shown_key_ = key;
    if (window_) return draw_in_window(next);
    if (auto slot = graphics_->renderer->wait_for_slot(); !slot) return slot.error();
    return graphics_->renderer->draw(graphics_->offscreen->target(), next, {}, {});
}

Result<void> App::draw_in_window(const Scene &next) {
    const auto slot = graphics_->renderer->wait_for_slot();
    if (!slot) return slot.error();
    Swapchain &swapchain = *graphics_->swapchain;
    auto acquired = swapchain.acquire(*slot);
    if (!acquired) return replace_surface(acquired.error());
    if (const auto *const missed = std::get_if<Swapchain::Missed>(&*acquired)) {
        must_rebuild_ = *missed == Swapchain::Missed::kOutdated;
        shown_key_.reset();
        return {};
    }
    const auto &image = std::get<Swapchain::Acquired>(*acquired);
    auto drawn = graphics_->renderer->draw(image.target, next, image.semaphores, {});
    if (!drawn) return drawn;
    const auto presented = swapchain.present(image);
    if (!presented) return replace_surface(presented.error());
    if (!*presented) must_rebuild_ = true;
    return {};
}

Result<void> App::rebuild_swapchain() {
    must_rebuild_ = false;
    shown_key_.reset();
    auto rebuilt = graphics_->swapchain->rebuild(window_->pixels());
    return rebuilt ? rebuilt : replace_surface(rebuilt.error());
}

// After a failure of the swapchain: its surface may be gone.
Result<void> App::replace_surface(const Error &problem) {
    if (graphics_->device->is_lost()) return problem;
    log::warning("window", "{}", problem.message);
    must_rebuild_ = false;
    shown_key_.reset();
    graphics_->swapchain.reset();
    if (auto made = make_surface(); !made) return made;
    return graphics_->open_swapchain(surface_.get());
}

Result<Image> App::capture() {
    if (auto idle = graphics_->renderer->finish(); !idle) return idle.error();
    const VkExtent2D size = graphics_->extent();
    auto target =
        Offscreen::create(*graphics_->device, size.width, size.height, graphics_->format());
    if (!target) return target.error();
    return (*target)->draw(*graphics_->renderer, scene());
}

Result<Image> App::capture_window() {
    control_->update(); // the panel shows the same step as the picture
    editor_->update(values::monotonic_us());
    if (auto chosen = choose_picture(); !chosen) return chosen.error();
    if (auto drawn = draw(); !drawn) return drawn.error();
    build_interface();
    return capture();
}

} // namespace tessera
