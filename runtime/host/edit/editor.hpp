// What the user looks at and works on: any step of a recorded run, tokens marked for the next one,
// undo and redo. Calls PlayControl and reads its history; knows no ImGui and no view. Everything is
// told by the generator's inputs: without a mask slot there is nothing to mark. Control thread
// only.
#pragma once

#include "host/edit/play_control.hpp"
#include "host/edit/token_marks.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace tessera {

enum class Tool { kHand, kBrush, kRectangle, kProbe };

class Editor {
  public:
    // Decides from now on what `control` gives its runs.
    explicit Editor(PlayControl &control);
    Editor(const Editor &) = delete;
    Editor &operator=(const Editor &) = delete;

    // Once per frame, after PlayControl::update: follows a new run, advances a replay, remembers
    // results for undo.
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

    // ---- a run to compare with: what was recorded of it is kept until it is let go
    void pin(); // what is shown
    void unpin() { pinned_.reset(); }
    [[nodiscard]] bool can_pin() const { return step() != nullptr; }
    [[nodiscard]] const RunRecord *pinned() const { return pinned_ ? &*pinned_ : nullptr; }
    // As far into its run as `step` is into the shown one; nullptr when nothing is pinned.
    [[nodiscard]] const RunStep *pinned_step() const;
    [[nodiscard]] bool fetch_pinned(); // that step, as RunHistory::fetch

    // ---- a token to watch, where the generator has a parameter for it; -1: none
    [[nodiscard]] bool can_watch() const { return watch_param() != nullptr && can_mark(); }
    [[nodiscard]] std::int64_t watched() const;
    void watch(std::int64_t token); // the run starts again, and is the same

    // ---- marks: with any, runs keep the other tokens of what is shown
    Tool tool = Tool::kHand; // plain switches: the panel may flip them
    Mark paint = Mark::kRegenerate;
    int brush_size = 1; // tokens
    [[nodiscard]] bool can_mark() const { return mask_slot() != nullptr && marks_.columns() > 0; }
    [[nodiscard]] const TokenMarks &marks() const { return marks_; }
    // A stroke of the tool; points in tokens. What it would paint is in marks() at once.
    void begin_stroke(Point at, Mark mark);
    void stroke_to(Point at);
    void end_stroke();
    [[nodiscard]] bool in_stroke() const { return stroke_.has_value(); }
    void clear_marks();
    // How many tokens the next run makes; 0 when there are no marks.
    [[nodiscard]] std::size_t wanted_count() const;

    // ---- undo over marks and results, with the seed, values and style that made them
    void undo();
    void redo();
    [[nodiscard]] bool can_undo() const;
    [[nodiscard]] bool can_redo() const { return now_ + 1 < states_.size(); }

    // ---- a picture from outside becomes the result to work on
    [[nodiscard]] bool can_start_from_image() const { return slot(TESSERA_INPUT_IMAGE) != nullptr; }
    [[nodiscard]] Result<void> start_from(const Image &image);

  private:
    struct Cursor {
        std::uint64_t job = 0;
        std::uint32_t step = 0;
    };
    // One point of the undo history.
    struct State {
        TokenMarks marks;
        std::uint64_t job = 0; // whose last picture is shown
        std::uint64_t seed = 0;
        std::string values;
        StylePicture style;
    };
    struct Stroke {
        TokenMarks before;
        Point first;
        Point last;
        Mark mark = Mark::kRegenerate;
    };
    [[nodiscard]] const InputSlot *slot(std::string_view key) const;
    [[nodiscard]] const InputSlot *mask_slot() const;
    void fit_marks();
    [[nodiscard]] const Param *watch_param() const;
    [[nodiscard]] std::optional<PlayInputs> next_inputs();
    [[nodiscard]] PlayInputs inputs_from(const RunRecord &run, const RunStep &step) const;
    [[nodiscard]] bool is_complete(std::uint64_t job) const;
    void remember(std::uint64_t job);
    void restore(std::size_t index);

    PlayControl &control_;
    std::optional<Cursor> cursor_;
    std::uint64_t followed_job_ = 0;
    bool replaying_ = false;
    std::uint64_t next_replay_us_ = 0;

    std::optional<RunRecord> pinned_;
    TokenMarks marks_;
    std::optional<Stroke> stroke_;
    std::optional<Cursor> base_;       // what the running run keeps tokens of
    std::optional<PlayInputs> given_;  // instead, for one run
    std::uint64_t remembered_job_ = 0; // the last run that is in states_, or is not to be
    std::vector<State> states_;
    std::size_t now_ = 0; // in states_
};

} // namespace tessera
