// Which noise levels a run passes through: every one of them, once for each set of tokens, or fewer
// where it has to hurry (sequence/run_plan.hpp).
#pragma once

#include "blocks/sequence/run_plan.hpp"

#include <string>
#include <vector>

namespace tessera::texture {

struct LevelPass {
    int set = 0;
    int level = 0;     // 0 is noise
    bool last = false; // of its set
};

class LevelPlan {
  public:
    LevelPlan(int sets, int levels, const std::string &hurry);

    [[nodiscard]] int size() const { return static_cast<int>(passes_.size()); }
    [[nodiscard]] const LevelPass &operator[](int k) const {
        return passes_[static_cast<std::size_t>(k)];
    }

    // The hurry that holds at the last pass.
    [[nodiscard]] int hurry() const { return hurry_; }
    // Raises it from pass k on, which has not begun: of the rest of each set, the next level and
    // others as far apart as can be. Lower ones change nothing, nor do 1 to 3: a level has no
    // denoising steps of its own.
    void raise(int k, int hurry);
    // The setting that gives this plan at once.
    [[nodiscard]] const std::string &hurried() const { return hurried_; }

  private:
    int hurry_ = 0;
    std::string hurried_;
    std::vector<LevelPass> passes_;
};

} // namespace tessera::texture
