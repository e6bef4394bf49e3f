// What each autoregressive step of a run does: how many tokens, how many denoising steps. Denoising
// can be annealed over the run (arXiv 2505.20297: the later a token, the less is left open), and a
// run can be hurried on its way to keep a deadline.
#pragma once

#include "blocks/sequence/order.hpp"

#include <string>
#include <utility>
#include <vector>

namespace tessera::blocks {

enum class Annealing { kNone, kLinear, kCosine, kTwoStage };
inline constexpr std::pair<Annealing, const char *> kAnnealingNames[] = {
    {Annealing::kNone, "none"},
    {Annealing::kLinear, "linear"},
    {Annealing::kCosine, "cosine"},
    {Annealing::kTwoStage, "two-stage"},
};

// Denoising steps at autoregressive step k of `count`, from `first` at k = 0 down to `last`:
//   linear    last + floor((count - 1 - k) / (count - 1) (first - last))
//   cosine    last + floor((1 + cos(pi k / (count - 1))) / 2 (first - last))
//   two-stage first while k < (count - 1) / 2, then last
// A `last` above `first` counts as `first`.
[[nodiscard]] int annealed_steps(Annealing annealing, int first, int last, int k, int count);

// Levels of hurry. 1 to 3 halve the denoising steps once more each (though not below
// kFewestHurried); 4 and 5 also halve the remaining autoregressive steps; 6 makes them one.
inline constexpr int kHurryLevels = 6;
inline constexpr int kHurryDenoising =
    3; // the last level that leaves the autoregressive steps alone
inline constexpr int kFewestHurried = 4;

// What a deadline did to a run, all of it, as a text: which level held from which step on, counted
// from 1, in the order in which it happened: "9:1,14:4". Steps do not fall and levels rise.
struct HurryStart {
    int step = 0;
    int level = 0;
};
// Throws Failure for anything else.
[[nodiscard]] std::vector<HurryStart> parse_hurry(const std::string &text);
void add_hurry(std::string &text, HurryStart start);

// How many of `rest` steps are left when the level rises.
[[nodiscard]] int fewer_steps(int rest, int from, int to);

struct RunSettings {
    int steps = 1; // autoregressive; more than unknown tokens count as that many
    int denoise_steps = 100;
    Annealing annealing = Annealing::kNone;
    int last_denoise_steps = 100;
    std::string hurry;             // as parse_hurry reads it
    int most_hurry = kHurryLevels; // higher levels count as this one
};

struct RunStep {
    UnmaskStep tokens;
    int denoise_steps = 0;
};

class RunPlan {
  public:
    RunPlan(const RunSettings &settings, int unknown);

    [[nodiscard]] int size() const { return static_cast<int>(steps_.size()); }
    [[nodiscard]] const RunStep &operator[](int k) const {
        return steps_[static_cast<std::size_t>(k)];
    }

    // The level that holds at the last step.
    [[nodiscard]] int level() const { return level_; }
    // Raises the level from step k on, which has not begun; a lower level changes nothing.
    void hurry(int k, int level);
    // The setting that gives this plan at once.
    [[nodiscard]] const std::string &hurried() const { return hurried_; }

  private:
    void count_denoise_steps(int k);

    RunSettings settings_;
    int unknown_;
    int level_ = 0;
    std::string hurried_;
    std::vector<RunStep> steps_;
};

} // namespace tessera::blocks
