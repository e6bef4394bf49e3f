// The player of the window and what comes to it: models, presets, pictures.
#include "sandbox/app/app.hpp"

#include "assets/image_resize.hpp"
#include "compute/registry.hpp"
#include "host/plugin/search.hpp"
#include "host/plugin/services.hpp"
#include "host/run/memory_frames.hpp"

#include <tessera/values/clock.hpp>

#include <thread>

#include <fmt/format.h>
#include <imgui.h>

namespace tessera {
namespace {

// One core is left to the window: on two cores a second compute thread, even of low priority,
// doubles the slowest frames and hardly speeds up generation.
std::uint32_t threads_for_a_smooth_window() {
    const std::uint32_t cores = std::thread::hardware_concurrency();
    return cores > 2 ? cores - 1 : 1;
}

constexpr const char *kTakenAsBlack = ": its transparent parts are taken as black";

bool is_preset(const std::filesystem::path &path) {
    return path.extension() == ".json" || path.extension() == ".JSON";
}

bool is_model(const std::filesystem::path &path) { return path.extension() == ".safetensors"; }

Result<Image> read_opaque(const std::filesystem::path &path, bool &had_alpha) {
    auto image = read_image(path, 4);
    if (image) had_alpha = lay_over_black(*image);
    return image;
}

} // namespace

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
    control_ =
        std::make_unique<PlayControl>(std::move(player), *recorded_, values::monotonic_us, play);
    editor_ = std::make_unique<Editor>(*control_);
    canvas_ = std::make_unique<CanvasView>(*control_);
}

Result<void> App::open_file(const std::filesystem::path &path) {
    if (is_preset(path)) {
        auto opened = open_preset(path);
        if (opened) return opened;
        return make_error(opened.error().status, "{}: {}", path.string(), opened.error().message);
    }
    if (is_model(path)) {
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
    const bool is_picture = !is_preset(path) && !is_model(path);
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

} // namespace tessera
