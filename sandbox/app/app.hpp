// The sandbox program: one player, one view, one panel, and the frame loop round them.
// With a window or, for scripts and tests, without one.
#pragma once

#include "core/result.hpp"
#include "host/edit/duration_stats.hpp"
#include "host/edit/editor.hpp"
#include "host/edit/preset_shelf.hpp"
#include "host/edit/recording_target.hpp"
#include "sandbox/app/frame_pacer.hpp"
#include "sandbox/app/graphics.hpp"
#include "sandbox/options/common_options.hpp"
#include "sandbox/panel/panel.hpp"
#include "sandbox/script/script_runner.hpp"
#include "sandbox/view/canvas_view.hpp"
#include "sandbox/view/latent_painter.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

struct AppOptions : CommonOptions {   // threads 0: as many as leave the window smooth
    std::filesystem::path preset_dir; // empty: PresetShelf::default_folder()
    PlayOptions play;                 // of its seed, what CommonOptions::seed says
    bool play_at_start = true;
    int share = 25; // percent of a core that others want too, see PlayerConfig::share

    std::string device;     // Vulkan device: index, part of its name or UUID; empty: the best
    float scale = 0;        // of the user interface; 0: the monitor's
    bool offscreen = false; // no window and no display
    std::uint32_t width = 1280;
    std::uint32_t height = 720;
    double fps = 60; // 0: as fast as it goes, and drawing every frame, changed or not
    bool validation = false;

    std::uint64_t frame_limit = 0; // exit after so many frames; 0: never
    std::filesystem::path screenshot;
    std::uint32_t screenshot_step = 0; // take it at this step; 0: when the first picture is final
    bool exit_after_screenshot = false;
    MakeWriter make_writer = make_writer_for; // tests put another device in its place
    // Replays this and exits; offscreen, and with nothing playing at the start.
    std::filesystem::path script;
};

class App {
  public:
    [[nodiscard]] static Result<std::unique_ptr<App>> create(AppOptions options);
    ~App();
    App(const App &) = delete;
    App &operator=(const App &) = delete;

    // A picture to start from, a preset (.json) or a model (.safetensors), as if it were dropped on
    // the window. A preset of another generator or model puts that in the place of the one that is
    // there, with its runs.
    [[nodiscard]] Result<void> open_file(const std::filesystem::path &path);
    // A picture whose look to take, as if it were dropped on the panel.
    [[nodiscard]] Result<void> open_style(const std::filesystem::path &path);
    // Another generator or model in the place of the one that is there, with its runs. Values that
    // were changed and that both know stay, and so does the seed. `plugin` is an id or a path,
    // empty: the one that the model is for; `model` a name or a path, empty: none. An error changes
    // nothing.
    [[nodiscard]] Result<void> change_model(const std::string &plugin, const std::string &model);
    // Until the window closes or the options say so.
    [[nodiscard]] Result<void> run();
    // One turn of the loop: waits for its time, takes news, draws. A device that is lost comes back
    // here, and nobody who looks at the picture or makes it notices; after a few losses within a
    // minute the error is the end, and names the folder in which the pictures are.
    [[nodiscard]] Result<void> frame();
    [[nodiscard]] bool finished() const { return finished_; }

    // What is on the screen now, panel included.
    [[nodiscard]] Result<Image> capture();
    // The same with the panel brought up to date first.
    [[nodiscard]] Result<Image> capture_window();
    // What the panel's Export does, to another folder; material() tells how it went.
    void export_shown(const std::filesystem::path &folder);
    [[nodiscard]] const MaterialWorker &material() const { return *material_; }
    // What is shown was read, and the map that the panel asks for is there, or could not be made.
    [[nodiscard]] bool has_wanted_map();
    // The picture that the view shows; nullptr: none, or no longer kept.
    [[nodiscard]] std::shared_ptr<const Image> shown_picture() const;

    [[nodiscard]] PlayControl &control() { return *control_; }
    [[nodiscard]] Editor &editor() { return *editor_; }
    [[nodiscard]] CanvasView &canvas() { return *canvas_; }
    [[nodiscard]] PanelState &panel() { return panel_; }
    [[nodiscard]] const View &view() const { return graphics_->pane->view(); }
    [[nodiscard]] ViewTransform &transform() { return transform_; }
    [[nodiscard]] ViewLook &look() { return look_; }
    // Moves what is shown, the canvas or the picture, as dragging does.
    void pan_by(float screen_x, float screen_y);
    // The user interface in another size, as when the window comes to another monitor.
    [[nodiscard]] Result<void> rescale(float scale);
    [[nodiscard]] float scale() const { return scale_; }
    [[nodiscard]] const Window *window() const { return window_.get(); }
    [[nodiscard]] std::uint64_t frames() const { return frame_count_; }
    // Of these, those that did not look like the one before, and so were drawn.
    [[nodiscard]] std::uint64_t drawn_frames() const { return drawn_count_; }
    // How often the device was lost within a minute of the loss before.
    [[nodiscard]] int losses() const { return losses_; }
    // Time between the starts of frames.
    [[nodiscard]] DurationStats &frame_times() { return frames_.all; }
    [[nodiscard]] std::vector<std::string> validation_messages() const;

