// Replays a script on an App, frame by frame: actions go through the same functions, keys and mouse
// positions as a user's.
#pragma once

#include "sandbox/script/script.hpp"

#include <cstdint>
#include <deque>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

class App;

class ScriptRunner {
  public:
    explicit ScriptRunner(Script script) : script_(std::move(script)) {}

    // Before every frame's interface is built. Saves pictures when it is told to.
    [[nodiscard]] Result<void> before_frame(App &app);
    [[nodiscard]] bool finished() const {
        return next_ == script_.actions.size() && inputs_.empty();
    }

  private:
    // The state of mouse and keyboard during one frame.
    struct Input {
        Point mouse;
        bool button = false;
        float wheel = 0;
        int key = 0; // GLFW's number; 0: none
        bool control = false;
        bool shift = false;
    };
    enum class Progress { kDone, kWait }; // kWait: ask again in the next frame

    Result<Progress> perform(App &app, const ScriptAction &action);
    Result<Progress> wait(App &app, const ScriptAction &action);
    Result<Progress> export_maps(App &app, const ScriptAction &action);
    static Result<void> change_material(App &app, const ScriptAction &action);
    Result<void> set_values(App &app, const ScriptAction &action);
    static Result<void> turn_canvas(App &app, const ScriptAction &action);
    static Result<Progress> wait_for_canvas(App &app);
    static Result<void> show_step(App &app, const ScriptAction &action);
    Result<void> save(App &app, const ScriptAction &action);
    Result<void> start_recording(const ScriptAction &action);
    Result<void> record(App &app);
    Result<void> press_key(const ScriptAction &action);
    Result<void> stroke(App &app, const ScriptAction &action);
    static Result<void> choose_paint(App &app, const ScriptAction &action);
    void move_mouse(const ScriptAction &action, const std::vector<Point> &points);
    void apply(const Input &input);

    Script script_;
    std::size_t next_ = 0; // action
    std::deque<Input> inputs_;
    Point mouse_{-1, -1};
    std::uint64_t frames_waited_ = 0;
    std::uint64_t failures_before_ = 0;
    std::filesystem::path record_folder_;              // empty: nothing is recorded
    std::uint32_t record_count_ = 0;                   // pictures in it
    std::pair<std::uint64_t, std::uint32_t> recorded_; // job and step of the last one
};

} // namespace tessera
