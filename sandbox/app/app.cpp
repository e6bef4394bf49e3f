// The loop, and what happens when the device is lost.
#include "sandbox/app/app.hpp"

#include "assets/image/picture_format.hpp"
#include "core/log.hpp"
#include "core/trace.hpp"
#include "sandbox/app/rescue.hpp"

#include <tessera/values/clock.hpp>

#include <chrono>
#include <thread>

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

using Paths = std::vector<std::filesystem::path>;

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

void App::pan_by(float screen_x, float screen_y) {
    if (canvas_->is_on()) return canvas_->pan_by(screen_x, screen_y);
    transform_.pan_by(screen_x, screen_y);
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
