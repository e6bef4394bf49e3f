#include "sandbox/app/app.hpp"

#include "assets/image/picture_format.hpp"
#include "assets/image_resize.hpp"
#include "compute/registry.hpp"
#include "core/log.hpp"
#include "core/trace.hpp"
#include "host/plugin/search.hpp"
#include "host/plugin/services.hpp"
#include "host/run/memory_frames.hpp"
#include "sandbox/app/rescue.hpp"
#include "sandbox/view/scene_key.hpp"

#include <tessera/values/clock.hpp>

#include <algorithm>
#include <chrono>
#include <thread>
#include <tuple>

#include <imgui.h>

namespace tessera {
namespace {

constexpr int kMostLosses = 3; // of the device, each within kLossMemoryUs of the one before
constexpr std::uint64_t kLossMemoryUs = 60'000'000;
constexpr std::uint64_t kLookEveryUs = 500'000;           // for a new build of the plugin
constexpr std::chrono::milliseconds kPauseForDriver{200}; // which may have to start again

using values::monotonic_us;

void sleep_until_us(std::uint64_t time_us) {
    std::this_thread::sleep_until(
        std::chrono::steady_clock::time_point(std::chrono::microseconds(time_us)));
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
    if (auto opened = app->open_window(); !opened) return opened.error();
    if (auto opened = app->open_player(); !opened) return opened.error();
    return app;
}

Result<void> App::open_window() {
    if (!options_.offscreen) {
        auto window = Window::create("Tessera", static_cast<int>(options_.width),
                                     static_cast<int>(options_.height));
        if (!window) return window.error();
        window_ = std::move(*window);
    }
    scale_ = wanted_scale();
    VulkanInstanceConfig config;
    config.validation = options_.validation;
    if (window_) config.extensions = window_->vulkan_extensions();
    auto instance = VulkanInstance::create(config);
    if (!instance) return instance.error();
    instance_ = std::move(*instance);
    if (auto opened = open_graphics(); !opened) return opened;
    const std::shared_ptr<FrameTarget> ring(graphics_, graphics_->ring.get());
    recorded_ = std::make_unique<RecordingTarget>(ring, PlayControl::kBytes);
    material_ =
        std::make_unique<MaterialWorker>(*instance_, options_.device, PlanCache::default_folder());
    return {};
}

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

Result<void> App::open_player() {
    // A backend that was asked for must be there; the player would only say so later.
    if (auto found = Compute::find(options_.backend.empty() ? "best" : options_.backend); !found)
        return found;
    host_ = Host::create({.program = "tessera-sandbox",
                          .plugin_dirs = options_.plugin_dirs,
                          .model_dirs = options_.model_dirs});
    const auto preset = settle_options(options_, *host_);
    if (!preset) return preset.error();
    if (options_.seed) options_.play.seed = *options_.seed;
    auto player = make_player(*recorded_, options_.plugin, options_.model);
    if (!player) return player.error();
    const auto unknown = set_values(
        *preset, options_, [&](std::string_view json) { return (*player)->load_values(json); },
        [&](std::string_view key, std::string_view text) {
            return (*player)->set_text(key, text);
        });
    if (!unknown) return unknown.error();
    take_player(std::move(*player), options_.play);
    presets_ = std::make_unique<PresetShelf>(
        options_.preset_dir.empty() ? PresetShelf::default_folder() : options_.preset_dir);
    if (options_.play_at_start) control_->play();
    if (!unknown->empty()) {
        control_->report(fmt::format("{}: {} has no {}", options_.preset.string(),
                                     control_->player().info().name, fmt::join(*unknown, ", ")));
    }
    return {};
}

Result<std::unique_ptr<Player>> App::make_player(RecordingTarget &recorded, std::string plugin,
                                                 std::string model) const {
    PlayerConfig config;
    config.plugin = std::move(plugin);
    config.model = std::move(model);
    config.backend = options_.backend;
    config.precision = options_.precision;
    config.threads = options_.threads > 0 ? options_.threads : threads_for_a_smooth_window();
    config.frames = &recorded;
    config.store = &recorded.store();
    config.jobs_before = control_ ? control_->last_job() : 0;
    config.restart_on_change = false; // PlayControl decides that
    config.share = 0.01 * options_.share;
    config.host = host_;
    return Player::create(std::move(config));
}

void App::take_player(std::unique_ptr<Player> player, const PlayOptions &play) {
    control_ = std::make_unique<PlayControl>(std::move(player), *recorded_, monotonic_us, play);
    editor_ = std::make_unique<Editor>(*control_);
    canvas_ = std::make_unique<CanvasView>(*control_);
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
    const auto done = turn();
    if (!graphics_->device->is_lost()) return done;
    return recover(done ? Error{Status::kFailed, "the Vulkan device is lost"} : done.error());
}

// The generator goes on meanwhile, and what is shown comes back from the history.
Result<void> App::recover(Error loss) {
    const std::uint64_t now = monotonic_us();
    if (now - last_loss_us_ > kLossMemoryUs) losses_ = 0;
    last_loss_us_ = now;
    while (++losses_ <= kMostLosses) {
        log::warning("window", "{}; it is opened again", loss.message);
        graphics_->leave_window();
        auto opened = open_graphics();
        if (opened) {
            recorded_->redirect({graphics_, graphics_->ring.get()});
            shown_key_.reset();
            must_rebuild_ = false;
            shows_record_ = true;
            if (control_->problem().empty()) {
                control_->report("The Vulkan device was lost and opened again. Nothing that was "
                                 "made is gone.");
            }
            return {};
        }
        loss = opened.error();
        std::this_thread::sleep_for(kPauseForDriver);
    }
    return end_without_device(loss);
}

Error App::end_without_device(const Error &loss) {
    Image canvas;
    if (canvas_->is_on()) canvas = canvas_->visible();
    const auto rescued = rescue_pictures(*control_, canvas);
    return make_error(loss.status, "{}; the Vulkan device was lost {} times in a row. {}",
                      loss.message, kMostLosses + 1,
                      rescued ? *rescued
                              : "Pictures could not be saved: " + rescued.error().message);
}

Result<void> App::turn() {
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
        if (pixels.width != graphics_->extent().width ||
            pixels.height != graphics_->extent().height) {
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

    if (start_us - last_look_us_ > kLookEveryUs) {
        last_look_us_ = start_us;
        control_->look_for_new_build();
    }
    control_->update();
    Paths files = window_ ? window_->take_dropped() : Paths();
    if (panel_.file_to_open) files.push_back(*std::exchange(panel_.file_to_open, std::nullopt));
    for (const auto &path : files) {
        if (auto opened = open_dropped(path); !opened) control_->report(opened.error().message);
    }
    if (panel_.model_to_open) {
        const ModelChoice chosen = *std::exchange(panel_.model_to_open, std::nullopt);
        if (auto changed = change_model(chosen.plugin, chosen.model); !changed) {
            control_->report(changed.error().message);
        }
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
        auto opened = open_preset(path);
        if (opened) return opened;
        return make_error(opened.error().status, "{}: {}", path.string(), opened.error().message);
    }
    if (path.extension() == ".safetensors") {
        return change_model("", std::filesystem::absolute(path).string());
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
    const bool is_picture = path.extension() != ".json" && path.extension() != ".JSON" &&
                            path.extension() != ".safetensors";
    const bool on_panel = ImGui::GetIO().MousePos.x < panel && ImGui::GetIO().MousePos.x >= 0;
    return on_panel && is_picture && control_->takes_style() ? open_style(path) : open_file(path);
}

Result<void> App::open_preset(const std::filesystem::path &path) {
    const auto preset = load_preset(path);
    if (!preset) return preset.error();
    std::string model;
    if (!preset->model.empty()) {
        auto found = find_model(preset->model, host_->model_dirs(), path.parent_path());
        if (!found) return found.error();
        model = found->string();
    }
    const PlayerInfo &now = control_->player().info();
    const bool same_model = model.empty() || model == now.model;
    if (preset->plugin == now.id && same_model) return control_->apply(*preset);
    return change_generator(preset->plugin, model, &*preset);
}

Result<void> App::change_model(const std::string &plugin, const std::string &model) {
    return change_generator(plugin, model, nullptr);
}

// The new one is there and has its values before the old one goes.
Result<void> App::change_generator(const std::string &plugin, const std::string &model,
                                   const Preset *preset) {
    auto recorded =
        std::make_unique<RecordingTarget>(std::make_shared<MemoryFrames>(), PlayControl::kBytes);
    auto player = make_player(*recorded, plugin, model);
    if (!player) return player.error();
    Result<std::vector<std::string>> unknown = std::vector<std::string>();
    PlayOptions play = control_->options;
    if (preset != nullptr) {
        unknown = (*player)->load_values(preset->values);
        if (!unknown) return unknown.error();
        play.seed = preset->seed;
    } else {
        (*player)->take_values_of(control_->player());
    }
    const bool played = control_->job() != 0;
    canvas_.reset();
    editor_.reset();
    control_.reset(); // waits for the step under way, and with it the ring is free
    recorded_ = std::move(recorded);
    recorded_->redirect({graphics_, graphics_->ring.get()});
    take_player(std::move(*player), play);
    shows_record_ = false;
    if (played && play.live) control_->play();
    if (!unknown->empty()) {
        control_->report(fmt::format("the preset sets what {} does not have: {}",
                                     control_->player().info().name, fmt::join(*unknown, ", ")));
    }
    return {};
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

// Of the last step of a run: what is not finished yet says little.
bool App::wants_features(const RunStep *step) const {
    const RunRecord *const run = editor_->run();
    return panel_.show_features && control_->can_encode() && step != nullptr && run != nullptr &&
           run->ended && step == run->last_picture();
}

// They come some frames after they are asked for; until then the picture is as it is.
std::shared_ptr<const Image> App::features_over(const RunRecord &run, const RunStep &step) {
    const Encoded &encoded = control_->encoded();
    if (encoded.picture != step.picture) control_->encode(step.picture);
    if (encoded.picture != step.picture || encoded.dense == nullptr) return step.picture;
    if (painted_features_ == encoded.dense) return feature_picture_;
    constexpr float kShare = 0.65F; // enough of the picture to know the place
    RunRecord seen;
    seen.job = run.job;
    seen.ended = true;
    RunStep dense;
    dense.latents = encoded.dense;
    seen.steps.push_back(dense);
    const auto colours = feature_painter_.paint(seen, dense, LatentLook{}, step.picture->width,
                                                step.picture->height);
    painted_features_ = encoded.dense;
    feature_picture_ = std::make_shared<const Image>(laid_over(*step.picture, *colours, kShare));
    return feature_picture_;
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
    const bool sees = has_record && !maps && !panel_.show_latents && wants_features(step);
    const bool live = editor_->is_live() && !panel_.show_latents && !maps && !sees;
    // Back to the live run: first what the pane missed of it.
    const bool catches_up = live && shows_record_ && has_record;
    if (live && !catches_up) {
        graphics_->pane->follow(graphics_->ring->current());
    } else if (has_record && !fetch(*run, *step)) {
        return choose_pinned_picture(); // what was shown stays until it is read
    } else if (maps) {
        if (auto chosen = choose_map(*run, *step); !chosen) return chosen;
    } else if (has_record) {
        const auto picture = sees ? features_over(*run, *step) : picture_of(*run, *step, painter_);
        auto shown = graphics_->pane->show(picture, info_of(*run, *step));
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
    return graphics_->pane->show(canvas_->picture(), {});
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
    if (!made.error.empty()) return graphics_->pane->show(step.picture, info_of(run, step));
    const bool is_of_this_run = made.picture != nullptr && made.info.job == run.job;
    return graphics_->pane->show(is_of_this_run ? made.picture : nullptr, made.info);
}

bool App::has_wanted_map() {
    const RunRecord *const run = editor_->run();
    const RunStep *const step = editor_->step();
    if (step == nullptr || !step->has_picture()) return true;
    if (!fetch(*run, *step)) return false;
    if (wants_features(step) && !panel_.material.is_active() && !panel_.show_latents) {
        return control_->encoded().picture == step->picture && !control_->busy();
    }
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
    return graphics_->pinned->show(picture_of(*run, *step, pinned_painter_), info_of(*run, *step));
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
    const auto &shown = graphics_->pane->view().info();
    const RunRecord *const run = shown ? control_->history().find(shown->job) : nullptr;
    const RunStep *const step = run != nullptr ? run->find(shown->step) : nullptr;
    return step != nullptr ? step->picture : nullptr;
}

Result<void> App::take_screenshot_when_due() {
    if (options_.screenshot.empty() || screenshot_taken_) return {};
    const auto &shown = graphics_->pane->view().info();
    const bool due = options_.screenshot_step > 0 ? shown && shown->step >= options_.screenshot_step
                                                  : shown && shown->final;
    const bool failed = control_->stats().failed > 0;
    if (failed) return make_error(Status::kFailed, "no screenshot: {}", control_->problem());
    if (!due) return {};
    auto image = capture_window();
    if (!image) return image.error();
    screenshot_taken_ = true;
    if (auto written = write_image(options_.screenshot, *image); !written) return written;
    if (options_.exit_after_screenshot) finished_ = true;
    return {};
}

std::vector<std::string> App::validation_messages() const {
    return instance_ ? instance_->validation_messages() : std::vector<std::string>();
}

} // namespace tessera
