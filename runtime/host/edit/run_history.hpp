// The last runs, step by step: pictures, which tokens were known, latents. Bounded in memory: the
// oldest runs lose their steps first, all but the last one, and then go altogether. Knows neither
// player nor view; the control thread's.
#pragma once

#include "host/edit/recording_target.hpp"
#include "host/run/event.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace tessera {

// Latents as the generator sent them (TESSERA_FEATURE_LATENTS).
struct Latents {
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    std::uint32_t channels = 0;
    std::vector<float> values; // (height, width, channels)
};

// One token while it was denoised (TESSERA_FEATURE_CHAIN).
struct TokenChain {
    std::uint32_t step = 0;    // that made it
    std::uint32_t denoise = 0; // steps
    std::uint32_t width = 0;
    std::vector<float> values; // (denoise + 1, width), the first noise first
};

struct RunStep {
    std::uint32_t step = 0;
    std::shared_ptr<const Image> picture; // nullptr: none was made at this step, or none was read
    std::vector<std::uint8_t> cells;      // (rows, columns) TESSERA_CELL_*; empty: not told
    std::shared_ptr<const Latents> latents;
    std::shared_ptr<const KeptTensor> kept_picture = nullptr; // on a device, until it is read
    std::shared_ptr<const KeptTensor> kept_latents = nullptr;

    [[nodiscard]] bool has_picture() const { return picture != nullptr || kept_picture != nullptr; }
    [[nodiscard]] bool has_latents() const { return latents != nullptr || kept_latents != nullptr; }
    [[nodiscard]] std::uint32_t latent_channels() const; // 0: there are no latents
    // Whether all of the step is on the host. Asks for what is not, and takes what was read.
    [[nodiscard]] bool fetch();
};

struct RunRecord {
    static constexpr std::uint32_t kNever = 0xFFFFFFFF; // in `made_at`
    static constexpr std::uint32_t kGiven = 0;

    std::uint64_t job = 0; // number of the player
    std::uint64_t seed = 0;
    std::string values;        // as Params::to_json
    bool keeps_pixels = false; // its kept part came from a picture, not from latents
    bool ended = false;
    std::uint32_t total_steps = 0;
    std::uint32_t columns = 0; // of the token grid; 0: not told
    std::uint32_t rows = 0;
    std::vector<std::uint32_t> made_at;      // per token: the step that made it, kGiven or kNever
    std::vector<RunStep> steps;              // ascending
    std::shared_ptr<const TokenChain> chain; // of the watched token; nullptr: none

    // The step's record; nullptr when there is none.
    [[nodiscard]] const RunStep *find(std::uint32_t step) const;
    // The last one that has a picture; nullptr when none has.
    [[nodiscard]] const RunStep *last_picture() const;
};

class RunHistory {
  public:
    explicit RunHistory(std::size_t max_bytes) : max_bytes_(max_bytes) {}

    // A new job; what follows is told by its number.
    void begin(RunRecord run);
    // News of the player, and pictures. Those of unknown jobs, and of other images of a job than
    // the first, are ignored.
    void note(const PlayerEvent &event);
    void add(const RecordedPicture &picture);

    // A step's pixels and latents are to be looked at: true when they are there, as they always are
    // for what was made on the host. Else they are asked for, and come with a later call. False for
    // what is not kept.
    [[nodiscard]] bool fetch(std::uint64_t job, std::uint32_t step);

    [[nodiscard]] const RunRecord *find(std::uint64_t job) const;
    [[nodiscard]] const std::deque<RunRecord> &runs() const { return runs_; } // oldest first
    [[nodiscard]] std::size_t bytes() const { return bytes_; }

  private:
    RunRecord *record_of(std::uint64_t job);
    RunStep *step_of(RunRecord &run, std::uint32_t step);
    void note_cells(RunRecord &run, const PlayerEvent &event);
    void note_latents(RunRecord &run, const PlayerEvent &event);
    void note_chain(RunRecord &run, const PlayerEvent &event);
    void shrink();
    void thin(RunRecord &run);
    static std::size_t bytes_of(const RunStep &step);
    static std::size_t bytes_of(const RunRecord &run);

    std::size_t max_bytes_;
    std::size_t bytes_ = 0;
    std::deque<RunRecord> runs_;
};

} // namespace tessera
