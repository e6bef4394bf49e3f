// What the user looks at: the run that grows, or any step of a recorded one. Calls PlayControl and
// reads its history; knows no ImGui and no view. Control thread only.
#pragma once

#include "sandbox/play_control.hpp"

#include <cstdint>
#include <optional>

namespace tessera {

class Editor {
  public:
    explicit Editor(PlayControl &control) : control_(control) {}

    // Once per frame, after PlayControl::update: follows a new run, advances a replay.
    void update(std::uint64_t now_us);

    // ---- the timeline: pictures of one run
    void show(std::uint64_t job, std::uint32_t step); // the nearest recorded step
    void show_live();
    void move(int steps); // back or forth among the recorded steps
    void show_first();
    // Runs through all steps of the shown run, then goes on being live.
    void replay();
    [[nodiscard]] bool replaying() const { return replaying_; }
    // Follows the run that was asked for last.
    [[nodiscard]] bool is_live() const { return !cursor_.has_value(); }

    // What is to be shown; nullptr when there is nothing yet.
    [[nodiscard]] const RunRecord *run() const;
    [[nodiscard]] const RunStep *step() const;

  private:
    struct Cursor {
        std::uint64_t job = 0;
        std::uint32_t step = 0;
    };
    PlayControl &control_;
    std::optional<Cursor> cursor_;
    std::uint64_t followed_job_ = 0;
    bool replaying_ = false;
    std::uint64_t next_replay_us_ = 0;
};

} // namespace tessera
