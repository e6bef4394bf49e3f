#include "sandbox/app/app.hpp"

#include "assets/image/picture_format.hpp"
#include "assets/image_resize.hpp"
#include "compute/registry.hpp"
#include "core/log.hpp"
#include "core/trace.hpp"
#include "host/plugin/services.hpp"
#include "sandbox/view/scene_key.hpp"

#include <tessera/values/clock.hpp>

#include <algorithm>
#include <chrono>
#include <thread>
#include <tuple>

#include <imgui.h>

namespace tessera {
namespace {

constexpr VkFormat kOffscreenFormat = VK_FORMAT_B8G8R8A8_UNORM;

using values::monotonic_us;

void sleep_until_us(std::uint64_t time_us) {
    std::this_thread::sleep_until(
        std::chrono::steady_clock::time_point(std::chrono::microseconds(time_us)));
}

// Moves a result's value into `target`, or returns its error.
template <class T>
Result<void> assign(T &target, Result<T> made) {
    if (!made) return made.error();
    target = std::move(*made);
    return {};
}

// One core is left to the window: on two cores a second compute thread, even of low priority,
// doubles the slowest frames and hardly speeds up generation.
std::uint32_t threads_for_a_smooth_window() {
    const std::uint32_t cores = std::thread::hardware_concurrency();
    return cores > 2 ? cores - 1 : 1;
}

using Paths = std::vector<std::filesystem::path>;

float pixels_per_unit() {
    const float pixels = ImGui::GetIO().DisplayFramebufferScale.x;
    return pixels > 0 ? pixels : 1;
}

// Pictures that could not be written at the end are refused at the start.
Result<void> check_names(const Script &script) {
    for (const ScriptAction &action : script.actions) {
        const bool saves = action.kind == ScriptAction::Kind::kSaveView ||
                           action.kind == ScriptAction::Kind::kSaveImage;
        if (!saves) continue;
        const auto format = format_to_write(action.text);
        if (!format) return script_error(script, action, format.error().message);
    }
    return {};
}

} // namespace

App::App(AppOptions options) : options_(std::move(options)), pacer_(options_.fps) {}

App::~App() {
    canvas_.reset();
    control_.reset(); // the worker stops before the ring goes
    if (device_) static_cast<void>(device_->wait_idle());
}

Result<std::unique_ptr<App>> App::create(AppOptions options) {
    std::optional<ScriptRunner> script;
    if (!options.script.empty()) {
        auto loaded = load_script(options.script);
        if (!loaded) return loaded.error();
        if (auto checked = check_names(*loaded); !checked) return checked.error();
        script.emplace(std::move(*loaded));
        options.offscreen = true;
        options.play_at_start = false;
    }
    auto app = std::unique_ptr<App>(new App(std::move(options)));
    app->script_ = std::move(script);
    if (auto opened = app->open_graphics(); !opened) return opened.error();
    if (auto opened = app->open_player(); !opened) return opened.error();
    return app;
}

Result<void> App::open_graphics() {
    const auto width = static_cast<int>(options_.width);
    const auto height = static_cast<int>(options_.height);
    if (!options_.offscreen) {
        auto opened = assign(window_, Window::create("Tessera", width, height));
        if (!opened) return opened;
    }
    scale_ = wanted_scale();
    VulkanInstanceConfig instance_config;
    instance_config.validation = options_.validation;
    if (window_) instance_config.extensions = window_->vulkan_extensions();
    if (auto made = assign(instance_, VulkanInstance::create(instance_config)); !made) return made;
    if (window_) {
        if (auto made = assign(surface_, window_->make_surface(instance_->get())); !made)
            return made;
    }
    auto device =
        VulkanDevice::create(*instance_, {.surface = surface_.get(), .wanted = options_.device});
    if (auto made = assign(device_, std::move(device)); !made) return made;
    if (auto made = assign(renderer_, Renderer::create(*device_)); !made) return made;

    VkRenderPass pass = VK_NULL_HANDLE;
    if (window_) {
        auto swapchain = Swapchain::create(*device_, surface_.get(), window_->pixels());
        if (auto made = assign(swapchain_, std::move(swapchain)); !made) return made;
        pass = swapchain_->pass();
    } else {
        auto target =
            Offscreen::create(*device_, options_.width, options_.height, kOffscreenFormat);
        if (auto made = assign(offscreen_, std::move(target)); !made) return made;
        pass = offscreen_->target().pass;
    }
    if (auto made = assign(ring_, LiveRing::create(*device_, options_.make_writer)); !made)
        return made;
    if (auto made = assign(pane_, Pane::create(*device_, pass)); !made) return made;
    if (auto made = assign(pinned_pane_, Pane::create(*device_, pass)); !made) return made;
    recorded_ = std::make_unique<RecordingTarget>(*ring_, PlayControl::kBytes);
    material_ =
        std::make_unique<MaterialWorker>(*instance_, options_.device, PlanCache::default_folder());
    return rescale(scale_);
}

float App::wanted_scale() const {
    if (options_.scale > 0) return options_.scale;
    return window_ ? window_->content_scale() : 1;
}

Result<void> App::rescale(float scale) {
    scale_ = scale;
    shown_key_.reset();
    imgui_.reset(); // one context per process
    GLFWwindow *const glfw = window_ ? window_->glfw() : nullptr;
    const VkRenderPass pass = window_ ? swapchain_->pass() : offscreen_->target().pass;
    return assign(imgui_, ImGuiLayer::create(*device_, *renderer_, pass, glfw, scale_));
}

Result<void> App::open_player() {
    // A backend that was asked for must be there; the player would only say so later.
    if (auto found = Compute::find(options_.backend.empty() ? "best" : options_.backend); !found)
        return found;
    auto host = Host::create({.program = "tessera-sandbox",
                              .plugin_dirs = options_.plugin_dirs,
                              .model_dirs = options_.model_dirs});
    const auto preset = settle_options(options_, *host);
    if (!preset) return preset.error();
    if (options_.seed) options_.play.seed = *options_.seed;
    PlayerConfig config;
    config.plugin = options_.plugin;
    config.model = options_.model;
    config.backend = options_.backend;
    config.precision = options_.precision;
    config.threads = options_.threads > 0 ? options_.threads : threads_for_a_smooth_window();
    config.frames = recorded_.get();
    config.store = &recorded_->store();
    config.restart_on_change = false; // PlayControl decides that
    config.share = 0.01 * options_.share;
    config.host = std::move(host);
    auto player = Player::create(std::move(config));
    if (!player) return player.error();
    const auto unknown = set_values(
        *preset, options_, [&](std::string_view json) { return (*player)->load_values(json); },
        [&](std::string_view key, std::string_view text) {
            return (*player)->set_text(key, text);
        });
    if (!unknown) return unknown.error();
    control_ =
        std::make_unique<PlayControl>(std::move(*player), *recorded_, monotonic_us, options_.play);
    editor_ = std::make_unique<Editor>(*control_);
    canvas_ = std::make_unique<CanvasView>(*control_);
    presets_ = std::make_unique<PresetShelf>(
        options_.preset_dir.empty() ? PresetShelf::default_folder() : options_.preset_dir);
    if (options_.play_at_start) control_->play();
    if (!unknown->empty()) {
        control_->report(fmt::format("{}: {} has no {}", options_.preset.string(),
                                     control_->player().info().name, fmt::join(*unknown, ", ")));
    }
    return {};
}

VkExtent2D App::extent() const {
    return window_ ? swapchain_->extent() : offscreen_->target().extent;
}

Result<void> App::run() {
    while (!finished_) {
        if (auto drawn = frame(); !drawn) return drawn;
    }
    return {};
}

// A frame during which generating began or ended counts as neither.
void App::note_frame_time(std::uint64_t start_us) {
    const bool busy = control_->busy();
    if (last_start_us_ != 0) {
        const std::uint64_t duration_us = start_us - last_start_us_;
        frames_.all.push(duration_us);
        if (busy == was_busy_) (busy ? frames_.generating : frames_.idle).push(duration_us);
    }
    last_start_us_ = start_us;
    was_busy_ = busy;
}

Result<void> App::frame() {
    sleep_until_us(pacer_.next_start_us(monotonic_us()));
    if (window_) {
        window_->poll();
        const VkExtent2D pixels = window_->pixels();
        if (pixels.width == 0 || pixels.height == 0) { // minimised: nothing to draw, news go on
            window_->wait(0.05);
            control_->update();
            last_start_us_ = 0;
            finished_ = window_->should_close();
            return {};
        }
        if (pixels.width != extent().width || pixels.height != extent().height) {
            must_rebuild_ = true;
        }
        if (const float scale = wanted_scale(); scale != scale_) { // dragged to another monitor
            if (auto rescaled = rescale(scale); !rescaled) return rescaled;
        }
        if (window_->take_refresh()) shown_key_.reset();
    }
    const trace::Span span("frame");
    const std::uint64_t start_us = monotonic_us();
    note_frame_time(start_us);

    control_->update();
    for (const auto &path : window_ ? window_->take_dropped() : Paths()) {
        if (auto opened = open_dropped(path); !opened) control_->report(opened.error().message);
    }
    if (script_) {
        if (auto played = script_->before_frame(*this); !played) return played;
        finished_ = script_->finished();
    }
    canvas_->set_region(region());
    canvas_->update(start_us);
    build_interface();
    editor_->update(start_us);
    if (auto chosen = choose_picture(); !chosen) return chosen;
    if (auto drawn = draw(); !drawn) return drawn;
    ++frame_count_;
    if (auto taken = take_screenshot_when_due(); !taken) return taken;
    if (window_ && window_->should_close()) finished_ = true;
    if (options_.frame_limit > 0 && frame_count_ >= options_.frame_limit) finished_ = true;
    return {};
}

namespace {

constexpr const char *kTakenAsBlack = ": its transparent parts are taken as black";

Result<Image> read_opaque(const std::filesystem::path &path, bool &had_alpha) {
    auto image = read_image(path, 4);
    if (image) had_alpha = lay_over_black(*image);
    return image;
}

} // namespace

Result<void> App::open_file(const std::filesystem::path &path) {
    if (path.extension() == ".json" || path.extension() == ".JSON") {
        auto preset = load_preset(path);
        if (!preset) return preset.error();
        auto applied = control_->apply(*preset);
        if (applied) return applied;
        return make_error(applied.error().status, "{}: {}", path.string(), applied.error().message);
    }
    bool had_alpha = false;
    auto image = read_opaque(path, had_alpha);
    if (!image) return image.error();
    auto started = editor_->start_from(*image);
    if (started && had_alpha) control_->report(path.string() + kTakenAsBlack);
    return started;
}

Result<void> App::open_style(const std::filesystem::path &path) {
    bool had_alpha = false;
    auto image = read_opaque(path, had_alpha);
    if (!image) return image.error();
    auto taken = control_->set_style(
        {std::make_shared<const Image>(std::move(*image)), path.filename().string()});
    if (taken && had_alpha) control_->report(path.string() + kTakenAsBlack);
    return taken;
}

// Where it fell decides what a picture is for.
Result<void> App::open_dropped(const std::filesystem::path &path) {
    const float panel = panel_width(scale_);
    const bool is_preset = path.extension() == ".json" || path.extension() == ".JSON";
    const bool on_panel = ImGui::GetIO().MousePos.x < panel && ImGui::GetIO().MousePos.x >= 0;
    return on_panel && !is_preset && control_->takes_style() ? open_style(path) : open_file(path);
}

void App::build_interface() {
    const trace::Span span("frame: interface");
    const float elapsed_s = frames_.all.size() > 0
                                ? static_cast<float>(frames_.all.at(frames_.all.size() - 1)) * 1e-6F
                                : 0;
    imgui_->begin_frame(extent(), elapsed_s);
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
    imgui_->end_frame();
}

PanelContext App::panel_context() {
    PanelContext context;
    context.control = control_.get();
    context.editor = editor_.get();
    context.canvas = canvas_.get();
    context.presets = presets_.get();
    context.material = material_.get();
    context.state = &panel_;
    context.transform = &transform_;
    context.look = &look_;
    context.view = &pane_->view();
    context.frames = &frames_;
    context.graphics_device = device_->properties().deviceName;
    context.scale = scale_;
    context.to_pixels = pixels_per_unit();
    std::tie(context.region, context.pinned_region) = halves();
    return context;
}

namespace {

FrameInfo info_of(const RunRecord &run, const RunStep &step) {
    return {.step = step.step,
            .total_steps = run.total_steps,
            .final = step.step == run.total_steps,
            .job = run.job};
}

} // namespace

// Of a recorded step: the picture, or its latents when those are looked at and were kept.
std::shared_ptr<const Image> App::picture_of(const RunRecord &run, const RunStep &step,
                                             LatentPainter &painter) const {
    if (!panel_.show_latents || step.latents == nullptr) return step.picture;
    return painter.paint(run, step, panel_.latents, step.picture->width, step.picture->height);
}

// All that is looked at of a recorded step is on the host. The colours of latents are those of the
// run's last step.
bool App::fetch(const RunRecord &run, const RunStep &step) {
    const bool is_there = control_->fetch(run.job, step.step);
    const RunStep *const last = run.last_picture();
    if (!panel_.show_latents || !run.ended || last == nullptr) return is_there;
    return control_->fetch(run.job, last->step) && is_there;
}

// Live, the pane takes what the generator publishes; else what was recorded of the step that the
// editor wants.
Result<void> App::choose_picture() {
    if (canvas_->is_on()) return choose_canvas();
    const RunRecord *const run = editor_->run();
    const RunStep *const step = editor_->step();
    const bool has_record = step != nullptr && step->has_picture();
    const bool maps = has_record && panel_.material.is_active();
    const bool live = editor_->is_live() && !panel_.show_latents && !maps;
    // Back to the live run: first what the pane missed of it.
    const bool catches_up = live && shows_record_ && has_record;
    if (live && !catches_up) {
        pane_->follow(ring_->current());
    } else if (has_record && !fetch(*run, *step)) {
        return choose_pinned_picture(); // what was shown stays until it is read
    } else if (maps) {
        if (auto chosen = choose_map(*run, *step); !chosen) return chosen;
    } else if (has_record) {
        auto shown = pane_->show(picture_of(*run, *step, painter_), info_of(*run, *step));
        if (!shown) return shown;
    }
    shows_record_ = !live;
    return choose_pinned_picture();
}

void App::pan_by(float screen_x, float screen_y) {
    if (canvas_->is_on()) return canvas_->pan_by(screen_x, screen_y);
    transform_.pan_by(screen_x, screen_y);
}

Result<void> App::choose_canvas() {
    shows_record_ = true; // and the live run comes back when the canvas goes
    canvas_transform_ = canvas_->transform();
    return pane_->show(canvas_->picture(), {});
}

MaterialRequest App::wanted_map(const RunRecord &run, const RunStep &step) const {
    return {.map = panel_.material.map,
            .settings = panel_.material.options.maps,
            .picture = step.picture,
            .latents = step.latents,
            .channel = panel_.material.channel,
            .info = info_of(run, step)};
}

// The newest map of this run that is there; the wanted one comes with a later frame. When it could
// not be made the picture is shown.
Result<void> App::choose_map(const RunRecord &run, const RunStep &step) {
    material_->want(wanted_map(run, step));
    const MaterialResult made = material_->newest();
    if (!made.error.empty()) return pane_->show(step.picture, info_of(run, step));
    const bool is_of_this_run = made.picture != nullptr && made.info.job == run.job;
    return pane_->show(is_of_this_run ? made.picture : nullptr, made.info);
}

bool App::has_wanted_map() {
    const RunRecord *const run = editor_->run();
    const RunStep *const step = editor_->step();
    if (step == nullptr || !step->has_picture()) return true;
    if (!fetch(*run, *step)) return false;
    if (!panel_.material.is_active()) return true;
    material_->want(wanted_map(*run, *step));
    return !material_->busy();
}

void App::export_shown(const std::filesystem::path &folder) {
    export_material(panel_context(), folder);
}

Result<void> App::choose_pinned_picture() {
    const RunRecord *const run = editor_->pinned();
    const RunStep *const step = editor_->pinned_step();
    if (step == nullptr || !editor_->fetch_pinned()) return {};
    return pinned_pane_->show(picture_of(*run, *step, pinned_painter_), info_of(*run, *step));
}

// A clear costs nothing; blending the panel's background over every pixel does, without a GPU.
void App::clear_panel(VkCommandBuffer commands, float width) const {
    const ImVec4 &colour = ImGui::GetStyle().Colors[ImGuiCol_WindowBg];
    VkClearAttachment clear{};
    clear.aspectMask = VK_IMAGE_ASPECT_COLOR_BIT;
    clear.clearValue.color = {{colour.x, colour.y, colour.z, 1}};
    const VkClearRect rect{{{0, 0}, {static_cast<std::uint32_t>(width), extent().height}}, 0, 1};
    device_->table().vkCmdClearAttachments(commands, 1, &clear, 1, &rect);
}

ViewRegion App::region() const {
    // The panel's width is in window units; the picture gets the pixels next to it.
    const VkExtent2D pixels = extent();
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
    scene.view = &pane_->view();
    scene.ring = &pane_->ring();
    scene.region = first;
    scene.transform = &transform_;
    scene.look = look_;
    if (canvas_->is_on()) {
        scene.transform = &canvas_transform_;
        scene.look.tiles = 1;
        scene.look.shadow_radius = 0;
    } else if (editor_->pinned() != nullptr) {
        scene.pinned =
            ScenePicture{&pinned_pane_->view(), &pinned_pane_->ring(), second, transform_};
    }
    scene.overlay = [this, left = region().x](VkCommandBuffer commands) {
        clear_panel(commands, left);
        imgui_->record(commands);
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
    if (auto slot = renderer_->wait_for_slot(); !slot) return slot.error();
    return renderer_->draw(offscreen_->target(), next, {}, {});
}

Result<void> App::draw_in_window(const Scene &next) {
    const auto slot = renderer_->wait_for_slot();
    if (!slot) return slot.error();
    auto acquired = swapchain_->acquire(*slot);
    if (!acquired) { // the surface is gone
        log::warning("window", "{}", acquired.error().message);
        return rebuild_swapchain();
    }
    if (const auto *const missed = std::get_if<Swapchain::Missed>(&*acquired)) {
        must_rebuild_ = *missed == Swapchain::Missed::kOutdated;
        shown_key_.reset();
        return {};
    }
    const auto &image = std::get<Swapchain::Acquired>(*acquired);
    if (auto drawn = renderer_->draw(image.target, next, image.semaphores, {}); !drawn) {
        return drawn;
    }
    const auto presented = swapchain_->present(image);
    if (!presented) {
        log::warning("window", "{}", presented.error().message);
        return rebuild_swapchain();
    }
    if (!*presented) must_rebuild_ = true;
    return {};
}

Result<void> App::rebuild_swapchain() {
    must_rebuild_ = false;
    shown_key_.reset();
    if (auto rebuilt = swapchain_->rebuild(window_->pixels()); rebuilt) return rebuilt;
    // The surface may be lost: a new one, once.
    swapchain_.reset();
    surface_ = Surface();
    if (auto made = assign(surface_, window_->make_surface(instance_->get())); !made) return made;
    return assign(swapchain_, Swapchain::create(*device_, surface_.get(), window_->pixels()));
}

Result<Image> App::capture() {
    if (auto idle = renderer_->finish(); !idle) return idle.error();
    const VkExtent2D size = extent();
    const VkFormat format = window_ ? swapchain_->format() : kOffscreenFormat;
    auto target = Offscreen::create(*device_, size.width, size.height, format);
    if (!target) return target.error();
    return (*target)->draw(*renderer_, scene());
}

Result<Image> App::capture_window() {
    control_->update(); // the panel shows the same step as the picture
    editor_->update(monotonic_us());
    if (auto chosen = choose_picture(); !chosen) return chosen.error();
    if (auto drawn = draw(); !drawn) return drawn.error();
    build_interface();
    return capture();
}

std::shared_ptr<const Image> App::shown_picture() const {
    if (canvas_->is_on()) {
        auto visible = std::make_shared<const Image>(canvas_->visible());
        return visible->pixels.empty() ? nullptr : visible;
    }
    const auto &shown = pane_->view().info();
    const RunRecord *const run = shown ? control_->history().find(shown->job) : nullptr;
    const RunStep *const step = run != nullptr ? run->find(shown->step) : nullptr;
    return step != nullptr ? step->picture : nullptr;
}

Result<void> App::take_screenshot_when_due() {
    if (options_.screenshot.empty() || screenshot_taken_) return {};
    const auto &shown = pane_->view().info();
    const bool due = options_.screenshot_step > 0 ? shown && shown->step >= options_.screenshot_step
                                                  : shown && shown->final;
    const bool failed = control_->stats().failed > 0;
    if (failed) return make_error(Status::kFailed, "no screenshot: {}", control_->problem());
    if (!due) return {};
    screenshot_taken_ = true;
    auto image = capture_window();
    if (!image) return image.error();
    if (auto written = write_image(options_.screenshot, *image); !written) return written;
    if (options_.exit_after_screenshot) finished_ = true;
    return {};
}

std::vector<std::string> App::validation_messages() const {
    return instance_ ? instance_->validation_messages() : std::vector<std::string>();
}

} // namespace tessera