  private:
    explicit App(AppOptions options);
    Result<void> open_window();
    Result<void> open_graphics();
    Result<void> open_player();
    Result<void> open_dropped(const std::filesystem::path &path);
    Result<std::unique_ptr<Player>> make_player(RecordingTarget &recorded, std::string plugin,
                                                std::string model) const;
    void take_player(std::unique_ptr<Player> player, const PlayOptions &play);
    Result<void> open_preset(const std::filesystem::path &path);
    Result<void> change_generator(const std::string &plugin, const std::string &model,
                                  const Preset *preset);
    Result<void> turn();
    Result<void> recover(Error loss);
    Error end_without_device(const Error &loss);
    [[nodiscard]] float wanted_scale() const;
    Result<void> make_surface();
    Result<void> rebuild_swapchain();
    Result<void> replace_surface(const Error &problem);
    void clear_panel(VkCommandBuffer commands, float width) const;
    void build_interface();
    [[nodiscard]] PanelContext panel_context();
    [[nodiscard]] ViewRegion region() const; // of the picture, or of both
    [[nodiscard]] std::pair<ViewRegion, ViewRegion> halves() const;
    [[nodiscard]] Scene scene();
    void note_frame_time(std::uint64_t start_us);
    Result<void> choose_picture();
    [[nodiscard]] bool fetch(const RunRecord &run, const RunStep &step);
    Result<void> choose_pinned_picture();
    Result<void> choose_canvas();
    Result<void> choose_map(const RunRecord &run, const RunStep &step);
    [[nodiscard]] MaterialRequest wanted_map(const RunRecord &run, const RunStep &step) const;
    [[nodiscard]] bool wants_features(const RunStep *step) const;
    [[nodiscard]] std::shared_ptr<const Image> features_over(const RunRecord &run,
                                                             const RunStep &step);
    [[nodiscard]] std::shared_ptr<const Image> picture_of(const RunRecord &run, const RunStep &step,
                                                          LatentPainter &painter) const;
    Result<void> draw();
    Result<void> draw_in_window(const Scene &next);
    Result<void> take_screenshot_when_due();

    AppOptions options_;
    std::shared_ptr<Host> host_;
    // In the order of construction; destroyed from the end. Each needs some of those above it.
    std::unique_ptr<Window> window_;
    std::unique_ptr<VulkanInstance> instance_;
    Surface surface_;
    std::shared_ptr<Graphics> graphics_;
    std::unique_ptr<RecordingTarget> recorded_; // passes pictures on to the ring
    std::unique_ptr<MaterialWorker> material_;
    std::unique_ptr<PlayControl> control_; // its worker writes to recorded_
    std::unique_ptr<CanvasView> canvas_;

    std::unique_ptr<Editor> editor_;
    std::unique_ptr<PresetShelf> presets_;
    std::optional<ScriptRunner> script_;
    bool shows_record_ = false; // the pane left the live run
    LatentPainter painter_;
    LatentPainter pinned_painter_;
    LatentPainter feature_painter_;
    std::shared_ptr<const Latents> painted_features_;
    std::shared_ptr<const Image> feature_picture_; // they over their picture
    PanelState panel_;
    ViewTransform transform_;
    ViewTransform canvas_transform_; // in its place
    ViewLook look_;
    FramePacer pacer_;
    FrameStats frames_;
    std::uint64_t last_start_us_ = 0;
    std::uint64_t last_look_us_ = 0; // for a new build of the plugin
    bool was_busy_ = false;          // at the start of the last frame
    std::uint64_t frame_count_ = 0;
    std::uint64_t drawn_count_ = 0;
    std::optional<std::uint64_t> shown_key_; // of what is on the screen; none: it must be drawn
    bool finished_ = false;
    bool screenshot_taken_ = false;
    bool must_rebuild_ = false;
    int losses_ = 0; // of the device, the last one at
    std::uint64_t last_loss_us_ = 0;
    float scale_ = 1; // of the user interface
};

} // namespace tessera
