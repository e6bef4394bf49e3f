// A script of user actions as it stands in a file: parsed strictly, every action with its line.
// What actions do is script_runner's business.
//
//   [
//     {"set": {"class": "brick", "steps": 12}}, {"seed": 7}, "play", {"wait_steps": 6},
//     {"save_view": "half.png"}, "wait_done", {"save_image": "brick.png"}, {"key": "ctrl+z"}
//   ]
#pragma once

#include "core/result.hpp"
#include "sandbox/view/view_transform.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tessera {

struct ScriptAction {
    enum class Kind {
        kSet,        // values: parameters by key
        kSeed,       // count
        kPlay,       // starts a run
        kCancel,     // ends it at its next step
        kRestart,    // the same seed again
        kNewSeed,    // the next seed of the sequence
        kWaitSteps,  // count: until the view shows this step of the run, or a later one
        kWaitDone,   // until nothing runs and the view shows the last picture
        kWaitFrames, // count
        kShowStep,   // count: this step of the run that was shown last
        kReplay,     // all steps of the shown run once more
        kPaint,      // text: what strokes paint: regenerate, lock or erase
        kBrush,      // points of a stroke, in pixels of the picture
        kRectangle,  // points[0] and points[1], corners in pixels of the picture
        kCanvas,     // count: 1 turns the endless canvas on, 0 off
        kPan,        // points[0]: moves what is looked at, in pixels of the window
        kWaitCanvas, // until every visible tile of the canvas is there
        kModel,      // text: a bundled model's name or a file, in the place of the one there is
        kGenerator,  // text: the id of a plugin, or its path; it has no model
        kOpen,       // text: a file, as if it were dropped on the window
        kStyle,      // text: a picture whose look to take
        kNoStyle,    // lets go of it
        kSavePreset, // text: a file
        kMaterial,   // values: map, channel, and the options of material maps
        kExport,     // text: the folder for the shown picture's maps; until they are written
        kKey,        // text: "s", "space", "ctrl+z"
        kClick,      // points[0], in pixels of the window
        kDrag,       // points, in pixels of the window
        kWheel,      // points[0] and count notches up
        kSaveView,   // text: the whole window as PNG
        kSaveImage,  // text: the picture that the view shows, as PNG
        kRecord,     // text: a folder for the whole window at every new picture from now on
        kRecordEnd,
    };
    Kind kind = Kind::kPlay;
    std::string name; // as written
    std::uint32_t number = 0;
    std::uint32_t line = 0;
    std::vector<std::pair<std::string, std::string>> values;
    std::string text;
    std::vector<Point> points;
    std::int64_t count = 0;
};

struct Script {
    std::string file; // for messages
    std::vector<ScriptAction> actions;
};

// Any text is safe to pass.
[[nodiscard]] Result<Script> parse_script(std::string_view json, std::string file);
[[nodiscard]] Result<Script> load_script(const std::filesystem::path &path);

// The actions there are, with their arguments, for --help.
[[nodiscard]] std::string script_help();

// "half.json: line 3: action 2 (set): what went wrong"
[[nodiscard]] Error script_error(const Script &script, const ScriptAction &action,
                                 std::string_view what);

} // namespace tessera
