// One pass of the trunk over a few pictures of one size, cut into units small enough for a frame's
// budget; how it is cut changes no byte. On a device a unit has many entries of the batch, since
// there what counts is how often one is told something.
//
//   trunk.set_conditions(who, times);         // all of a run, at its beginning
//   upload tokens and flags to trunk.input(), then trunk.start(step, guided);
//   run its units in order; output() is ready after the last one
#pragma once

#include "blocks/texture/model.hpp"

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace tessera::texture {

// Where runs end and begin: at times 0 and 1 the ratio of token to noise has no logarithm.
inline constexpr double kCleanTime = 0.004;
inline constexpr double kNoiseTime = 0.996;

// Tokens of a picture.
struct Grid {
    std::int64_t rows = 0;
    std::int64_t columns = 0;

    [[nodiscard]] std::int64_t tokens() const { return rows * columns; }
    bool operator==(const Grid &) const = default;
};

// How one axis of a torus is cut for attention: blocks as equal as possible, each seen by a window
// round it. `rows` (windows, length) are the tokens of each window; of a token, `owner` is the
// window that makes it and `place` where in it.
struct AxisWindows {
    std::int64_t count = 0;
    std::int64_t length = 0;
    std::vector<std::int32_t> rows;
    std::vector<std::int32_t> owner;
    std::vector<std::int32_t> place;
};
[[nodiscard]] AxisWindows axis_windows(std::int64_t side, std::int64_t window, std::int64_t offset);

class Trunk {
  public:
    // Room for `images` pictures, each once or, in guided passes, twice: first all with their
    // conditions, then all with none. Everything is allocated here.
    Trunk(const sdk::Compute &compute, const TextureModel &model, Grid grid, std::int64_t images,
          bool guided);
    Trunk(const Trunk &) = delete;
    Trunk &operator=(const Trunk &) = delete;

    // Conditions without time, (images + 1, condition): of each picture, then of none; and all
    // times that passes will be at, from 0 (clean) to 1 (noise). None where rows are conditions.
    void set_conditions(std::span<const float> who, std::span<const double> times);

    // (batch, rows, columns, 97): noisy tokens, clean where known, and a 1 there.
    [[nodiscard]] const sdk::View &input() const { return input_.view(); }
    // (batch, rows, columns, 96): v without the part that is `gain` times the input; or (..,
    // width), conditions.
    [[nodiscard]] const sdk::View &output() const { return output_.view(); }
    // (96) of an entry of the batch at the time of the pass, of joint denoising.
    [[nodiscard]] std::span<const float> gain(std::int64_t entry) const;

    // Begins a pass, at time number `step` where there are times; windows of attention are cut
    // elsewhere in each step. A pass that is not guided has the first entries only.
    void start(int step, bool guided);
    [[nodiscard]] int size() const { return static_cast<int>(units_.size()); }
    [[nodiscard]] double flops(int unit) const {
        return units_[static_cast<std::size_t>(unit)].flops;
    }
    void run(int unit);
    // How many units it takes to the end of layer number `layers`, counted from 1, and the rows of
    // an entry as they are then: (tokens, width).
    [[nodiscard]] int size_to(std::size_t layers) const;
    [[nodiscard]] sdk::View rows(std::int64_t entry) const { return sdk::at(x_.view(), entry); }

    // Work of a pass over one entry.
    [[nodiscard]] double pass_flops() const;

  private:
    enum class Kind { kInput, kMix, kMlp, kProject, kAttend, kFinish, kOutput };
    // `first` and `count` are rows of the grid, or windows where windows attend: all of them where
    // it has several entries.
    struct Unit {
        Kind kind;
        std::size_t layer;
        std::int64_t entry;
        std::int64_t entries;
        std::int64_t first;
        std::int64_t count;
        double flops;
    };
    // Window attention of one layer: where each window's rows come from and each token's result is.
    struct Gather {
        std::vector<std::int32_t> rows;  // (windows x window tokens)
        std::vector<std::int32_t> owner; // (tokens)
    };

    void allocate();
    void plan(bool guided);
    void plan_rows(Kind kind, std::size_t layer, std::int64_t entry, std::int64_t entries,
                   double flops_of_a_token);
    void plan_windows(std::size_t layer, std::int64_t entry, std::int64_t entries);
    [[nodiscard]] double mix_flops() const;                     // of one token
    [[nodiscard]] double layer_flops(const Layer &layer) const; // of the rest of one
    [[nodiscard]] double window_flops() const;
    [[nodiscard]] std::int64_t windows_of_unit() const;
    [[nodiscard]] std::int64_t entries_of_unit(double flops_of_a_token) const;
    void plan_gathers(int step);

    void run_input(const Unit &unit);
    void run_mix(const Unit &unit);
    void run_mlp(const Unit &unit);
    void run_project(const Unit &unit);
    void run_attend(const Unit &unit);
    void run_finish(const Unit &unit);
    void run_output(const Unit &unit);

    // Rows of the conditions' tables for a unit at this step, as numbers [begin, begin + width):
    // (entries, width).
    [[nodiscard]] sdk::View steering(const sdk::Tensor &table, const Unit &unit,
                                     std::int64_t begin) const;
    // LN(x) (1 + scale) + shift, as the table says.
    void norm(const sdk::View &x, const sdk::Tensor &table, const Unit &unit, const sdk::View &out);
    // Tokens of a unit in one of the buffers (entry, tokens, width): (entries tokens, width).
    [[nodiscard]] sdk::View tokens_of(const sdk::Tensor &buffer, const Unit &unit,
                                      std::int64_t width) const;
    [[nodiscard]] sdk::View scratch(const sdk::Tensor &buffer, std::int64_t rows,
                                    std::int64_t width) const;
    [[nodiscard]] std::int64_t condition_row(std::int64_t entry) const;
    [[nodiscard]] bool is_joint() const { return model_.config.use == TextureConfig::Use::kJoint; }
    [[nodiscard]] std::int64_t output_width() const {
        return is_joint() ? kTokenNumbers : model_.config.width;
    }
    [[nodiscard]] std::vector<float> time_rows(std::span<const double> times) const;

    sdk::Compute compute_;
    const TextureModel &model_;
    Grid grid_;
    std::int64_t images_;
    std::int64_t batch_; // most entries
    bool windowed_;
    std::int64_t window_rows_ = 0; // tokens of a window, by rows and columns
    std::int64_t window_columns_ = 0;
    std::int64_t windows_ = 1;
    std::int64_t chunk_ = 0; // most tokens of a unit, of one entry
    // Most entries of a unit: one on the host, where they gain nothing.
    std::int64_t group_ = 1;
    bool on_device_;
    // Of the conditions' tables in a step. On the host the entries without condition share one.
    std::int64_t condition_rows_;

    sdk::Tensor input_;
    sdk::Tensor output_;
    sdk::Tensor x_;      // (batch, tokens, width)
    sdk::Tensor mixed_;  // (group, tokens, width): entries of a unit convolved
    sdk::Tensor normed_; // flat scratch of a unit
    sdk::Tensor hidden_;
    sdk::Tensor query_key_; // flat: of the entries of a unit
    sdk::Tensor value_;
    sdk::Tensor window_query_key_; // flat: of a group of windows; empty without windows
    sdk::Tensor window_value_;
    sdk::Tensor heads_; // flat: of all windows of the entries of a unit
    sdk::Tensor turns_; // (tokens of a window, head width): cosines and sines

    std::vector<sdk::Tensor> modulations_; // of each layer, (steps x condition rows, 3 width)
    sdk::Tensor final_;                    // (steps x condition rows, 2 width)
    std::vector<float> gains_;             // (steps x condition rows, 96)

    std::vector<Gather> gathers_; // of the layers that attend, in order
    std::vector<Unit> units_;
    int step_ = 0;
};

} // namespace tessera::texture
