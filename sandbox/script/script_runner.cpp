#include "sandbox/script/script_runner.hpp"

#include "sandbox/app/app.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <imgui.h>

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

namespace tessera {
namespace {

constexpr std::array<std::pair<std::string_view, int>, 14> kNamedKeys{{
    {"space", GLFW_KEY_SPACE},
    {"escape", GLFW_KEY_ESCAPE},
    {"enter", GLFW_KEY_ENTER},
    {"delete", GLFW_KEY_DELETE},
    {"left", GLFW_KEY_LEFT},
    {"right", GLFW_KEY_RIGHT},
    {"up", GLFW_KEY_UP},
    {"down", GLFW_KEY_DOWN},
    {"home", GLFW_KEY_HOME},
    {"end", GLFW_KEY_END},
    {"plus", GLFW_KEY_EQUAL},
    {"minus", GLFW_KEY_MINUS},
    {"[", GLFW_KEY_LEFT_BRACKET},
    {"]", GLFW_KEY_RIGHT_BRACKET},
}};

// GLFW's number of a key; 0: there is none of this name.
int key_of(std::string_view name) {
    for (const auto &[known, key] : kNamedKeys) {
        if (known == name) return key;
    }
    if (name.size() != 1) return 0;
    const char c = name[0];
    if (c >= 'a' && c <= 'z') return GLFW_KEY_A + (c - 'a');
    if (c >= '0' && c <= '9') return GLFW_KEY_0 + (c - '0');
    return 0;
}

} // namespace

void ScriptRunner::apply(const Input &input) {
    ImGuiIO &io = ImGui::GetIO();
    io.MousePos = {input.mouse.x, input.mouse.y};
    io.MouseDown[ImGuiMouseButton_Left] = input.button;
    io.MouseWheel = input.wheel;
    io.KeyCtrl = input.control;
    io.KeyShift = input.shift;
    std::fill(std::begin(io.KeysDown), std::end(io.KeysDown), false);
    if (input.key != 0) io.KeysDown[input.key] = true;
}

// The window as PNG, if it shows another picture than the last time.
Result<void> ScriptRunner::record(App &app) {
    const auto &shown = app.view().info();
    const std::pair now(shown ? shown->job : 0, shown ? shown->step : 0);
    if (!shown || now == recorded_) return {};
    auto image = app.capture_window();
    if (!image) return image.error();
    recorded_ = now;
    return write_image(record_folder_ / fmt::format("{:04}.png", ++record_count_), *image);
}

Result<void> ScriptRunner::before_frame(App &app) {
    if (!record_folder_.empty()) {
        if (auto recorded = record(app); !recorded) return recorded;
    }
    if (!inputs_.empty()) {
        apply(inputs_.front());
        inputs_.pop_front();
        return {};
    }
    // What takes no frame happens at once, up to the first action that does.
    while (next_ < script_.actions.size() && inputs_.empty()) {
        const ScriptAction &action = script_.actions[next_];
        auto progress = perform(app, action);
        if (!progress) {
            Error error = script_error(script_, action, progress.error().message);
            error.status = progress.error().status;
            return error;
        }
        if (*progress == Progress::kWait) {
            ++frames_waited_;
            return {};
        }
        frames_waited_ = 0;
        ++next_;
    }
    return {};
}

Result<ScriptRunner::Progress> ScriptRunner::perform(App &app, const ScriptAction &action) {
    PlayControl &control = app.control();
    Result<void> done;
    switch (action.kind) {
    case ScriptAction::Kind::kSet:
        done = set_values(app, action);
        break;
    case ScriptAction::Kind::kSeed:
        control.options.seed = static_cast<std::uint64_t>(action.count);
        break;
    case ScriptAction::Kind::kPlay:
        control.play();
        break;
    case ScriptAction::Kind::kCancel:
        control.cancel();
        break;
    case ScriptAction::Kind::kRestart:
        control.restart();
        break;
    case ScriptAction::Kind::kNewSeed:
        control.roll();
        break;
    case ScriptAction::Kind::kWaitSteps:
    case ScriptAction::Kind::kWaitDone:
    case ScriptAction::Kind::kWaitFrames:
        return wait(app, action);
    case ScriptAction::Kind::kShowStep:
        done = show_step(app, action);
        break;
    case ScriptAction::Kind::kReplay:
        app.editor().replay();
        break;
    case ScriptAction::Kind::kPaint:
        done = choose_paint(app, action);
        break;
    case ScriptAction::Kind::kBrush:
    case ScriptAction::Kind::kRectangle:
        done = stroke(app, action);
        break;
    case ScriptAction::Kind::kCanvas:
        done = turn_canvas(app, action);
        break;
    case ScriptAction::Kind::kPan:
        app.pan_by(action.points[0].x, action.points[0].y);
        break;
    case ScriptAction::Kind::kWaitCanvas:
        return wait_for_canvas(app);
    case ScriptAction::Kind::kModel:
        done = app.change_model("", action.text);
        break;
    case ScriptAction::Kind::kGenerator:
        done = app.change_model(action.text, "");
        break;
    case ScriptAction::Kind::kOpen:
        done = app.open_file(action.text);
        break;
    case ScriptAction::Kind::kStyle:
        done = app.open_style(action.text);
        break;
    case ScriptAction::Kind::kNoStyle:
        done = control.set_style({});
        break;
    case ScriptAction::Kind::kSavePreset:
        done = save_preset(action.text, control.preset());
        break;
    case ScriptAction::Kind::kMaterial:
        done = change_material(app, action);
        break;
    case ScriptAction::Kind::kExport:
        return export_maps(app, action);
    case ScriptAction::Kind::kKey:
        done = press_key(action);
        break;
    case ScriptAction::Kind::kClick:
    case ScriptAction::Kind::kDrag:
    case ScriptAction::Kind::kWheel:
        move_mouse(action, action.points);
        break;
    case ScriptAction::Kind::kRecord:
        done = start_recording(action);
        break;
    case ScriptAction::Kind::kRecordEnd:
        record_folder_.clear();
        break;
    case ScriptAction::Kind::kSaveView:
    case ScriptAction::Kind::kSaveImage:
        if (!app.has_wanted_map()) return Progress::kWait;
        done = save(app, action);
        break;
    }
    if (!done) return done.error();
    return Progress::kDone;
}

Result<ScriptRunner::Progress> ScriptRunner::wait(App &app, const ScriptAction &action) {
    if (action.kind == ScriptAction::Kind::kWaitFrames) {
        return frames_waited_ < static_cast<std::uint64_t>(action.count) ? Progress::kWait
                                                                         : Progress::kDone;
    }
    const PlayControl &control = app.control();
    // Not `failures > 0`: an earlier failure may have been meant.
    if (frames_waited_ == 0) failures_before_ = control.stats().failed;
    const bool failed = control.stats().failed > failures_before_ ||
                        (!control.busy() && control.state().phase == PlayerPhase::kFailed);
    if (failed) {
        return make_error(Status::kFailed, "the run failed: {}", control.state().error.message);
    }
    const auto &shown = app.view().info();
    const bool is_current = shown && shown->job == control.job();
    const RunRecord *const run = control.history().find(control.job());
    const RunStep *const last = run != nullptr ? run->last_picture() : nullptr;
    if (action.kind == ScriptAction::Kind::kWaitSteps) {
        if (is_current && shown->step >= action.count) return Progress::kDone;
        const std::uint32_t made = last != nullptr ? last->step : 0;
        if (control.settled() && made < action.count) {
            return make_error(Status::kFailed, "the run ended after {} steps", made);
        }
        return Progress::kWait;
    }
    if (control.job() == 0) return make_error(Status::kFailed, "nothing was played");
    const bool shows_last = last == nullptr || (is_current && shown->step == last->step);
    const bool shows_it = shows_last || !app.editor().is_live();
    return control.settled() && shows_it ? Progress::kDone : Progress::kWait;
}

Result<void> ScriptRunner::change_material(App &app, const ScriptAction &action) {
    for (const auto &[key, text] : action.values) {
        auto set = set_material(app.panel().material, key, text);
        if (!set) return set;
    }
    return {};
}

Result<ScriptRunner::Progress> ScriptRunner::export_maps(App &app, const ScriptAction &action) {
    if (frames_waited_ == 0) {
        const RunStep *const step = app.editor().step();
        if (step == nullptr || !step->has_picture()) {
            return make_error(Status::kFailed, "there is no picture yet");
        }
        if (!app.control().fetch(app.editor().run()->job, step->step)) return Progress::kWait;
        failures_before_ = app.material().exports_failed();
        app.export_shown(action.text);
        return Progress::kWait;
    }
    if (app.material().busy()) return Progress::kWait;
    if (app.material().exports_failed() > failures_before_) {
        return make_error(Status::kFailed, "{}", app.material().export_report());
    }
    return Progress::kDone;
}

Result<void> ScriptRunner::set_values(App &app, const ScriptAction &action) {
    PlayControl &control = app.control();
    for (const auto &[key, text] : action.values) {
        const Param *const param = control.player().params().find(key);
        if (param == nullptr) {
            return make_error(Status::kNotFound, "{} has no parameter '{}'",
                              control.player().info().id, key);
        }
        if (param->type == ParamType::kText) {
            control.set_text(key, text);
            continue;
        }
        auto value = parse_value(*param, text);
        if (!value) return value.error();
        control.set_value(param->id, *value);
    }
    return {};
}

Result<void> ScriptRunner::turn_canvas(App &app, const ScriptAction &action) {
    CanvasView &canvas = app.canvas();
    if (action.count != 0 && !canvas.lacks().empty()) {
        return make_error(Status::kUnsupported, "{}", canvas.lacks());
    }
    canvas.turn(action.count != 0);
    return {};
}

// Also shown, which takes the frame that follows.
Result<ScriptRunner::Progress> ScriptRunner::wait_for_canvas(App &app) {
    const CanvasView &canvas = app.canvas();
    if (!canvas.is_on()) return make_error(Status::kFailed, "the endless canvas is off");
    if (canvas.is_stopped()) {
        return make_error(Status::kFailed, "the canvas stopped at {} of {} tiles: {}",
                          canvas.ready_count(), canvas.visible_count(), app.control().problem());
    }
    return canvas.is_complete() ? Progress::kDone : Progress::kWait;
}

Result<void> ScriptRunner::show_step(App &app, const ScriptAction &action) {
    Editor &editor = app.editor();
    const RunRecord *const run = editor.run();
    const RunStep *const step =
        run != nullptr ? run->find(static_cast<std::uint32_t>(action.count)) : nullptr;
    if (step == nullptr || !step->has_picture()) {
        return make_error(Status::kNotFound, "step {} of the shown run is not recorded",
                          action.count);
    }
    editor.show(run->job, step->step);
    return {};
}

Result<void> ScriptRunner::start_recording(const ScriptAction &action) {
    std::error_code error;
    std::filesystem::create_directories(action.text, error);
    if (error) {
        return make_error(Status::kFailed, "folder '{}': {}", action.text, error.message());
    }
    record_folder_ = action.text;
    record_count_ = 0;
    recorded_ = {};
    return {};
}

Result<void> ScriptRunner::save(App &app, const ScriptAction &action) {
    if (action.kind == ScriptAction::Kind::kSaveView) {
        auto image = app.capture_window();
        if (!image) return image.error();
        return write_image(action.text, *image);
    }
    const auto image = app.shown_picture();
    if (image == nullptr) return make_error(Status::kFailed, "there is no picture yet");
    return write_image(action.text, *image);
}

// A frame with the key down, a frame without.
Result<void> ScriptRunner::press_key(const ScriptAction &action) {
    Input input;
    input.mouse = mouse_;
    std::string_view name = action.text;
    const auto take = [&name](std::string_view prefix) {
        if (!name.starts_with(prefix)) return false;
        name.remove_prefix(prefix.size());
        return true;
    };
    input.control = take("ctrl+");
    input.shift = take("shift+");
    input.key = key_of(name);
    if (input.key == 0) {
        std::string known;
        for (const auto &[named, key] : kNamedKeys) known += fmt::format(", {}", named);
        return make_error(Status::kInvalidArgument,
                          "'{}' is no key; expected [ctrl+][shift+] and a to z, 0 to 9{}",
                          action.text, known);
    }
    inputs_.push_back(input);
    Input released;
    released.mouse = mouse_;
    inputs_.push_back(released);
    return {};
}

Result<void> ScriptRunner::choose_paint(App &app, const ScriptAction &action) {
    constexpr std::array<std::pair<std::string_view, Mark>, 3> kPaints{
        {{"regenerate", Mark::kRegenerate}, {"lock", Mark::kLocked}, {"erase", Mark::kNone}}};
    for (const auto &[name, mark] : kPaints) {
        if (action.text != name) continue;
        app.editor().paint = mark;
        return {};
    }
    return make_error(Status::kInvalidArgument, "'{}'; expected regenerate, lock or erase",
                      action.text);
}

// With the mouse, where the picture is on the screen.
Result<void> ScriptRunner::stroke(App &app, const ScriptAction &action) {
    if (!app.editor().can_mark()) {
        return make_error(Status::kUnsupported, "{} has no tokens to mark",
                          app.control().player().info().name);
    }
    if (!app.view().has_picture()) return make_error(Status::kFailed, "there is no picture yet");
    const bool is_brush = action.kind == ScriptAction::Kind::kBrush;
    app.editor().tool = is_brush ? Tool::kBrush : Tool::kRectangle;
    std::vector<Point> points;
    for (const Point &point : action.points) points.push_back(app.transform().to_screen(point));
    move_mouse(action, points);
    return {};
}

// To the first point, down, along the others, up.
void ScriptRunner::move_mouse(const ScriptAction &action, const std::vector<Point> &points) {
    Input input;
    input.mouse = points.front();
    inputs_.push_back(input);
    if (action.kind == ScriptAction::Kind::kWheel) {
        input.wheel = static_cast<float>(action.count);
        inputs_.push_back(input);
        input.wheel = 0;
    } else {
        input.button = true;
        for (const Point &point : points) {
            input.mouse = point;
            inputs_.push_back(input);
        }
        input.button = false;
    }
    inputs_.push_back(input);
    mouse_ = input.mouse;
}

} // namespace tessera
