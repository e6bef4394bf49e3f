// What the buttons and sliders do: seeds, play, cancel, restart, values. The panel calls this and
// nothing else, and so do tests; it holds the rules that are the window's and not the player's.
// Knows no ImGui. Control thread only; nothing here waits.
#pragma once

#include "host/edit/duration_stats.hpp"
#include "host/edit/run_history.hpp"
#include "host/generator/preset.hpp"
#include "host/run/player.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

struct PlayOptions {
    std::uint64_t seed = 0;
    bool rolling = false; // every play takes the next seed
    bool live = true;     // a changed value plays again, when nothing runs
    bool loop = false;    // plays again when finished
    // How long the generator works before it looks for news: the delay of a cancel. Shorter is
    // less efficient.
    float step_budget_ms = 4;
};

// What the last job did, for the panel and for tests.
struct PlayStats {
    DurationStats steps{256};
    std::optional<std::uint64_t> first_picture_us; // from the request to its first picture
    std::optional<std::uint64_t> cancel_us;        // from the last cancel to the end of its job
    std::uint64_t finished = 0;                    // jobs, since the start
    std::uint64_t cancelled = 0;
    std::uint64_t failed = 0;
    std::uint64_t pictures = 0;
};

// What a run is given next to seed and values.
struct PlayInputs {
    std::vector<RequestInput> list;
    bool keeps_pixels = false; // of a picture in the list, as it is
};

// A picture whose look runs take.
struct StylePicture {
    std::shared_ptr<const Image> image; // RGBA; NULL: none
    std::string name;                   // to show
};

// What the generator sees in a picture: a vector for each token (TESSERA_FEATURE_DENSE).
struct Encoded {
    std::shared_ptr<const Image> picture; // that was asked about; NULL: none yet
    std::shared_ptr<const Latents> dense; // NULL: not there yet, or it came to nothing
};

// Who has the player in place of ordinary runs, such as the endless canvas: gets what `play` asks
// for, and the news of its own jobs.
class PlayGuest {
  public:
    virtual ~PlayGuest() = default;
    virtual void play() = 0; // the user asked, or seed or values changed
    virtual void note(const PlayerEvent &event) = 0;
    virtual void note(const RecordedPicture &picture) = 0;
};

class PlayControl {
  public:
    // Of what is kept of runs: a thousand pictures of 256 x 256.
    static constexpr std::size_t kBytes = std::size_t{256} << 20;

    // The player must not restart on its own. `recorded` is where its pictures pass, and outlives
    // this; `now_us` is a monotonic clock.
    PlayControl(std::unique_ptr<Player> player, RecordingTarget &recorded,
                std::function<std::uint64_t()> now_us, const PlayOptions &options);

    // ---- actions
    // Generates; with rolling on, from a new seed (but not the first time).
    void play();
    // The same seed from the first step, with the values as they are.
    void restart();
    void cancel();
    // The next seed of the sequence, and play.
    void roll();
    void set_seed(std::uint64_t seed);
    // Conformed to the description. A running job starts again; with live on, an idle player plays.
    void set_value(std::uint32_t id, double value);
    void set_text(std::string_view key, std::string_view text); // as Params::set_text
    void reset_value(std::uint32_t id);
    void reset_values();

    // Where the generator takes the look of a picture (kStyleInput): all runs from now on get it. A
    // running job starts again; with live on, an idle player plays. Presets do not hold it.
    [[nodiscard]] bool takes_style() const;
    [[nodiscard]] const StylePicture &style() const { return style_; }
    [[nodiscard]] Result<void> set_style(StylePicture style);

    // Takes them over for the next run; starts none.
    void adopt(std::uint64_t seed, const std::string &values_json, const StylePicture &style);
    // Values and seed as a preset and back; a running job starts again. Of another generator, or
    // with a value that cannot be used, a preset changes nothing; the error is the problem shown,
    // too.
    [[nodiscard]] Preset preset() const;
    [[nodiscard]] Result<void> apply(const Preset &preset);
    // Shows what went wrong outside a run.
    void report(std::string problem) { problem_ = std::move(problem); }

    // ---- what the generator sees in a picture, in a job of its own that shows nothing
    // It has a slot for that, TESSERA_INPUT_ENCODE.
    [[nodiscard]] bool can_encode() const;
    // Begins when nothing runs, and else not; a run that is asked for then comes first. `encoded`
    // has it some updates later.
    void encode(const std::shared_ptr<const Image> &picture);
    [[nodiscard]] const Encoded &encoded() const { return encoded_; }

    // ---- a guest, who outlives its stay; nullptr: runs are ordinary again
    void set_guest(PlayGuest *guest);
    // The guest's next job; its pictures reach nobody else.
    std::uint64_t submit_for_guest(PlayRequest request);

    // Goes on with the plugin that was built again, if it was: values, seed and history stay, and a
    // run under way begins again. A build that is no good changes nothing and is the problem shown.
    // Looks at the file: now and then, not every frame.
    void look_for_new_build();
    // Once per frame: takes the news and keeps looping.
    void update();

    // ---- state
    // Asked before every run; empty: none. nullopt: they are being read, and the run begins with a
    // later update.
    std::function<std::optional<PlayInputs>()> inputs;
    PlayOptions options; // plain switches: the panel may flip them
    [[nodiscard]] const Player &player() const { return *player_; }
    [[nodiscard]] const PlayerState &state() const { return state_; }
    [[nodiscard]] const PlayStats &stats() const { return stats_; }
    [[nodiscard]] bool busy() const { return player_->busy() || waits_for_inputs_; }
    // Of the run that was asked for last; 0: none yet.
    [[nodiscard]] std::uint64_t job() const { return job_; }
    // The highest number so far, the guest's included.
    [[nodiscard]] std::uint64_t last_job() const { return last_job_; }
    // That run is over, and all its news were taken.
    [[nodiscard]] bool settled() const { return settled_job_ == job_ && !waits_for_inputs_; }
    [[nodiscard]] const RunHistory &history() const { return history_; }
    // As RunHistory::fetch.
    [[nodiscard]] bool fetch(std::uint64_t job, std::uint32_t step) {
        return history_.fetch(job, step);
    }
    // The last thing that went wrong; empty when the last job went well.
    [[nodiscard]] const std::string &problem() const { return problem_; }

  private:
    void submit();
    void add_style(std::vector<RequestInput> &given) const;
    void take_change(const Result<bool> &changed);
    void play_changed();
    void note(const PlayerEvent &event);
    void note_encoded(const PlayerEvent &event);

    std::unique_ptr<Player> player_;
    RecordingTarget &recorded_;
    RunHistory history_;
    std::function<std::uint64_t()> now_us_;
    PlayerState state_;
    PlayStats stats_;
    std::string problem_;
    StylePicture style_;
    std::uint64_t job_ = 0;
    std::uint64_t settled_job_ = 0; // the last job that ended
    std::uint64_t requested_us_ = 0;
    std::optional<std::uint64_t> cancelled_us_; // asked for, and not done yet
    PlayGuest *guest_ = nullptr;
    Encoded encoded_;
    std::uint64_t encode_job_ = 0;
    bool waiting_for_picture_ = false;
    bool waits_for_inputs_ = false; // a run that was asked for
    bool played_ = false;
    std::uint64_t last_job_ = 0; // the guest's too
};

// The seed after `seed` in the sandbox's sequence: looks random, stays short enough to read out.
[[nodiscard]] std::uint64_t next_seed(std::uint64_t seed);

} // namespace tessera
